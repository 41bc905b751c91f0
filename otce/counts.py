"""Labelled pixels of a data set, counted once and kept by its digest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from otce import tables
from otce.datasets import Item
from otce.identity import count_fingerprint
from otce.storage.store import Store


def kept_counts(dataset_digest: str, store: Store) -> NDArray[np.int64] | None:
    """Read what an earlier run counted.

    Args:
        dataset_digest: digest of the data set.
        store: where counts are kept.

    Returns:
        (items, classes) int64 pixel counts, or None when nobody counted these labels yet, or what
        was counted is damaged.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    found = store.sound_table(_key(dataset_digest), tables.COUNTS)
    return None if found is None else np.array(found["class_px"].to_pylist(), np.int64)


def keep_counts(
    counts_px: NDArray[np.int64], items: Sequence[Item], dataset_digest: str, store: Store
) -> None:
    """Keep what was counted.

    Args:
        counts_px: (items, classes) pixel counts.
        items: all items of the data set, in order.
        dataset_digest: its digest.
        store: where counts are kept.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    rows = [
        {"dataset_digest": dataset_digest, "item": n, "item_id": item.id, "class_px": class_px}
        for n, (item, class_px) in enumerate(zip(items, counts_px.tolist(), strict=True))
    ]
    store.put_table(_key(dataset_digest), tables.table(rows, tables.COUNTS))


def _key(dataset_digest: str) -> str:
    return f"counts/{count_fingerprint(dataset_digest)}.parquet"
