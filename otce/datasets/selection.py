"""Which items of a data set are taken: a choice that depends on ids and a seed alone."""

from collections.abc import Iterable

import numpy as np

from otce.fingerprint import digest


def chosen_ids(
    ids: Iterable[str], *, every: int = 1, limit: int | None = None, seed: int = 0
) -> list[str]:
    """Choose items.

    Each id has a rank of its own, drawn from the seed and the id, and the lowest ranks are taken:
    so the choice knows no order, a higher limit only adds to it, and an item that joins the data
    set displaces at most one.

    Args:
        ids: all ids, in any order.
        every: take each so-many-th in order of ids, the first one included.
        limit: most of them to take; none: all.
        seed: root of the draw.

    Returns:
        Chosen ids, sorted.

    Example:
        >>> chosen_ids(["d", "c", "b", "a", "e"], every=2)
        ['a', 'c', 'e']
    """
    left = sorted(ids)[::every]
    if limit is None or limit >= len(left):
        return left
    return sorted(sorted(left, key=lambda id_: (_rank(seed, id_), id_))[:limit])


def _rank(seed: int, id_: str) -> int:
    key = np.random.SeedSequence([seed, int(digest(id_.encode()), 16)])
    return int(key.generate_state(1, np.uint64)[0])
