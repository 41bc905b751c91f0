"""The images that a pair's score saw, as its table holds them."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from otce.errors import DataError
from otce.intervals import Side

Row = Mapping[str, Any]

LISTS: Final = ("target_items", "target_influence", "source_items", "source_influence")
"""Columns of `otce.tables.PAIR` that hold images and influences, in a pair's first row."""
ROLES: Final = ("target", "source")
_OF_A_ROW: Final = (
    "pair_fingerprint",
    "repetition",
    "source_model",
    "target_dataset",
    "source_digest",
    "target_digest",
)


def side(row: Row, lists: pa.Table, role: str) -> Side | None:
    """Read a side's images and influences from a pair's first row.

    Args:
        row: the first row, with its `position` in the table.
        lists: the columns `LISTS` of the table, without chunks.
        role: `target` or `source`.

    Returns:
        The side, or None where it is not known.

    Raises:
        DataError: influences do not fit their images.
    """
    items, influence = (lists[f"{role}_{name}"][row["position"]] for name in ("items", "influence"))
    if not (items.is_valid and influence.is_valid):
        return None
    items_n, influence_n = _array(items), _array(influence)
    digest = row[f"{role}_digest"]
    if (
        len(items_n) != len(influence_n)
        or not np.isfinite(influence_n).all()
        or (np.diff(items_n) <= 0).any()
        or digest is None
    ):
        raise DataError(
            f"{row['source_model']} on {row['target_dataset']}: {len(influence_n)} {role} "
            f"influences of {len(items_n)} images of the data set {digest}; there is one finite "
            "influence an image, images ascend, and their data set has a digest; score the pair "
            "again"
        )
    return Side(digest, items_n, influence_n)


def known_sides(images: Mapping[str, Side | None]) -> list[Side] | None:
    """Keep the sides that the metric sees.

    Args:
        images: sides by role.

    Returns:
        Those with images; None where the noise of one is not known.
    """
    seen = [one for one in images.values() if one is None or len(one.items)]
    known = [one for one in seen if one is not None and len(one.items) > 1]
    return known if known and len(known) == len(seen) else None


def sides_by_pair(pairs: pa.Table) -> dict[str, list[Side] | None]:
    """Read the sides of every metric of every pair.

    Args:
        pairs: repetitions, of schema `otce.tables.PAIR`.

    Returns:
        By `pair_fingerprint`, as `known_sides` says.

    Raises:
        DataError: influences do not fit their images.
    """
    lists = pairs.select(list(LISTS)).combine_chunks()
    first: dict[str, dict[str, Any]] = {}
    for position, row in enumerate(pairs.select(list(_OF_A_ROW)).to_pylist()):
        held = first.setdefault(row["pair_fingerprint"], row | {"position": position})
        if row["repetition"] < held["repetition"]:
            first[row["pair_fingerprint"]] = row | {"position": position}
    return {
        name: known_sides({role: side(row, lists, role) for role in ROLES})
        for name, row in first.items()
    }


def _array(values: pa.Scalar) -> NDArray[Any]:
    found: NDArray[Any] = values.values.to_numpy(zero_copy_only=False)
    return found
