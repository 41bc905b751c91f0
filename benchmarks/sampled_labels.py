"""Copies of the study's labels that leave only some pixels labelled: other ways to sample.

`boundary` keeps pixels within two of another class; `balanced` thins out frequent classes of every
domain until all are as frequent as the domain has pixels for. Void pixels are never drawn, so a run
over such a copy samples the rest uniformly.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from otce.config import RunConfig
from otce.dataset_config import DatasetConfig
from otce.datasets import Dataset, open_dataset

VOID: Final = 255
_NEAR_PX: Final = 2
_PER_CLASS_PX: Final = 2000
Label = NDArray[np.int16]
Keep = Callable[[Label], NDArray[np.bool_]]


def sampled(run: RunConfig, folder: Path, sampling: str) -> Path:
    """Write a study's domains again with fewer pixels labelled, and the run over them.

    Args:
        run: the study.
        folder: where to, images too.
        sampling: `boundary` or `balanced`.

    Returns:
        The configuration.
    """
    written = run.model_dump(mode="json", exclude_defaults=True, exclude={"measure", "datasets"})
    written["datasets"] = {
        id_: _copied(run.datasets[id_], folder / id_, sampling) for id_ in run.targets
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(written, sort_keys=False))
    return path


def _copied(config: DatasetConfig, root: Path, sampling: str) -> dict[str, Any]:
    dataset = open_dataset(config)
    keep: Keep = near_boundaries if sampling == "boundary" else partial(thinned, shares(dataset))
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for item in dataset.items:
        label = dataset.label(item)
        kept = np.where(keep(label) & (label >= 0), label, VOID).astype(np.uint8)
        name = Path(item.image).stem
        Image.fromarray(kept).save(root / f"labels/{name}.png")
        shutil.copy(item.image, root / f"images/{name}.jpg")
    return {
        "layout": f"folder:{root}",
        "images": "images/*.jpg",
        "labels": "labels/*.png",
        "classes": list(dataset.classes),
        "ignore": [VOID],
    }


def near_boundaries(label: Label) -> NDArray[np.bool_]:
    """Find pixels near another class; void counts as none."""
    size = 2 * _NEAR_PX + 1
    highest = maximum_filter(label, size)
    lowest = minimum_filter(np.where(label < 0, label.max(), label), size)
    found: NDArray[np.bool_] = highest != lowest
    return found


def shares(dataset: Dataset) -> NDArray[np.float64]:
    """Say which share of each class's pixels leaves it about 2 000 pixels, or all it has."""
    counts = np.zeros(len(dataset.classes))
    for item in dataset.items:
        label = dataset.label(item)
        counts += np.bincount(label[label >= 0], minlength=len(counts))
    share: NDArray[np.float64] = np.minimum(1.0, _PER_CLASS_PX / np.maximum(counts, 1))
    return share


def thinned(share_C: NDArray[np.float64], label: Label) -> NDArray[np.bool_]:
    """Draw pixels, each with the share of its class."""
    generator = np.random.default_rng(int(np.abs(label).sum()))
    found: NDArray[np.bool_] = generator.random(label.shape) < share_C[np.maximum(label, 0)]
    return found
