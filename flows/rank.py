"""`rank_zoo`: count, identify, score what is new, publish."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import yaml
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from rich.console import Console

from flows.manifest import manifest
from flows.progress import Progress
from flows.published import published_summary, tables_mark
from flows.scored import read_all, score
from flows.sources import with_signatures
from otce.config_file import load_config
from otce.datasets.expand import expanded
from otce.store import Store
from tasks.publish import publish


@dataclass(frozen=True)
class RunOutcome:
    """What a run did.

    Attributes:
        run_id: folder of its tables below `runs/`.
        store_uri: the store.
        summary: `otce.tables.SUMMARY`, all targets.
        computed: pairs scored now.
        reused: pairs found in the store.
        failures: rows of `otce.tables.FAILURES`.
        set_aside: keys that damaged objects have now; they were computed again.
    """

    run_id: str
    store_uri: str
    summary: pa.Table
    computed: int
    reused: int
    failures: list[dict[str, Any]]
    set_aside: tuple[str, ...]


def _run_name() -> str:
    return f"rank {PurePath(flow_run.parameters['config_uri']).stem}"


@flow(name="rank-zoo", flow_run_name=_run_name, persist_result=False, retries=0)
def rank_zoo(config_uri: str, overrides: list[str] | None = None) -> RunOutcome:
    """Rank a zoo of source models for every target of a configuration.

    What the store holds is not computed again: equal science gives equal object names.

    Args:
        config_uri: path or fsspec URI of the configuration.
        overrides: `dotted.key=value` texts.

    Returns:
        The ranking and what it took.

    Raises:
        ConfigError: the configuration is wrong.
        DataError: there are no cities (or sequences) to make data sets of.
        StoreError: the store cannot be used.
        ClusterError: Ray cannot be used.
    """
    started = datetime.now(UTC)
    config, described = with_signatures(expanded(load_config(config_uri, overrides or ())))
    store = Store(config.execution.store, config.execution.storage_options)
    store.probe()
    with Progress(Console(stderr=True)) as progress:
        done = score(config, described, store, progress)
        found = done.found
        items = {id_: [item.id for item in data.items] for id_, data in found.listed.items()}

        def about() -> dict[str, Any]:
            counts = done.counts(config)
            return manifest(config, found.listed, done.censuses, found.sides, counts, started)

        mark = tables_mark(about(), done.names, items)
        summary = published_summary(config.run_id, mark, store) if done.is_idle else None
        if summary is None:
            done, full = read_all(config, described, store, progress, done)
            summary = publish(
                config.run_id,
                store,
                full=full,
                race=done.race,
                failures=done.failures,
                source_classes={id_: side.classes for id_, side in found.sides.items()},
                target_classes={id_: data.classes for id_, data in found.listed.items()},
                target_items=items,
                manifest=about() | {"tables": mark},
                config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
            )
    _show_ranking(config.run_id, summary)
    counts = done.counts(config)
    return RunOutcome(
        run_id=config.run_id,
        store_uri=store.uri,
        summary=summary,
        computed=counts["computed"],
        reused=counts["reused"],
        failures=done.failures,
        set_aside=done.set_aside,
    )


def _show_ranking(run_id: str, summary: pa.Table) -> None:
    columns = ["target_dataset", "rank", "source_model", "mean", "stderr", "normalized"]
    key = "".join(c if c.isalnum() else "-" for c in f"ranking-{run_id}".lower())
    create_table_artifact(
        key=key,
        table=summary.select(columns).to_pylist(),
        description=f"OTCE ranking of run {run_id}: nats, at most 0, higher is better",
    )
