"""Many small pair tables as few large objects, beside them and never in their place.

A compact object is named by the pair tables that it holds, so it is found without listing, is the
same whoever writes it, and is never out of date: other tables are another name. What is wrong with
one costs reading its parts. All of them lie below `compact/`, and any may be deleted at any time.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa

from otce.errors import StoreError
from otce.fingerprint import digest, fingerprint
from otce.storage.store import Store
from otce.tables import PAIR

GROUPS: Final = 64
"""Most compact objects of a run; models are shared out by their ids, so that a new model, or a
changed one, costs one new object."""


def grouped(names: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Share out pair tables.

    Args:
        names: model id and fingerprint of each pair table.

    Returns:
        Groups of fingerprints, sorted, whatever order they were given in.
    """
    groups: dict[int, set[str]] = {}
    for model, name in names:
        groups.setdefault(int(digest(model.encode())[:8], 16) % GROUPS, set()).add(name)
    return [tuple(sorted(groups[place])) for place in sorted(groups)]


def compact_key(names: Sequence[str]) -> str:
    """Name the compact object of pair tables.

    Args:
        names: their fingerprints, sorted.

    Returns:
        Key below the root of the store.
    """
    recipe = {"kind": "compact", "columns": PAIR.names, "pairs": names}
    return f"compact/{fingerprint(recipe)}.parquet"


def read_compact(names: Sequence[str], store: Store) -> pa.Table | None:
    """Read the compact object of pair tables.

    Args:
        names: their fingerprints, sorted.
        store: where it is kept.

    Returns:
        Their rows, of `otce.tables.PAIR`; None when there is no such object, or it cannot be used.
    """
    try:
        found = store.get_table(compact_key(names), PAIR)
    except StoreError:
        # Absent, damaged or refused: the parts are there, and say what is wrong with the store.
        return None
    held = set(found["pair_fingerprint"].unique().to_pylist())
    return found if held == set(names) else None


def write_compact(names: Sequence[str], table: pa.Table, store: Store) -> None:
    """Put the compact object of pair tables.

    Args:
        names: their fingerprints, sorted.
        table: their rows, in that order, without chunks.
        store: where it is kept.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    store.put_table(compact_key(names), table)
