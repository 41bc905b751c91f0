"""`rank_zoo`: count, identify, score what is new, publish."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import yaml
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.events import emit_event
from prefect.runtime import flow_run
from rich.console import Console

from flows.history import History, earlier_run, history
from flows.journal import Journal
from flows.manifest import manifest
from flows.pairs import Prepared, prepare
from flows.progress import Progress
from flows.published import published_summary, tables_mark
from flows.references import references
from flows.scored import Scored, read_all, score
from flows.selection import selected, without_known_failures
from flows.sources import Described, with_signatures
from flows.teller import Teller
from flows.view import shown
from otce.config import RunConfig
from otce.config_file import load_config
from otce.datasets.expand import expanded
from otce.drift import DRIFT, Moved, moved, sentence
from otce.events import about, event, in_json, json_lines
from otce.storage.store import Store
from tasks.publish import publish
from tasks.timings import Timings


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
        drift: where the first models of a target changed by more than noise, in one line.
    """

    run_id: str
    store_uri: str
    summary: pa.Table
    computed: int
    reused: int
    failures: list[dict[str, Any]]
    set_aside: tuple[str, ...] = ()
    drift: str | None = None


def _run_name() -> str:
    return f"rank {PurePath(flow_run.parameters['config_uri']).stem}"


@flow(name="rank-zoo", flow_run_name=_run_name, persist_result=False, retries=0)
def rank_zoo(
    config_uri: str,
    overrides: list[str] | None = None,
    store: str | None = None,
    only: list[str] | None = None,
    since: str | None = None,
) -> RunOutcome:
    """Rank a zoo of source models for every target of a configuration.

    What the store holds is not computed again: equal science gives equal object names. So every
    run is incremental, and only new models, new targets and changed data sets cost anything.

    Args:
        config_uri: path or fsspec URI of the configuration.
        overrides: `dotted.key=value` texts.
        store: path or fsspec URI of the store, in place of `execution.store`.
        only: globs of ids of models and targets; the others are left out.
        since: id of an earlier run, or `previous`: what failed for good there is not tried again
            unless its model or a data set changed.

    Returns:
        The ranking and what it took.

    Raises:
        ConfigError: the configuration is wrong, or `only` or `since` names nothing.
        DataError: there are no cities (or sequences) to make data sets of.
        StoreError: the store cannot be used.
        ClusterError: Ray cannot be used.
    """
    started = datetime.now(UTC)
    changes = [*(overrides or ()), *([f"execution.store={json.dumps(store)}"] if store else ())]
    with json_lines():
        written = selected(expanded(load_config(config_uri, changes)), only or ())
        config, described = with_signatures(written)
        place = Store(config.execution.store, config.execution.storage_options)
        place.probe()
        with Progress(Console(stderr=True, quiet=in_json())) as progress:
            found = _prepared(config, described, since, place, progress)
            series = history(config, found, place)
            config = config if series.number is None else config.numbered(series.run_id)
            with about(run_id=config.run_id):
                return _ranked(
                    config,
                    found,
                    lambda: _prepared(config, described, since, place, progress),
                    series,
                    place,
                    progress,
                    started,
                )


def _prepared(
    config: RunConfig, described: Described, since: str | None, place: Store, progress: Progress
) -> Prepared:
    found = prepare(config, described, place, progress)
    return without_known_failures(config, found, since, place)


def _ranked(
    config: RunConfig,
    found: Prepared,
    look_again: Callable[[], Prepared],
    series: History,
    place: Store,
    progress: Progress,
    started: datetime,
) -> RunOutcome:
    """Score what is to be scored, publish what changed, and tell what came of it."""
    journal, timings = Journal(place, config.run_id, started), Timings()
    teller = Teller(progress, journal, timings)
    if found.todo:
        journal.put_plan(config, found)
    _tell_start(config, found)
    teller.failures(found.failures)

    def scored(found: Prepared) -> Scored:
        return score(config, found, place, progress, teller, timings)

    done = scored(found)
    items = {id_: [item.id for item in data.items] for id_, data in found.listed.items()}

    def facts() -> dict[str, Any]:
        counts = done.counts(config)
        told = manifest(config, found.listed, done.censuses, found.sides, counts, started)
        return told | series.facts

    mark = tables_mark(facts(), done.names, items)
    summary = published_summary(config.run_id, mark, place) if done.is_idle else None
    is_again = place.exists(f"runs/{config.run_id}/manifest.json")
    if summary is None:
        # A start that writes nothing leaves the plan that the manifest belongs to.
        if not found.todo:
            journal.put_plan(config, found)
        done, full = read_all(place, progress, done, lambda: scored(look_again()))
        published = publish(
            config.run_id,
            place,
            full=full,
            race=done.race,
            failures=done.failures,
            source_classes={id_: side.classes for id_, side in found.sides.items()},
            target_classes={id_: data.classes for id_, data in found.listed.items()},
            target_items=items,
            manifest=facts() | {"tables": mark},
            references=references(config, found),
            earlier=earlier_run(series.previous, place),
            config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
            timings=done.timings,
        )
        summary = published["summary"]
    _show_ranking(config.run_id, summary)
    moves, told = _moves(config, series, place)
    # A night without changes is the last run again, of which the alarm was raised.
    if moves and not is_again:
        _raise_alarm(config.run_id, series.previous, moves, told)
    counts = done.counts(config)
    event("run_finished", seconds=(datetime.now(UTC) - started).total_seconds(), **counts)
    return RunOutcome(
        run_id=config.run_id,
        store_uri=place.uri,
        summary=summary,
        computed=counts["computed"],
        reused=counts["reused"],
        failures=done.failures,
        set_aside=done.set_aside,
        drift=told,
    )


def _moves(config: RunConfig, series: History, place: Store) -> tuple[list[Moved], str | None]:
    """Say what changed among the first models since the run before."""
    key = f"runs/{config.run_id}/drift.parquet"
    if series.previous is None or not place.exists(key):
        return [], None
    top_k = config.race.top_k
    moves = moved(place.get_table(key, DRIFT), top_k)
    return moves, sentence(moves, top_k, str(series.previous)) if moves else None


def _tell_start(config: RunConfig, found: Prepared) -> None:
    counts = {"models": len(config.models), "targets": len(config.targets)}
    event("run_started", pairs=len(config.pairs), to_score=len(found.todo), **counts)


def _show_ranking(run_id: str, summary: pa.Table) -> None:
    columns = ["target_dataset", "rank", "source_model", "mean", "stderr", "normalized"]
    key = "".join(c if c.isalnum() else "-" for c in f"ranking-{run_id}".lower())
    shown(
        lambda: create_table_artifact(
            key=key,
            table=summary.select(columns).to_pylist(),
            description=f"OTCE ranking of run {run_id}: nats, at most 0, higher is better",
        )
    )


def _raise_alarm(
    run_id: str, previous: str | None, moves: Sequence[Moved], told: str | None
) -> None:
    """Emit an event that automations of the Prefect server can act on."""
    emit_event(
        event="otce.first-models-changed",
        resource={"prefect.resource.id": f"otce.run.{run_id}", "prefect.resource.name": run_id},
        payload={
            "previous_run": previous,
            "message": told,
            "targets": [move._asdict() for move in moves],
        },
    )
