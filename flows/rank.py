"""`rank_zoo`: count, identify, score what is new, publish."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from threading import Semaphore
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import yaml
from prefect import flow
from prefect.artifacts import create_progress_artifact, create_table_artifact
from prefect.artifacts import update_progress_artifact as update_artifact
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from rich.console import Console

from flows.manifest import manifest
from flows.pairs import Pair, Prepared, gathered, lost_pairs, prepare
from flows.progress import Progress
from flows.sources import with_signatures
from otce.config import RunConfig
from otce.config_file import load_config
from otce.datasets.expand import expanded
from otce.errors import ConfigError, OtceError
from otce.store import Store
from tasks.census import Census, kept_census, take_census
from tasks.cluster import Slots, cluster
from tasks.extract import actor_maker
from tasks.publish import publish
from tasks.retry import Window, explained
from tasks.score import Names, Outcome, Work, failure_row, score_model

if TYPE_CHECKING:
    from uuid import UUID


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
    """

    run_id: str
    store_uri: str
    summary: pa.Table
    computed: int
    reused: int
    failures: list[dict[str, Any]]


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
    if config.strategy == "race":
        raise ConfigError("strategy: race cannot be run yet; set strategy: full")
    store = Store(config.execution.store, config.execution.storage_options)
    store.probe()
    with Progress(Console(stderr=True)) as progress:
        found = prepare(config, described, store, progress)
        progress.say(_plan_line(config, found.reused, len(found.todo)))
        censuses = {
            id_: census
            for id_, data in found.listed.items()
            if (census := kept_census(data, config, store)) is not None
        }
        outcomes = _score(config, store, found, censuses, progress)
    failures = found.failures + [row for outcome in outcomes for row in outcome.failures]
    computed = sum(len(outcome.scored) for outcome in outcomes)
    lost = {(row["source_model"], row["target_dataset"]) for row in failures}
    counts = {
        "total": len(config.pairs),
        "computed": computed,
        "reused": found.reused,
        "failed": len(lost),
    }
    summary = publish(
        config.run_id,
        store,
        pairs=_scored(found, failures),
        failures=failures,
        source_classes={id_: side.classes for id_, side in found.sides.items()},
        target_classes={id_: data.classes for id_, data in found.listed.items()},
        target_items={id_: [i.id for i in data.items] for id_, data in found.listed.items()},
        manifest=manifest(config, found.listed, censuses, found.sides, counts, started),
        config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    )
    _show_ranking(config.run_id, summary)
    return RunOutcome(config.run_id, store.uri, summary, computed, found.reused, failures)


def _score(
    config: RunConfig,
    store: Store,
    found: Prepared,
    censuses: dict[str, Census],
    progress: Progress,
) -> list[Outcome]:
    """Draw what was never drawn (adding it to the censuses) and score what is new, if anything."""
    if not found.todo:
        return []
    progress.say("starting Ray")
    with cluster(config.execution) as plan:
        window = Window(
            plan.in_flight,
            attempts=config.execution.attempts,
            time_limit_s=config.execution.time_limit_s,
        )
        needs = {
            (model, target): (target,)
            if model in found.kept
            else (found.sides[model].source, target)
            for model, target in found.todo
        }
        needed = dict.fromkeys(id_ for ids in needs.values() for id_ in ids)
        undrawn = [found.listed[id_] for id_ in needed if id_ not in censuses]
        progress.expect("censuses", len(undrawn))
        futures = {data.id: take_census.submit(data, config, store, window) for data in undrawn}
        drawn, failures = gathered(futures, needs, lambda: progress.advance("censuses"))
        censuses.update(drawn)
        lost = lost_pairs(failures)
        work = Work(
            config=config,
            store=store,
            censuses=censuses,
            sides=found.sides,
            kept=found.kept,
            plan=plan,
            slots=Slots(plan.actors, actor_maker(plan)),
            window=window,
            on_pair=lambda model, target, failed: _tell(progress, model, target, failed),
        )
        left = {pair: names for pair, names in found.todo.items() if pair not in lost}
        return [Outcome(failures=failures), *_score_models(work, left, progress)]


def _scored(found: Prepared, failures: list[dict[str, Any]]) -> list[str]:
    """Fingerprints of all metrics of all pairs that have a table."""
    lost = lost_pairs(failures)
    failed = {(row["source_model"], row["target_dataset"], row["metric"]) for row in failures}
    return [
        name
        for pair in sorted(found.names)
        if pair not in lost
        for metric, name in found.names[pair].items()
        if (*pair, metric) not in failed
    ]


def _score_models(work: Work, todo: Mapping[Pair, Names], progress: Progress) -> list[Outcome]:
    """Score all models, no more at once than have a slot or wait for transport."""
    models = list(dict.fromkeys(model for model, _ in todo))
    progress.expect("pairs", len(todo))
    if not models:
        return []
    room = Semaphore(work.plan.actors + 1)
    artifact = cast("UUID", create_progress_artifact(progress=0.0, description="models scored"))
    futures: list[PrefectFuture[Outcome]] = []
    for model in models:
        room.acquire()
        pairs = {target: names for (id_, target), names in todo.items() if id_ == model}
        future = score_model.submit(model, pairs, work)
        future.add_done_callback(lambda _: room.release())
        futures.append(future)
    outcomes: dict[int, Outcome] = {}
    for done, future in enumerate(as_completed(futures), start=1):
        index = futures.index(future)
        result: Outcome | Exception = future.result(raise_on_failure=False)
        if isinstance(result, Exception):
            result = _crashed(models[index], todo, explained(result))
        outcomes[index] = result
        update_artifact(artifact, progress=100.0 * done / len(models))
    return [outcome for _, outcome in sorted(outcomes.items())]


def _crashed(model: str, todo: Mapping[Pair, Names], error: OtceError) -> Outcome:
    targets = [target for id_, target in todo if id_ == model]
    return Outcome(failures=[failure_row(model, t, "score", error) for t in targets])


def _tell(progress: Progress, model: str, target: str, failed: bool) -> None:  # noqa: FBT001
    progress.advance("pairs")
    if failed:
        progress.say(f"{model} -> {target} failed")


def _plan_line(config: RunConfig, reused: int, new: int) -> str:
    sampling = config.sampling
    todo = "nothing to compute" if not new else f"{new} to score"
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
