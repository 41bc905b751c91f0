"""Read the tables of a run's pairs: from few compact objects where there are any, or singly."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from otce.errors import DamagedError
from otce.storage.compact import grouped, read_compact, write_compact
from otce.storage.store import Store
from otce.tables import PAIR

FEWEST_TO_COMPACT: Final = 1_000
"""Pair tables of a run from which compact objects are worth their writing."""
_AT_ONCE: Final = 16


@dataclass(frozen=True)
class Gathered:
    """Pair tables as they were read.

    Attributes:
        table: all that are sound, of schema `otce.tables.PAIR`, in the order of tables.
        damaged: fingerprints of the others, sorted.
    """

    table: pa.Table
    damaged: tuple[str, ...]


@task(task_run_name="gather", cache_policy=NO_CACHE, persist_result=False)
def gather(
    names: Sequence[tuple[str, str]],
    unfinished: Sequence[pa.Table],
    store: Store,
    *,
    fewest_to_compact: int = FEWEST_TO_COMPACT,
) -> Gathered:
    """Read all pair tables of a run, and leave compact objects for the next.

    Args:
        names: model id and fingerprint of each pair table; all are kept.
        unfinished: tables of the pairs that left a race.
        store: where they are kept.
        fewest_to_compact: a run of fewer pair tables neither looks for compact objects nor leaves
            any.

    Returns:
        The tables, and which of them are damaged.

    Raises:
        StoreError: the store does not answer, or a table is not there.
    """
    groups = grouped(names)
    compacts = len(names) >= fewest_to_compact
    damaged: list[str] = []
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        whole: dict[tuple[str, ...], pa.Table | None] = dict.fromkeys(groups)
        if compacts:
            found = pool.map(lambda group: read_compact(group, store), groups)
            whole |= zip(groups, found, strict=True)
        scattered = [group for group in groups if whole[group] is None]
        parts = pool.map(lambda name: _part(name, store), chain.from_iterable(scattered))
        writes = []
        for group in scattered:
            read = dict(zip(group, islice(parts, len(group)), strict=True))
            lost = [name for name, part in read.items() if part is None]
            # At once: a small table takes many times the memory of its rows in a large one.
            sound = [part for part in read.values() if part is not None] or [PAIR.empty_table()]
            whole[group] = together = pa.concat_tables(sound).combine_chunks()
            if compacts and not lost:
                writes.append(pool.submit(write_compact, group, together, store))
            damaged += lost
        for write in writes:
            write.result()
    by = ("source_model", "target_dataset", "metric", "repetition")
    order = [(name, "ascending") for name in by]
    tables = [PAIR.empty_table(), *(whole[group] for group in groups), *unfinished]
    return Gathered(
        pa.concat_tables(tables).sort_by(order).combine_chunks(), tuple(sorted(damaged))
    )


def _part(name: str, store: Store) -> pa.Table | None:
    try:
        return store.get_table(f"scores/{name}.parquet", PAIR)
    except DamagedError:
        return None
