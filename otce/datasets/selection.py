"""Which items of a data set are taken: a choice that depends on ids and a seed alone."""

from collections.abc import Iterable

import numpy as np

from otce.fingerprint import digest


def chosen_ids(
    ids: Iterable[str],
    *,
    between: tuple[float, float] = (0.0, 1.0),
    every: int = 1,
    spread: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[str]:
    """Choose items: first those between two places, of these each so-many-th, then fewer.

    With a limit, each id has a rank of its own, drawn from the seed and the id, and the lowest
    ranks are taken: so that choice knows no order, a higher limit only adds to it, and an item that
    joins the data set displaces at most one.

    Args:
        ids: all ids, in any order.
        between: shares of the items, in order of ids, where those taken begin and end; two parts
            that meet at a share have no item in common and miss none.
        every: take each so-many-th in order of ids, the first one included.
        spread: most of them to take, evenly spaced; none: all.
        limit: most of them to take; none: all.
        seed: root of the draw.

    Returns:
        Chosen ids, sorted.

    Example:
        >>> chosen_ids(["d", "c", "b", "a", "e"], every=2)
        ['a', 'c', 'e']
        >>> chosen_ids("abcdefghij", between=(0.0, 0.6), spread=2)
        ['b', 'e']
    """
    left = sorted(ids)
    first, end = (round(share * len(left)) for share in between)
    left = left[first:end][::every]
    if spread is not None:
        left = [left[position] for position in evenly_spaced(len(left), spread)]
    if limit is None or limit >= len(left):
        return left
    return sorted(sorted(left, key=lambda id_: (_rank(seed, id_), id_))[:limit])


def evenly_spaced(n_items: int, most: int) -> list[int]:
    """Spread a choice over ordered items: the middle one of each of `most` equal parts.

    Args:
        n_items: how many there are.
        most: how many to take; more than there are: all.

    Returns:
        Positions, ascending.

    Example:
        >>> evenly_spaced(10, 3)
        [1, 5, 8]
    """
    count = min(n_items, most)
    return [(2 * part + 1) * n_items // (2 * count) for part in range(count)]


def _rank(seed: int, id_: str) -> int:
    key = np.random.SeedSequence([seed, int(digest(id_.encode()), 16)])
    return int(key.generate_state(1, np.uint64)[0])
