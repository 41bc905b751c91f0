"""Names of kept objects: fingerprints of everything that can change their bytes."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from otce.columns import SCHEMA_VERSION
from otce.config import RunConfig
from otce.fingerprint import Canonical, canonical, fingerprint
from otce.metric_recipe import metric_recipe
from otce.model_config import Preprocessing
from otce.recipe import Metric

SCORE_VERSION: Final = 3
"""Raised whenever the score of equal pixels changes, or what its table says beside it."""
METRICS_VERSION: Final = 1
"""Raised whenever another score than `otce` changes for equal pixels."""
COUNT_VERSION: Final = 1
"""Raised whenever the counted pixels of an equal data set change."""
SAMPLING_VERSION: Final = 1
"""Raised whenever the drawn pixels of an equal data set change."""
SAMPLES_VERSION: Final = 2
"""Raised whenever something else is kept of equal drawn pixels; 2 added boundaries."""
FEATURE_VERSION: Final = 1
"""Raised, and `SCORE_VERSION` with it, whenever features of equal pixels change."""
SIGNATURE_VERSION: Final = 2
"""Raised whenever another set of arrays is kept of a source side."""


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


class Signature(BaseModel):
    """Whose source side it is and how it was drawn: all that its features and labels depend on.

    Features are kept as they were extracted; scaling looks at both sides of a pair and comes later,
    so one signature serves every scaling. K is left out: a draw depends on its own key alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    architecture: str
    """The reference of the model without a place."""
    arguments: dict[str, JsonValue]
    """Keyword arguments of what builds the network."""
    code_digest: str
    """SHA-256 of its factory's module, its program, or its library and version."""
    weights_digest: str
    """SHA-256 of its weights file."""
    preprocessing: Preprocessing
    """What is done to images, the library's choices included."""
    tap: str
    """Which features, as configured."""
    source: str
    """Id of the source data set."""
    source_digest: str
    """Its digest."""
    classes: tuple[str, ...]
    """Its class names; class ids are their positions."""
    pixels: int
    """N: pixels of a draw, where the data set has as many."""
    too_few_pixels: Literal["refuse", "shrink"]
    """What happened where it has not."""
    seed: int
    """Root seed of the draws."""
    sampling_version: int = SAMPLING_VERSION
    """Of the otce that drew."""
    feature_version: int = FEATURE_VERSION
    """Of the otce that extracted."""
    format_version: int = SIGNATURE_VERSION
    """What is kept: 2 added the image of every pixel."""


def model_signature(
    config: RunConfig,
    model_id: str,
    *,
    model: ModelIdentity,
    source: str,
    source_digest: str,
    classes: tuple[str, ...],
) -> Signature:
    """Describe the source side that a model has in a run.

    Args:
        config: the run.
        model_id: id of the model.
        model: its digests.
        source: id of its source data set.
        source_digest: digest of that.
        classes: class names of that.

    Returns:
        The description.
    """
    chosen = config.models[model_id]
    return Signature(
        architecture=chosen.architecture,
        arguments=chosen.arguments,
        code_digest=model.code_digest,
        weights_digest=model.weights_digest,
        preprocessing=model.preprocessing,
        tap=chosen.tap,
        source=source,
        source_digest=source_digest,
        classes=classes,
        pixels=config.sampling.pixels,
        too_few_pixels=config.sampling.too_few_pixels,
        seed=config.seed,
    )


def signature_fingerprint(signature: Signature) -> str:
    """Name the kept draws of a model's source side.

    Args:
        signature: the description.

    Returns:
        32 hexadecimal digits.
    """
    return fingerprint({"kind": "signature", "signature": signature})


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
            "version": [SAMPLING_VERSION, SCHEMA_VERSION, SAMPLES_VERSION],
            "seed": config.seed,
            "sampling": config.sampling,
            "dataset": dataset_digest,
        }
    )


def heat_sample_fingerprint(config: RunConfig, dataset_digest: str) -> str:
    """Name the pixels that the heats of a race draw from a data set.

    Args:
        config: the run; its seed, N, and what `race` says of heats count.
        dataset_digest: digest of the data set.

    Returns:
        32 hexadecimal digits.
    """
    race = config.race
    return fingerprint(
        {
            "kind": "heat samples",
            "version": [SAMPLING_VERSION, SCHEMA_VERSION, SAMPLES_VERSION],
            "seed": config.seed,
            "sampling": {n: value for n, value in config.sampling if n != "repetitions"},
            "heats": [sum(race.heats), race.heat_images, race.heat_pixels],
            "dataset": dataset_digest,
        }
    )


class PairNames:
    """Names the scores of a model's pairs; what these have in common is made canonical once.

    Ids count because they stand in the rows; where files lie does not, because digests say what
    they hold.

    Args:
        config: the run.
        model_id: id of the source model.
        side: its source side.

    Attributes:
        config: the run.
        side: the model's source side.
    """

    def __init__(self, config: RunConfig, model_id: str, side: Signature) -> None:
        self.config, self.side = config, side
        chosen = config.models[model_id]
        self._model = canonical(
            {
                "id": model_id,
                "architecture": chosen.architecture,
                "arguments": chosen.arguments,
                "code": side.code_digest,
                "weights": side.weights_digest,
                "preprocessing": side.preprocessing,
                "tap": chosen.tap,
            }
        )
        self._sampling = canonical(config.sampling)
        self._source = [chosen.source, side.source_digest]
        self._scores: dict[Metric, Canonical] = {}

    def pair(self, target_id: str, target_digest: str, metric: Metric = "otce") -> str:
        """Name one metric's scores of a pair.

        Args:
            target_id: id of the target data set.
            target_digest: digest of that.
            metric: which score.

        Returns:
            32 hexadecimal digits.
        """
        pair = self._pair(target_id, target_digest, metric)
        return fingerprint({"kind": "pair", "sampling": self._sampling, **pair})

    def repetitions(
        self, target_id: str, target_digest: str, metric: Metric = "otce", *, heat: bool = False
    ) -> str:
        """Name what some repetitions of a pair have in common: all that names the pair but K.

        A repetition depends on its own number, so those of a race serve a full run, or a longer
        race.

        Args:
            target_id: id of the target data set.
            target_digest: digest of that.
            metric: which score.
            heat: of fewer pixels on fewer images, as `config.race` says.

        Returns:
            32 hexadecimal digits, to be used with `otce.repetitions.repetitions_name`.
        """
        race = self.config.race
        sampling = {n: value for n, value in self.config.sampling if n != "repetitions"}
        fewer = [race.heat_images, race.heat_pixels] if heat else None
        pair = self._pair(target_id, target_digest, metric)
        return fingerprint({"kind": "repetitions", "sampling": sampling, "heat": fewer, **pair})

    def _pair(self, target_id: str, target_digest: str, metric: Metric) -> dict[str, Any]:
        if metric not in self._scores:
            self._scores[metric] = canonical(metric_recipe(metric, self.config.score))
        named = {} if metric == "otce" else {"metric": [metric, METRICS_VERSION]}
        return named | {
            "version": [SCORE_VERSION, SAMPLING_VERSION, SCHEMA_VERSION],
            "seed": self.config.seed,
            "score": self._scores[metric],
            "model": self._model,
            "source": self._source,
            "target": [target_id, target_digest],
        }
