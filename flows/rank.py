"""`rank_zoo`: count, identify, score what is new, publish."""

import json
from collections.abc import Container, Sequence
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

from flows.history import earlier_run, history
from flows.manifest import manifest
from flows.pairs import Pair, Prepared, lost_pairs, prepare
from flows.progress import Progress
from flows.references import references
from flows.repetitions import join_whole, score_in_full
from flows.rounds import left_early, race_zoo, unfinished_tables
from flows.score import Scorer
from flows.selection import selected, without_known_failures
from flows.sources import with_signatures
from otce.config import RunConfig
from otce.config_file import load_config
from otce.datasets.expand import expanded
from otce.drift import Moved, moved, sentence
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
        drift: where the first models of a target changed by more than noise, in one line.
    """

    run_id: str
    store_uri: str
    summary: pa.Table
    computed: int
    reused: int
    failures: list[dict[str, Any]]
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
    written = selected(expanded(load_config(config_uri, changes)), only or ())
    config, described = with_signatures(written)
    place = Store(config.execution.store, config.execution.storage_options)
    place.probe()
    with Progress(Console(stderr=True)) as progress:
        found = prepare(config, described, place, progress)
        found = without_known_failures(config, found, since, place)
        series = history(config, found, place)
        config = config if series.number is None else config.numbered(series.run_id)
        progress.say(_plan_line(config, found.reused, len(found.todo)))
        with Scorer(config, place, found, progress) as scorer:
            if config.strategy == "race":
                race = race_zoo(config, found, place, scorer, progress)
            else:
                race = None
                score_in_full(config, found, place, scorer, found.todo)
        kept = join_whole(config, found, place)
    left = left_early(race) if race is not None else {}
    failures, computed = scorer.failures, len(scorer.computed)
    failed = {(row["source_model"], row["target_dataset"]) for row in failures}
    reused = len(found.names.keys() - scorer.computed - failed)
    counts = {
        "total": len(config.pairs),
        "computed": computed,
        "reused": reused,
        "failed": len(failed),
    }
    is_again = place.exists(f"runs/{config.run_id}/manifest.json")
    published = publish(
        config.run_id,
        place,
        pairs=_published(found, failures, left),
        unfinished=unfinished_tables(config, found, kept, left),
        race=race,
        failures=failures,
        source_classes={id_: side.classes for id_, side in found.sides.items()},
        target_classes={id_: data.classes for id_, data in found.listed.items()},
        target_items={id_: [i.id for i in data.items] for id_, data in found.listed.items()},
        manifest=manifest(config, found.listed, scorer.censuses, found.sides, counts, started)
        | series.facts,
        references=references(config, found),
        earlier=earlier_run(series.previous, place),
        config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    )
    summary = published["summary"]
    _show_ranking(config.run_id, summary)
    top_k = config.race.top_k
    moves = moved(published["drift"], top_k) if "drift" in published else []
    told = sentence(moves, top_k, str(series.previous)) if moves else None
    # A night without changes is the last run again, of which the alarm was raised.
    if moves and not is_again:
        _raise_alarm(config.run_id, series.previous, moves, told)
    return RunOutcome(config.run_id, place.uri, summary, computed, reused, failures, told)


def _published(found: Prepared, failures: list[dict[str, Any]], left: Container[Pair]) -> list[str]:
    """Fingerprints of all metrics of all pairs that have a table of their own."""
    lost = lost_pairs(failures)
    failed = {(row["source_model"], row["target_dataset"], row["metric"]) for row in failures}
    return [
        name
        for pair in sorted(found.names)
        if pair not in lost and pair not in left
        for metric, name in found.names[pair].items()
        if (*pair, metric) not in failed
    ]


def _plan_line(config: RunConfig, reused: int, new: int) -> str:
    sampling = config.sampling
    todo = "nothing to compute" if not new else f"{new} to score"
    if new and config.strategy == "race":
        todo = f"{new} race for the best {config.race.top_k}"
    return (
        f"{len(config.models)} models, {len(config.targets)} targets, {len(config.pairs)} pairs: "
        f"{reused} in the store, {todo}; {sampling.repetitions} draws of {sampling.pixels} pixels"
    )


def _show_ranking(run_id: str, summary: pa.Table) -> None:
    columns = ["target_dataset", "rank", "source_model", "mean", "stderr", "normalized"]
    key = "".join(c if c.isalnum() else "-" for c in f"ranking-{run_id}".lower())
    create_table_artifact(
        key=key,
        table=summary.select(columns).to_pylist(),
        description=f"OTCE ranking of run {run_id}: nats, at most 0, higher is better",
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
