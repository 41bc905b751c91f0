"""A data set's drawn pixels, cut into shards of items: the units of extraction."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from otce.config import DatasetConfig
from otce.datasets import Item
from otce.sampling import Sample
from tasks.census import Census, shard_ranges


@dataclass(frozen=True)
class Shard:
    """Some items of a data set and the pixels drawn from them.

    Attributes:
        config: the data set.
        items: its items that have drawn pixels.
        positions: of those among all items.
        digests: digest of each item's image, as counted.
        sample: the drawn pixels; `item` is the position in `items`.
        repetitions: which draws.
    """

    config: DatasetConfig
    items: tuple[Item, ...]
    positions: NDArray[np.int32]
    digests: tuple[str, ...]
    sample: Sample
    repetitions: range


def cut(census: Census, items_per_shard: int, repetitions: range) -> list[Shard]:
    """Cut a data set's drawn pixels into shards of items; items without pixels fall out.

    Args:
        census: the data set and its drawn pixels.
        items_per_shard: most items of a shard.
        repetitions: which draws.

    Returns:
        Shards in order of items.
    """
    drawn = census.sample.take(np.isin(census.sample.repetition, np.array(repetitions)))
    used = np.unique(drawn.item)
    shards = []
    for positions in shard_ranges(len(used), items_per_shard):
        members = used[positions.start : positions.stop]
        inside = drawn.take((drawn.item >= members[0]) & (drawn.item <= members[-1]))
        local = np.searchsorted(members, inside.item).astype(np.int32)
        shards.append(
            Shard(
                config=census.listed.config,
                items=tuple(census.listed.items[i] for i in members),
                positions=members.astype(np.int32),
                digests=tuple(census.listed.image_digests[i] for i in members),
                sample=replace(inside, item=local),
                repetitions=repetitions,
            )
        )
    return shards
