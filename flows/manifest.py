"""What a run was: recipe, inputs by digest, versions, times and counts."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from otce.config import RunConfig
from otce.identity import Signature
from tasks.census import Census, Listed

_VERSIONS: Final = ("otce", "torch", "POT", "numpy", "pyarrow", "ray", "prefect")


def manifest(
    config: RunConfig,
    listed: Mapping[str, Listed],
    censuses: Mapping[str, Census],
    sides: Mapping[str, Signature],
    counts: Mapping[str, int],
    started: datetime,
) -> dict[str, Any]:
    """Describe a run as JSON.

    Args:
        config: the run.
        listed: data sets whose content is known, by id.
        censuses: those whose labels are counted.
        sides: source sides by model, with the models' digests.
        counts: pairs in all, computed, reused and failed.
        started: when it began.

    Returns:
        What `manifest.json` holds.
    """
    science = config.model_dump(mode="json", exclude={"execution", "datasets", "models"})
    return science | {
        "run_id": config.run_id,
        "name": config.execution.name,
        "fingerprint": config.fingerprint,
        "otce_version": version("otce"),
        "versions": {name: version(name) for name in _VERSIONS},
        "command": sys.argv,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "pairs": dict(counts),
        "datasets": {
            id_: {
                "layout": data.config.layout,
                "digest": data.digest,
                "items": len(data.items),
                "notes": list(data.notes),
                "left_out": dict(data.left_out),
                "classes": list(data.classes),
            }
            | _counts(censuses.get(id_))
            for id_, data in listed.items()
        },
        "models": {
            id_: model.model_dump(mode="json") | _side(sides.get(id_))
            for id_, model in config.models.items()
        },
    }


def _counts(census: Census | None) -> dict[str, Any]:
    if census is None:
        return {}
    return {"class_px": list(census.class_px), "labelled_px": sum(census.class_px)}


def _side(side: Signature | None) -> dict[str, Any]:
    if side is None:
        return {"weights_digest": None}
    return {
        "weights_digest": side.weights_digest,
        "code_digest": side.code_digest,
        "preprocessing": side.preprocessing.model_dump(mode="json"),
        "source_digest": side.source_digest,
        "source_classes": list(side.classes),
    }
