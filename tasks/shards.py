"""Shards of a data set: some items of it and the pixels drawn from them."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from otce.config import DatasetConfig
from otce.datasets import Item
from otce.sampling import Sample
from tasks.census import Census, shard_ranges
from tasks.ray_calls import Ref, inside
from tasks.sums import NO_SUMS, Kinds, SumsOf, sums_of, whole_blocks


@dataclass(frozen=True)
class Shard:
    """Some items of a data set and the pixels drawn from them.

    Attributes:
        dataset_id: id of the data set.
        config: the data set.
        items: its items that have drawn pixels.
        positions: of those among all items.
        digests: digest of each item's image, as counted.
        sample: the drawn pixels; `item` is the position in `items`.
        repetitions: which draws.
        sums: what is summed over all labelled pixels of these items.
    """

    dataset_id: str
    config: DatasetConfig
    items: tuple[Item, ...]
    positions: NDArray[np.int32]
    digests: tuple[str, ...]
    sample: Sample
    repetitions: range
    sums: SumsOf | None = None


def cut(
    census: Census, items_per_shard: int, repetitions: range, sums: Kinds = NO_SUMS
) -> list[Shard]:
    """Cut a data set's drawn pixels into shards of items; items without pixels fall out.

    With sums over all pixels no item falls out, and shards end where blocks of items end, so that
    no sum depends on how the work is cut.

    Args:
        census: the data set and its drawn pixels.
        items_per_shard: most items of a shard; a block that has more is one shard.
        repetitions: which draws.
        sums: what is summed over all labelled pixels.

    Returns:
        Shards in order of items.
    """
    listed = census.listed
    drawn = census.sample.take(np.isin(census.sample.repetition, np.array(repetitions)))
    if any(sums):
        used = np.arange(len(listed.items))
        spans = whole_blocks(len(used), items_per_shard)
    else:
        used = np.unique(drawn.item)
        spans = shard_ranges(len(used), items_per_shard)
    shards = []
    for span in spans:
        members = used[span.start : span.stop]
        inside = drawn.take((drawn.item >= members[0]) & (drawn.item <= members[-1]))
        local = np.searchsorted(members, inside.item).astype(np.int32)
        shards.append(
            Shard(
                dataset_id=listed.id,
                config=listed.config,
                items=tuple(listed.items[i] for i in members),
                positions=members.astype(np.int32),
                digests=tuple(listed.image_digests[i] for i in members),
                sample=replace(inside, item=local),
                repetitions=repetitions,
                sums=sums_of(listed, span, sums) if any(sums) else None,
            )
        )
    return shards


@dataclass(frozen=True)
class Placed:
    """A shard in Ray's memory, from where every actor reads it.

    Attributes:
        ref: its reference.
        dataset_id: id of its data set.
        results: what is made of it: one of each repetition, and one of its sums.
    """

    ref: Ref
    dataset_id: str
    results: int


def placed(shards: Sequence[Shard]) -> list[Placed]:
    """Put shards into Ray's memory.

    Args:
        shards: any.

    Returns:
        Where they are, in their order.
    """
    found = []
    for shard in shards:
        with inside():
            ref = ray.put(shard)
        results = len(shard.repetitions) + (shard.sums is not None)
        found.append(Placed(ref, shard.dataset_id, results))
    return found


class Cuts:
    """Shards that all models see: cut once, and put into Ray's memory once.

    Args:
        items_per_shard: most items of a shard.
    """

    def __init__(self, items_per_shard: int) -> None:
        self._items_per_shard = items_per_shard
        self._lock = threading.Lock()
        # The census is held beside its shards, so that no other one takes its identity.
        self._known: dict[Any, tuple[Census, list[Placed]]] = {}

    def of(self, census: Census, repetitions: range, sums: Kinds = NO_SUMS) -> list[Placed]:
        """Cut a data set, unless that was done before.

        Args:
            census: the data set and its drawn pixels.
            repetitions: which draws.
            sums: what is summed over all labelled pixels.

        Returns:
            Its shards, as `cut` says.
        """
        key = id(census), repetitions, sums
        with self._lock:
            if key not in self._known:
                shards = cut(census, self._items_per_shard, repetitions, sums)
                self._known[key] = census, placed(shards)
            return self._known[key][1]
