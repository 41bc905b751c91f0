"""Measured transfers: how they are named, and the tables they are kept in.

`value` is the mean intersection over union on held-back images, 0 to 1, higher is better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa

from otce.columns import INT, LATER, NUMBER, SCHEMA_VERSION, TEXT, column, schema
from otce.config import RunConfig
from otce.fingerprint import fingerprint
from otce.identity import Signature
from otce.measure_config import Baseline, Kind, Training
from otce.tables import table
from otce.transfer.training import TRANSFER_VERSION, Transfer

_TRANSFER: Final = (
    column("source_model", TEXT, "id of the source model"),
    column("target_dataset", TEXT, "id of the target data set"),
    column(
        "kind",
        TEXT,
        "zero_shot, head, fine_tune, fine_tune_new_head or scratch; at_source: no transfer, the "
        "model on held-back images of its source; short_fine_tune: a baseline, trained and judged "
        "on labelled target images, none of them held back",
    ),
    column("shots", INT, "labelled target images asked for; 0 where nothing is trained"),
    column("seed", pa.int64(), "root of new weights and batches; empty where nothing is trained"),
)
TRUTH: Final = schema(
    "truth",
    column("truth_fingerprint", TEXT, "fingerprint of everything that can change these numbers"),
    column("truth_version", INT, "version of the way transfers are made"),
    *_TRANSFER,
    column("value", NUMBER, "mean IoU of the classes that are labelled", direction="higher"),
    column("pixel_accuracy", NUMBER, "share of labelled pixels that are right", direction="higher"),
    column(
        "class_iou",
        pa.list_(NUMBER),
        "IoU by class id; empty for classes that are not labelled",
        direction="higher",
    ),
    column(
        "class_accuracy",
        pa.list_(NUMBER),
        "share of each class that is right, by class id; empty as in class_iou",
        direction="higher",
    ),
    column("learning_rate", NUMBER, "the chosen one; empty where nothing is trained"),
    column("learning_rates", pa.list_(NUMBER), "those that it was chosen from"),
    column(
        "validation_miou",
        pa.list_(NUMBER),
        "mIoU by which it was chosen, by rate; empty for one that diverged; no items: no choice",
        direction="higher",
    ),
    column("steps", INT, "batches of the training; 0 where nothing is trained"),
    column("n_train_images", INT, "labelled target images trained on"),
    column("n_eval_images", INT, "held-back images judged on"),
    column("source_dataset", TEXT, "id of the data set the model was trained on"),
    column("evaluate_dataset", TEXT, "id of the data set of held-back images"),
    column("model_digest", TEXT, "SHA-256 of the weights file; empty when trained from scratch"),
    column("target_digest", TEXT, "digest of the target data set"),
    column("evaluate_digest", TEXT, "digest of the data set of held-back images"),
    column("n_parameters", pa.int64(), "weights of the source model", later=LATER),
)
"""A row per measured transfer."""

_IMAGE_PX: Final = (
    column("right_px", pa.list_(pa.int64()), "pixels by class id that are right", unit="px"),
    column("labelled_px", pa.list_(pa.int64()), "pixels by class id of the label", unit="px"),
    column("predicted_px", pa.list_(pa.int64()), "pixels by predicted class id", unit="px"),
)
KEPT: Final = schema(
    "kept truth",
    *TRUTH,
    column("item_id", pa.list_(TEXT), "ids of the held-back images"),
    *(pa.field(c.name, pa.list_(c.type), metadata=c.metadata) for c in _IMAGE_PX),
)
"""What one object holds: a row, and the pixels of each image; no model where all share it."""
IMAGES: Final = schema(
    "truth images",
    column("truth_fingerprint", TEXT, "fingerprint of everything that can change these numbers"),
    *_TRANSFER,
    column("item_id", TEXT, "id of the held-back image"),
    *_IMAGE_PX,
)
"""A row per measured transfer and held-back image: what an interval over images is made of."""
TIMINGS: Final = schema(
    "truth timings",
    column("truth_fingerprint", TEXT, "fingerprint of the transfer"),
    *_TRANSFER,
    column("wall_s", NUMBER, "time that it took, reading and judging included", unit="s"),
    column("cpu_s", NUMBER, "processor time of it", unit="s"),
    column("gpu_s", NUMBER, "time that it held a GPU, times the share of it", unit="s"),
    column("device", TEXT, "where it ran: cpu, or the name of the GPU"),
    column("steps", INT, "batches of the training that counts; 0 where there is none", later=LATER),
    column("training_cpu_s", NUMBER, "processor time of these batches", unit="s", later=LATER),
)
"""What each transfer cost; the one table of a measurement that no second run repeats."""
FAILURES: Final = schema(
    "truth failures",
    column("source_model", TEXT, "id of the source model"),
    column("target_dataset", TEXT, "id of the target data set"),
    column("kind", TEXT, "which transfer failed; empty when all did"),
    column("shots", INT, "of how many labelled images; empty when all did"),
    column("seed", pa.int64(), "of which seed; empty when all did"),
    column("stage", TEXT, "census, load, overlap, transfer or publish"),
    column("error_class", TEXT, "class of the error"),
    column("transient", pa.bool_(), "whether the same command may succeed when started again"),
    column("attempts", INT, "how often it was tried"),
    column("message", TEXT, "what was found, where, what is allowed and what to do"),
)
"""Every transfer that was not measured, and why."""


@dataclass(frozen=True)
class Cell:
    """One row of the truth table.

    Attributes:
        model: id of the source model.
        target: id of the target data set.
        kind: of transfer.
        shots: labelled target images; 0 where nothing is trained.
        seed: None where nothing is trained.
    """

    model: str
    target: str
    kind: Kind | Baseline
    shots: int = 0
    seed: int | None = None

    @property
    def row(self) -> dict[str, Any]:
        """What every table says of it."""
        return {
            "source_model": self.model,
            "target_dataset": self.target,
            "kind": self.kind,
            "shots": self.shots,
            "seed": self.seed,
        }


def truth_fingerprint(
    config: RunConfig,
    cell: Cell,
    *,
    side: Signature,
    training: Training | None,
    target_digest: str,
    evaluate: tuple[str, str],
) -> str:
    """Name one measured transfer; models that share an architecture share training from scratch.

    Args:
        config: the run.
        cell: which transfer.
        side: the model's source side.
        training: how it is trained; None where it is not.
        target_digest: digest of the target, of which `cell.shots` images are taken.
        evaluate: id and digest of the held-back images.

    Returns:
        32 hexadecimal digits.
    """
    chosen = config.models[cell.model]
    model = {
        "architecture": chosen.architecture,
        "arguments": chosen.arguments,
        "code": side.code_digest,
        "preprocessing": side.preprocessing,
    }
    if cell.kind != "scratch" or chosen.architecture == chosen.kind:
        # Of networks that lie in files nobody knows whether two are of one architecture.
        model |= {
            "id": cell.model,
            "weights": side.weights_digest,
            "source": [side.source, side.classes],
        }
    return fingerprint(
        {
            "kind": "truth",
            "version": [TRANSFER_VERSION, SCHEMA_VERSION],
            "transfer": [cell.kind, cell.shots, cell.seed],
            "training": None if training is None else asdict(training),
            "model": model,
            "target": [cell.target, target_digest],
            "evaluate": evaluate,
        }
    )


def kept_table(row: Mapping[str, Any], found: Transfer, item_ids: Sequence[str]) -> pa.Table:
    """Make the table of one measured transfer.

    Args:
        row: what is known before it is made: columns of `KEPT` that are not figures.
        found: what it gave.
        item_ids: ids of the held-back images.

    Returns:
        A table of `KEPT` with one row.
    """
    counts = found.confusion
    full = dict(row) | {
        "truth_version": TRANSFER_VERSION,
        "value": counts.mean_iou,
        "pixel_accuracy": counts.pixel_accuracy,
        "class_iou": counts.class_iou,
        "class_accuracy": counts.class_accuracy,
        "learning_rate": found.learning_rate,
        "n_parameters": found.n_parameters,
        "validation_miou": found.validation_miou,
        "n_eval_images": len(item_ids),
        "item_id": list(item_ids),
        "right_px": counts.right.tolist(),
        "labelled_px": counts.labelled.tolist(),
        "predicted_px": counts.predicted.tolist(),
    }
    return table([full], KEPT)


def truth_tables(
    cells: Sequence[tuple[Cell, str, Mapping[str, Any]]],
) -> tuple[pa.Table, pa.Table]:
    """Join what is kept of many transfers.

    Args:
        cells: of each transfer which it is, the id of the model's source data set, and its kept
            row.

    Returns:
        Tables of `TRUTH` and of `IMAGES`, in the order given.
    """
    rows, images = [], []
    for cell, source, kept in cells:
        rows.append(dict(kept) | cell.row | {"source_dataset": source})
        same = cell.row | {"truth_fingerprint": kept["truth_fingerprint"]}
        names = ("item_id", *(c.name for c in _IMAGE_PX))
        images += [
            same | dict(zip(names, image, strict=True))
            for image in zip(*(kept[name] for name in names), strict=True)
        ]
    return table(rows, TRUTH), table(images, IMAGES)
