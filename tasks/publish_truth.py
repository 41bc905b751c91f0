"""Assemble the tables of measured transfers from what is kept of each."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from otce.measure_config import BASELINES, KINDS
from otce.storage.store import Store
from otce.tables import table
from otce.transfer.tables import FAILURES, KEPT, TIMINGS, Cell, truth_tables

_AT_ONCE: Final = 8


@task(task_run_name="publish truth {run_id}", cache_policy=NO_CACHE, persist_result=False)
def publish_truth(
    run_id: str,
    store: Store,
    *,
    names: Mapping[Cell, str],
    sources: Mapping[str, str],
    failures: Sequence[dict[str, Any]],
    manifest: Mapping[str, Any],
    config_yaml: str,
) -> pa.Table:
    """Put the tables and the manifest of measured transfers beside those of the run's scores.

    Args:
        run_id: folder below `runs/`.
        store: the store.
        names: fingerprints of the transfers that are kept.
        sources: id of the source data set, by model.
        failures: rows of `otce.transfer.tables.FAILURES`.
        manifest: what was done.
        config_yaml: the checked configuration as YAML.

    Returns:
        The table of `otce.transfer.tables.TRUTH`.

    Raises:
        StoreError: what is kept of a transfer is damaged, or the store refuses.
    """
    kept = _rows(store, "truth", KEPT, names.values())
    cells = sorted(names, key=_place)
    truth, images = truth_tables([(c, sources[c.model], kept[names[c]]) for c in cells])
    found = {
        "truth": truth,
        "truth_images": images,
        "truth_failures": table(sorted(failures, key=_failure_place), FAILURES),
        "truth_timings": table(
            list(_rows(store, "truth_timings", TIMINGS, names.values()).values()), TIMINGS
        ),
    }
    for name, one in found.items():
        store.put_table(f"runs/{run_id}/{name}.parquet", one)
    store.put(f"runs/{run_id}/measure.yaml", config_yaml.encode())
    # Last: a measurement that has its manifest is whole.
    store.put_json(f"runs/{run_id}/measure.json", manifest)
    return truth


def sound_transfers(names: Iterable[str], store: Store) -> set[str]:
    """Say which transfers are kept and whole; damaged ones are set aside.

    Args:
        names: fingerprints of transfers.
        store: where they are kept.

    Returns:
        Those that need not be made again.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    ordered = sorted(names)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        found = pool.map(lambda name: store.sound_table(f"truth/{name}.parquet", KEPT), ordered)
        return {name for name, one in zip(ordered, found, strict=True) if one is not None}


def _rows(
    store: Store, folder: str, schema: pa.Schema, names: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """The one row of each object, in order of names."""

    def row(name: str) -> dict[str, Any]:
        found: dict[str, Any] = store.get_table(f"{folder}/{name}.parquet", schema).to_pylist()[0]
        return found

    ordered = sorted(set(names))
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return dict(zip(ordered, pool.map(row, ordered), strict=True))


def _place(cell: Cell) -> tuple[Any, ...]:
    return (
        cell.model,
        cell.target,
        (*BASELINES, *KINDS).index(cell.kind),
        cell.shots,
        cell.seed or 0,
    )


def _failure_place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    cell = row["source_model"], row["target_dataset"], row["kind"] or ""
    return *cell, row["shots"] or 0, row["seed"] or 0
