"""Read the tables of a run's pairs: from few compact objects where there are any, or singly."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        whole = dict.fromkeys(groups)
        if compacts:
            found = pool.map(lambda group: read_compact(group, store), groups)
            whole |= zip(groups, found, strict=True)
        scattered = [group for group in groups if whole[group] is None]
        wanted = [name for group in scattered for name in group]
        parts = dict(zip(wanted, pool.map(lambda name: _part(name, store), wanted), strict=True))
        tables = {g: [t for name in g if (t := parts[name]) is not None] for g in scattered}
        sound = [group for group in scattered if len(tables[group]) == len(group)]
        if compacts:
            list(pool.map(lambda group: write_compact(group, tables[group], store), sound))
    read = [one for group in groups for one in tables.get(group, [whole[group]])]
    by = ("source_model", "target_dataset", "metric", "repetition")
    order = [(name, "ascending") for name in by]
    full = pa.concat_tables([PAIR.empty_table(), *read, *unfinished]).sort_by(order)
    damaged = sorted(name for name, part in parts.items() if part is None)
    return Gathered(full.combine_chunks(), tuple(damaged))


def _part(name: str, store: Store) -> pa.Table | None:
    try:
        return store.get_table(f"scores/{name}.parquet", PAIR)
    except DamagedError:
        return None
