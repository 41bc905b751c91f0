"""Sums over all labelled pixels of a data set, taken while its drawn pixels are extracted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from otce.datasets import Dataset, Item
from otce.dense import map_confusion, map_moments
from otce.errors import ModelError
from otce.recipe import FROM_PREDICTIONS, OVER_ALL_PIXELS, Metric
from otce.scores.all_pixels import Block, block_ranges
from otce.scores.moments import merged
from tasks.census import Listed


class Kinds(NamedTuple):
    """What is summed."""

    moments: bool
    """Of features at the tap."""
    predictions: bool
    """Pixels by class and predicted class."""


NO_SUMS: Final = Kinds(moments=False, predictions=False)


def kinds_of(metrics: Iterable[Metric]) -> Kinds:
    """Say what metrics ask for.

    Args:
        metrics: those of a pair.

    Returns:
        What is summed for them.
    """
    over_all = OVER_ALL_PIXELS.intersection(metrics)
    return Kinds(
        moments=not over_all <= FROM_PREDICTIONS, predictions=bool(over_all & FROM_PREDICTIONS)
    )


@dataclass(frozen=True)
class SumsOf:
    """What is summed over some items.

    Attributes:
        kinds: what.
        n_classes: classes of the data set.
        first_item: position of the first of them in the data set.
        blocks: places among the items, in order, that are summed apart.
        label_digests: digest of each item's label; none: not checked.
    """

    kinds: Kinds
    n_classes: int
    first_item: int
    blocks: tuple[range, ...]
    label_digests: tuple[str, ...]


def whole_blocks(n_items: int, items_per_shard: int) -> list[range]:
    """Cut a data set into shards of whole blocks.

    Args:
        n_items: items of the data set.
        items_per_shard: most items of a shard of more than one block.

    Returns:
        Positions of each shard's items.

    Example:
        >>> [len(shard) for shard in whole_blocks(100, 10)]
        [9, 9, 10, 9, 9, 10, 9, 9, 10, 9, 7]
    """
    shards: list[range] = []
    for block in block_ranges(n_items):
        if shards and block.stop - shards[-1].start <= items_per_shard:
            shards[-1] = range(shards[-1].start, block.stop)
        else:
            shards.append(block)
    return shards


def sums_of(listed: Listed, span: range, kinds: Kinds) -> SumsOf:
    """Describe the sums over a shard.

    Args:
        listed: the data set.
        span: positions of the shard's items, whole blocks.
        kinds: what is summed.

    Returns:
        The description.
    """
    inside = [block for block in block_ranges(len(listed.items)) if block.start in span]
    return SumsOf(
        kinds=kinds,
        n_classes=len(listed.classes),
        first_item=span.start,
        blocks=tuple(range(b.start - span.start, b.stop - span.start) for b in inside),
        label_digests=listed.label_digests[span.start : span.stop],
    )


class Sums:
    """Sums over items that are shown one after the other, each once or again.

    Args:
        model_id: whose maps they are, for errors.
        wanted: what is summed.
        dataset: reads labels.
        items: the items.
    """

    def __init__(
        self, model_id: str, wanted: SumsOf, dataset: Dataset, items: Sequence[Item]
    ) -> None:
        self._model_id, self._wanted, self._dataset, self._items = model_id, wanted, dataset, items
        self._seen = 0
        self._blocks: dict[range, Block] = {}

    @property
    def blocks(self) -> list[Block]:
        """Those that have a labelled pixel, in order."""
        return [self._blocks[key] for key in self._wanted.blocks if key in self._blocks]

    def add(self, index: int, maps: tuple[Tensor, ...]) -> None:
        """Add all labelled pixels of an item; one that was added already is passed over.

        Args:
            index: of the item.
            maps: its features, and its logits where they are another map.

        Raises:
            DataError: its label is corrupt or changed.
            ModelError: a map is not finite.
        """
        if index < self._seen:
            return
        wanted = self._wanted
        digest = wanted.label_digests[index] if wanted.label_digests else None
        class_ids = self._dataset.label(self._items[index], digest)
        n_pixels = int((class_ids >= 0).sum())
        if n_pixels:
            for map_Dhw in maps:
                self._refuse_not_finite(map_Dhw, index)
            kinds, n_classes = wanted.kinds, wanted.n_classes
            key = next(block for block in wanted.blocks if index in block)
            own = Block(
                wanted.first_item + key.start,
                n_pixels,
                map_moments(maps[0], class_ids, n_classes) if kinds.moments else None,
                map_confusion(maps[-1], class_ids, n_classes) if kinds.predictions else None,
            )
            self._blocks[key] = _joined(self._blocks[key], own) if key in self._blocks else own
        self._seen = index + 1

    def _refuse_not_finite(self, map_Dhw: Tensor, index: int) -> None:
        bad = int(map_Dhw.numel() - torch.isfinite(map_Dhw).sum())
        if bad:
            raise ModelError(
                f"model {self._model_id}: {bad} of {map_Dhw.numel()} values of the map of "
                f"{self._items[index].id} are not finite; check the weights and the preprocessing"
            )


def _joined(block: Block, more: Block) -> Block:
    moments, count_TZ = block.moments, block.count_TZ
    if moments is not None and more.moments is not None:
        moments = merged([moments, more.moments])
    if count_TZ is not None and more.count_TZ is not None:
        count_TZ = count_TZ + more.count_TZ
    return Block(block.first_item, block.n_pixels + more.n_pixels, moments, count_TZ)
