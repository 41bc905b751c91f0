"""Names of kept objects: fingerprints of everything that can change their bytes."""

from dataclasses import dataclass
from typing import Final

from otce.config import RunConfig
from otce.fingerprint import fingerprint
from otce.model_config import Preprocessing
from otce.tables import SCHEMA_VERSION

SCORE_VERSION: Final = 2
"""Raised whenever the score of equal pixels changes."""
COUNT_VERSION: Final = 1
"""Raised whenever the counted pixels of an equal data set change."""
SAMPLING_VERSION: Final = 1
"""Raised whenever the drawn pixels of an equal data set change."""


@dataclass(frozen=True)
class ModelIdentity:
    """What a model is, apart from its name.

    Attributes:
        weights_digest: SHA-256 of its weights file.
        code_digest: SHA-256 of its factory's module, its program, or its library and version.
        preprocessing: what is done to images, the library's choices included.
    """

    weights_digest: str
    code_digest: str
    preprocessing: Preprocessing


def count_fingerprint(dataset_digest: str) -> str:
    """Name the counted labels of a data set.

    Args:
        dataset_digest: digest of the data set.

    Returns:
        32 hexadecimal digits.
    """
    versions = [COUNT_VERSION, SCHEMA_VERSION]
    return fingerprint({"kind": "counts", "version": versions, "dataset": dataset_digest})


def sample_fingerprint(config: RunConfig, dataset_digest: str) -> str:
    """Name the drawn pixels of a data set.

    Args:
        config: the run; its seed and sampling count.
        dataset_digest: digest of the data set.

    Returns:
        32 hexadecimal digits.
    """
    return fingerprint(
        {
            "kind": "samples",
            "version": [SAMPLING_VERSION, SCHEMA_VERSION],
            "seed": config.seed,
            "sampling": config.sampling,
            "dataset": dataset_digest,
        }
    )


def pair_fingerprint(
    config: RunConfig,
    model_id: str,
    target_id: str,
    *,
    model: ModelIdentity,
    source_digest: str,
    target_digest: str,
) -> str:
    """Name the scores of one (model, target) pair.

    Ids count because they stand in the rows; where files lie does not, because digests say what
    they hold.

    Args:
        config: the run.
        model_id: id of the source model.
        target_id: id of the target data set.
        model: digests of the model.
        source_digest: digest of the model's source data set.
        target_digest: digest of the target data set.

    Returns:
        32 hexadecimal digits.
    """
    chosen = config.models[model_id]
    return fingerprint(
        {
            "kind": "pair",
            "version": [SCORE_VERSION, SAMPLING_VERSION, SCHEMA_VERSION],
            "seed": config.seed,
            "sampling": config.sampling,
            "score": config.score,
            "model": {
                "id": model_id,
                "architecture": chosen.architecture,
                "arguments": chosen.arguments,
                "code": model.code_digest,
                "weights": model.weights_digest,
                "preprocessing": model.preprocessing,
                "tap": chosen.tap,
            },
            "source": [chosen.source, source_digest],
            "target": [target_id, target_digest],
        }
    )
