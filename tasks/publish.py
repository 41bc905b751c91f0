"""Put a run's tables, manifest and report, made of its pair tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from otce import tables
from otce.explain import BOUNDARIES, FREQUENCIES
from otce.ranking import summarize
from otce.store import Store


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
    race: pa.Table | None = None,
) -> pa.Table:
    """Put the tables, the manifest, the configuration and the report of a run.

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
        race: what a race decided, of schema `otce.tables.RACE`, if there was one.

    Returns:
        The summary table.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    # Plots are loaded by the process that draws them only.
    from otce.report import render  # noqa: PLC0415

    found = {
        "scores": full.select(tables.SCORES.names).cast(tables.SCORES),
        "summary": summarize(full),
        "joints": _joints(full, source_classes, target_classes),
        "risks": _risks(full, target_classes, target_items),
        "failures": _failures(failures),
    }
    if race is not None:
        found["race"] = race
    for name, table in found.items():
        store.put_table(f"runs/{run_id}/{name}.parquet", table)
    store.put(f"runs/{run_id}/config.yaml", config_yaml.encode())
    store.put(f"runs/{run_id}/report.html", render(manifest=manifest, **found).encode())
    # Last: a run that has a manifest is whole.
    store.put_json(f"runs/{run_id}/manifest.json", manifest)
    return found["summary"]


def _failures(rows: Sequence[dict[str, Any]]) -> pa.Table:
    def place(row: dict[str, Any]) -> tuple[str, str, str, int]:
        pair = row["source_model"], row["target_dataset"]
        return *pair, row["metric"] or "", row["repetition"] or 0

    return tables.table(sorted(rows, key=place), tables.FAILURES)


def _joints(
    full: pa.Table,
    source_classes: Mapping[str, Sequence[str]],
    target_classes: Mapping[str, Sequence[str]],
) -> pa.Table:
    rows = []
    for pair in full.filter(pc.is_valid(full["joint"])).to_pylist():
        sources, targets = pair["source_classes"], pair["target_classes"]
        source_names = source_classes[pair["source_model"]]
        target_names = target_classes[pair["target_dataset"]]
        same = {name: pair[name] for name in (*tables.JOINTS.names[:4], "metric")}
        rows += [
            same
            | {
                "source_class": source,
                "source_class_name": source_names[source],
                "target_class": target,
                "target_class_name": target_names[target],
                "probability": pair["joint"][i * len(targets) + j],
            }
            for i, source in enumerate(sources)
            for j, target in enumerate(targets)
        ]
    return tables.table(rows, tables.JOINTS)


def _risks(
    full: pa.Table,
    target_classes: Mapping[str, Sequence[str]],
    target_items: Mapping[str, Sequence[str]],
) -> pa.Table:
    rows = []
    for pair in full.filter(pc.equal(full["metric"], "otce")).to_pylist():
        target = pair["target_dataset"]
        names = {
            "class": target_classes[target],
            "image": target_items[target],
            "boundary": BOUNDARIES,
            "frequency": FREQUENCIES,
        }
        same = {name: pair[name] for name in tables.RISKS.names[:3]}
        rows += [
            same | part | {"name": names[part["cut"]][part["key"]]} for part in pair["parts"] or []
        ]
    return tables.table(rows, tables.RISKS)
