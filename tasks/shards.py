"""Shards of a data set: some items of it and the pixels drawn from them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from otce.config import DatasetConfig
from otce.datasets import Item
from otce.sampling import Sample
from tasks.census import Census, shard_ranges
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
