"""Put a run's tables, manifest and report, made of its pair tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from otce import tables
from otce.drift import DRIFT, Earlier, changed_pairs, drift
from otce.errors import StoreError
from otce.intervals import Side
from otce.ranking import summarize
from otce.sides import sides_by_pair
from otce.storage.store import Store
from otce.timing_table import TIMINGS
from otce.unfolded import joints, risks
from tasks.kept import kept_sides


@task(task_run_name="publish {run_id}", cache_policy=NO_CACHE, persist_result=False)
def publish(
    run_id: str,
    store: Store,
    *,
    full: pa.Table,
    failures: Sequence[dict[str, Any]],
    source_classes: Mapping[str, Sequence[str]],
    target_classes: Mapping[str, Sequence[str]],
    target_items: Mapping[str, Sequence[str]],
    manifest: Mapping[str, Any],
    config_yaml: str,
    references: pa.Table,
    earlier: Earlier | None = None,
    race: pa.Table | None = None,
    timings: pa.Table,
) -> dict[str, pa.Table]:
    """Put the tables, the configuration, the manifest and the report of a run.

    Args:
        run_id: folder below `runs/`.
        store: the store.
        full: all rows of all pairs, of schema `otce.tables.PAIR`, in the order of tables.
        failures: rows of the failures table.
        source_classes: class names of the source side, by model id.
        target_classes: class names by data set id.
        target_items: ids of the images by data set id.
        manifest: what the run was.
        config_yaml: the checked configuration as YAML.
        references: what the run refers to, of schema `otce.storage.retention.REFERENCES`.
        earlier: the finished run that this one is compared with, if there is one.
        race: what a race decided, of schema `otce.tables.RACE`, if there was one.
        timings: what was computed took; where nothing was, that of an earlier start stays.

    Returns:
        The tables of the report by name.

    Raises:
        StoreError: the store refuses or does not answer; when it refuses the report only, the run
            is whole without it.
    """
    # Plots are loaded by the process that draws them only.
    from otce.report.page import render  # noqa: PLC0415

    found = {
        "scores": full.select(tables.SCORES.names).cast(tables.SCORES),
        "summary": summarize(full),
        "joints": joints(full, source_classes, target_classes),
        "risks": risks(full, target_classes, target_items),
        "failures": _failures(failures),
    }
    if race is not None:
        found["race"] = race
    if timings.num_rows:
        store.put_table(f"runs/{run_id}/timings.parquet", timings)
    if earlier is not None:
        sides = _changed_sides(store, full, earlier, found["summary"])
        found["drift"] = drift(earlier, manifest, found["summary"], sides)
    elif manifest.get("previous") and store.exists(key := f"runs/{run_id}/drift.parquet"):
        # The run before was pruned since; what was found then stands.
        found["drift"] = store.get_table(key, DRIFT)
    for name, table in (found | {"references": references}).items():
        store.put_table(f"runs/{run_id}/{name}.parquet", table)
    store.put(f"runs/{run_id}/config.yaml", config_yaml.encode())
    # After the tables: a run that has a manifest is whole. Its report can be drawn at any time.
    store.put_json(f"runs/{run_id}/manifest.json", manifest)
    timed = kept_timings(store, f"runs/{run_id}")
    page = render(manifest=manifest, timings=timed, **found).encode()
    try:
        store.put(f"runs/{run_id}/report.html", page)
    except StoreError as error:
        raise StoreError(
            f"{error}; all tables of the run are written, and `otce report {store.uri} {run_id}` "
            "draws the report alone"
        ) from error
    return found


def _changed_sides(
    store: Store, full: pa.Table, earlier: Earlier, summary: pa.Table
) -> dict[str, list[Side] | None]:
    """Read the images behind the scores that differ from those of the earlier run."""
    changed = changed_pairs(earlier.summary, summary)
    now = full.filter(pc.is_in(full["pair_fingerprint"], pa.array(sorted(changed), pa.string())))
    found = sides_by_pair(now)
    return found | kept_sides(changed - found.keys(), store)


def kept_timings(store: Store, folder: str) -> pa.Table | None:
    """Read what the last start of a run that computed something took.

    Args:
        store: the store.
        folder: the run's.

    Returns:
        A table of `otce.timing_table.TIMINGS`; None where no start told.

    Raises:
        StoreError: the table is damaged.
    """
    key = f"{folder}/timings.parquet"
    return store.get_table(key, TIMINGS) if store.exists(key) else None


def _failures(rows: Sequence[dict[str, Any]]) -> pa.Table:
    def place(row: dict[str, Any]) -> tuple[str, str, str, int]:
        pair = row["source_model"], row["target_dataset"]
        return *pair, row["metric"] or "", row["repetition"] or 0

    return tables.table(sorted(rows, key=place), tables.FAILURES)
