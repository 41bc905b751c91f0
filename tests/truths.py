"""Measured transfers that never happened, with the pixels of the images that judged."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from otce.transfer.confusion import Confusion
from otce.truth.read import Measured

MODELS, IMAGES, CLASSES = ("a", "b", "c", "d", "e"), 6, 3


def confusion(generator, images=IMAGES):
    """Pixels of one model; all models see the same labels."""
    labelled = np.random.default_rng(0).integers(1, 50, size=(images, CLASSES))
    right = (labelled * generator.random(labelled.shape)).astype(np.int64)
    return Confusion(right, labelled, right + generator.integers(1, 20, size=labelled.shape))


def truth_of(generator, target="bay"):
    found = {model: confusion(generator) for model in MODELS}
    return [Measured("head", model, target, "0", one.mean_iou, one) for model, one in found.items()]


def written(folder, truth, right=0):
    """`truth.parquet` and what `otce measure` writes beside it."""
    ids = [{"source_model": m.model, "target_dataset": m.target, "kind": "head"} for m in truth]
    ids = [one | {"shots": 5, "seed": 0} for one in ids]
    rows = [one | {"value": m.value} for one, m in zip(ids, truth, strict=True)]
    images = [
        one
        | {"right_px": m.images.right[i] + right, "labelled_px": m.images.labelled[i]}
        | {"predicted_px": m.images.predicted[i]}
        for one, m in zip(ids, truth, strict=True)
        for i in range(IMAGES)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "truth.parquet")
    pq.write_table(pa.Table.from_pylist(images), folder / "truth_images.parquet")
    return str(folder / "truth.parquet")
