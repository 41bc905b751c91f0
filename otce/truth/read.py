"""Truth tables, of `otce measure` or of the user's own: CSV or Parquet, one row a model and target.

Columns by name: `model` (or `source_model`), `target` (or `target_dataset`), `value`, higher is
better; `seed`, `kind` and `shots` where there are several. Other columns are passed over.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from otce.errors import DataError
from otce.storage.files import StorageOptions, exists, read_bytes
from otce.transfer.confusion import Confusion

_ALIASES: Final = {"source_model": "model", "target_dataset": "target"}
_MOST_BYTES: Final = 1 << 28
_PIXELS: Final = ("right_px", "labelled_px", "predicted_px")
_SAME_IOU: Final = 1e-9

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """What one model reached on one target.

    Attributes:
        truth: what was measured, in words; truths are never mixed.
        model: id of the source model.
        target: id of the target data set.
        seed: of the training.
        value: higher is better.
        images: pixels of the images that judged, None where they are not known.
        n_parameters: weights of the model, None where they were not counted.
    """

    truth: str
    model: str
    target: str
    seed: str
    value: float
    images: Confusion | None = None
    n_parameters: int | None = None


@dataclass(frozen=True)
class Baseline:
    """What a baseline says of a model, for one target or (None) for all."""

    name: str
    model: str
    target: str | None
    value: float


def read_truth(uri: str, options: StorageOptions | None = None) -> list[Measured]:
    """Read a truth table.

    Args:
        uri: path or fsspec URI; Parquet if it says so, CSV otherwise. Beside a `truth.parquet` of
            `otce measure`, `truth_images.parquet` is read where it is there.
        options: fsspec options by protocol.

    Returns:
        Its rows; those without a value are left out.

    Raises:
        DataError: a column is missing, a value is no number, a row is there twice, or images give
            another value than their row.
        StoreError: it cannot be read.
    """
    rows = _rows(uri, options, needed=("model", "target", "value"))
    images = _images_beside(uri, options)
    found: dict[tuple[str, ...], Measured] = {}
    for number, row in enumerate(rows, start=1):
        value = _number(row, "value", f"{uri}, row {number}")
        if value is None:
            continue
        one = Measured(
            truth=_kind(row),
            model=str(row["model"]),
            target=str(row["target"]),
            seed=str(row.get("seed", "")),
            value=value,
            images=images.get(_transfer(row)),
            n_parameters=row.get("n_parameters"),
        )
        if one.images is not None and abs(one.images.mean_iou - value) > _SAME_IOU:
            raise DataError(
                f"{uri}, row {number}: {one.model} on {one.target} has the value {value}, and its "
                f"images in {_beside(uri, 'truth_images')} give {one.images.mean_iou}; write "
                "both tables anew with otce measure, or take the images away"
            )
        key = one.truth, one.model, one.target, one.seed
        if key in found:
            raise DataError(
                f"{uri}, row {number}: {one.model} on {one.target} is there twice; give each "
                "training a seed, or average them"
            )
        found[key] = one
    if not found:
        raise DataError(f"{uri} has no row with a value; write one row a model and target")
    return list(found.values())


def read_truth_timings(uri: str, options: StorageOptions | None = None) -> list[Row]:
    """Read what measured transfers cost.

    Args:
        uri: path or fsspec URI of a truth table.
        options: fsspec options by protocol.

    Returns:
        Rows of `truth_timings.parquet` beside a `truth.parquet` of `otce measure`; none where there
        is no such table.

    Raises:
        DataError: it is no table of transfers.
        StoreError: it cannot be read.
    """
    beside = _beside(uri, "truth_timings")
    if beside == uri or not exists(beside, options):
        return []
    return _rows(beside, options, needed=("model", "target", "kind", "cpu_s"))


def read_baselines(uri: str, options: StorageOptions | None = None) -> list[Baseline]:
    """Read baselines, such as parameter counts or the accuracy on the source task.

    Args:
        uri: path or fsspec URI of CSV or Parquet with columns `baseline`, `model`, `value`, higher
            is better, and `target` where a value holds for one target only.
        options: fsspec options by protocol.

    Returns:
        Its rows.

    Raises:
        DataError: a column is missing or a value is no number.
        StoreError: it cannot be read.
    """
    rows = _rows(uri, options, needed=("baseline", "model", "value"))
    found = []
    for number, row in enumerate(rows, start=1):
        value = _number(row, "value", f"{uri}, row {number}")
        if value is not None:
            target = row.get("target")
            named = None if target in {None, ""} else str(target)
            found.append(Baseline(str(row["baseline"]), str(row["model"]), named, value))
    return found


def _images_beside(uri: str, options: StorageOptions | None) -> dict[tuple[str, ...], Confusion]:
    """Read the pixels of the images that judged, by transfer."""
    beside = _beside(uri, "truth_images")
    if beside == uri or not exists(beside, options):
        return {}
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in _rows(beside, options, needed=("model", "target", *_PIXELS)):
        found.setdefault(_transfer(row), []).append(row)
    return {
        transfer: Confusion(*(np.array([row[px] for row in rows], np.int64) for px in _PIXELS))
        for transfer, rows in found.items()
    }


def _beside(uri: str, name: str) -> str:
    return re.sub(r"truth\.parquet$", f"{name}.parquet", uri)


def _transfer(row: Row) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in ("model", "target", "kind", "shots", "seed"))


def _rows(uri: str, options: StorageOptions | None, *, needed: Sequence[str]) -> list[Row]:
    data = read_bytes(uri, options, most_bytes=_MOST_BYTES)
    try:
        table = pq.read_table(BytesIO(data)) if uri.endswith(".parquet") else _csv(data)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{uri} is no CSV or Parquet table: {error}") from error
    # A table of our own calls them by their full names.
    table = table.rename_columns([_ALIASES.get(name, name) for name in table.column_names])
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise DataError(
            f"{uri} lacks the column {', '.join(missing)}; it has "
            f"{', '.join(table.column_names)}, and {', '.join(needed)} are needed"
        )
    rows: list[Row] = table.to_pylist()
    return rows


def _csv(data: bytes) -> pa.Table:
    """Read all but `value` as text: a model may be called 007."""
    header = data.split(b"\n", 1)[0].decode(errors="replace").strip().split(",")
    names = [name.strip().strip('"') for name in header if name.strip().strip('"') != "value"]
    convert = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return pc.read_csv(BytesIO(data), convert_options=convert)


def _number(row: Row, name: str, where: str) -> float | None:
    value = row[name]
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise DataError(f"{where}: {name} is {value!r}; write a finite number, or leave it empty")
    return float(value)


def _kind(row: Row) -> str:
    kind, shots = row.get("kind"), row.get("shots")
    words = [str(kind).replace("_", " ")] if kind not in {None, ""} else ["truth"]
    return " ".join([*words, *([f"with {shots} images"] if shots not in {None, "", 0} else [])])
