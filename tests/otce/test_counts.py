"""Counts come back as they were kept, on every store, and under no other digest."""

import numpy as np
import pytest

from otce.counts import keep_counts, kept_counts
from otce.datasets import Item
from otce.storage.store import Store

ITEMS = [Item(id=name, image=name, label=name) for name in ("a/1", "b ..", "ü")]


def test_counts_come_back_under_their_digest_only(store_uri, store_options):
    store = Store(store_uri, store_options)
    counts_px = np.array([[0, 2**40], [3, 4], [0, 0]])
    assert kept_counts("d" * 64, store) is None
    keep_counts(counts_px, ITEMS, "d" * 64, store)
    found = kept_counts("d" * 64, store)
    assert np.array_equal(found, counts_px)
    assert found.dtype == np.int64
    assert kept_counts("e" * 64, store) is None


def test_counts_of_other_items_are_not_kept(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        keep_counts(np.zeros((2, 2), np.int64), ITEMS, "d" * 64, Store(str(tmp_path)))
