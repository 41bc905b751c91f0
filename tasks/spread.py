"""One data set over several slots: places that nobody else needs help with its shards."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from otce.errors import PlacementError
from tasks.extract import ModelOnSlot, Parts, by_repetition
from tasks.ray_calls import Refs
from tasks.retry import GaveUpError
from tasks.shards import Placed
from tasks.slots import Slot, Slots
from tasks.sums import Kinds

_SHARDS_EACH: Final = 2
"""Fewest shards for which a helper loads the model."""


def spread(
    model: ModelOnSlot,
    helper: Callable[[Slot], ModelOnSlot],
    slots: Slots,
    shards: Sequence[Placed],
    repetitions: range,
    *,
    with_logits: bool,
    sums: Kinds,
) -> Refs:
    """Extract some draws of one data set on a model's own slot, and on idle ones.

    Shards are cut the same however many work on them, so their bytes are the same.

    Args:
        model: the model on its own slot.
        helper: puts the model on a slot that is lent.
        slots: where idle ones are.
        shards: of the data set, in order of items.
        repetitions: which draws they are of.
        with_logits: whether the model's predictions are needed as well.
        sums: what they sum over all labelled pixels.

    Returns:
        References of the parts of each draw, in order of items, and of the sums.

    Raises:
        GaveUpError: a shard failed for good.
        PlacementError: no node has room for the model's own actor.
    """
    todo = deque(range(len(shards)))
    parts: Parts = {}

    def help_on(slot: Slot) -> None:
        # What a helper cannot do goes back to the model's own slot, which tells why.
        with suppress(GaveUpError, PlacementError):
            helper(slot).work_through(shards, todo, parts, with_logits=with_logits)

    with slots.idle(len(shards) // _SHARDS_EACH - 1) as lent:
        with ThreadPoolExecutor(max_workers=len(lent) + 1) as pool:
            for slot in lent:
                pool.submit(help_on, slot)
            try:
                model.work_through(shards, todo, parts, with_logits=with_logits)
            except BaseException:
                todo.clear()
                raise
        model.work_through(shards, todo, parts, with_logits=with_logits)
    return by_repetition(parts, repetitions, sums)
