"""`rank_zoo`: count, identify, score what is new, publish."""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import PurePath
from threading import Semaphore
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa
import yaml
from prefect import flow
from prefect.artifacts import create_progress_artifact, create_table_artifact
from prefect.artifacts import update_progress_artifact as update_artifact
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from rich.console import Console

from flows.progress import Progress
from otce.config import RunConfig
from otce.config_file import load_config
from otce.errors import DataError, OtceError
from otce.identity import ModelIdentity, pair_fingerprint
from otce.store import Store
from otce.zoo import model_digests
from tasks.census import Census, take_census
from tasks.cluster import Slots, cluster
from tasks.extract import actor_maker
from tasks.publish import publish
from tasks.retry import Window, explained
from tasks.score import Outcome, Work, failure_row, score_model

if TYPE_CHECKING:
    from uuid import UUID

_VERSIONS: Final = ("otce", "torch", "POT", "numpy", "pyarrow", "ray", "prefect")
Pair = tuple[str, str]


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
        StoreError: the store cannot be used.
        ClusterError: Ray cannot be used.
    """
    started = datetime.now(UTC)
    config = load_config(config_uri, overrides or ())
    store = Store(config.execution.store, config.execution.storage_options)
    store.probe()
    with Progress(Console(stderr=True)) as progress:
        progress.say("starting Ray")
        with cluster(config.execution) as plan:
            window = Window(
                plan.in_flight,
                attempts=config.execution.attempts,
                time_limit_s=config.execution.time_limit_s,
            )
            censuses, failed_data = _count(config, store, window, progress)
            failures = _blocked(config, failed_data)
            names, identities, failed_models = _identify(config, censuses)
            failures += failed_models
            present = set(store.names("scores"))
            reused = {pair for pair, name in names.items() if f"{name}.parquet" in present}
            progress.say(_plan_line(config, len(reused), len(names) - len(reused)))
            work = Work(
                config=config,
                store=store,
                censuses=censuses,
                plan=plan,
                slots=Slots(plan.actors, actor_maker(plan)),
                window=window,
                on_pair=lambda model, target, failed: _tell(progress, model, target, failed),
            )
            todo = {pair: name for pair, name in names.items() if pair not in reused}
            outcomes = _score(work, identities, todo, progress)
        failures += [row for outcome in outcomes for row in outcome.failures]
        computed = sum(len(outcome.scored) for outcome in outcomes)
        lost = {(row["source_model"], row["target_dataset"]) for row in failures}
        counts = {
            "total": len(config.pairs),
            "computed": computed,
            "reused": len(reused),
            "failed": len(lost),
        }
        summary = publish(
            config.run_id,
            store,
            pairs=[names[pair] for pair in sorted(names) if pair not in lost],
            failures=failures,
            class_names={id_: census.classes for id_, census in censuses.items()},
            manifest=_manifest(config, censuses, identities, counts, started),
            config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        )
    _show_ranking(config.run_id, summary)
    return RunOutcome(config.run_id, store.uri, summary, computed, len(reused), failures)


def _count(
    config: RunConfig, store: Store, window: Window, progress: Progress
) -> tuple[dict[str, Census], dict[str, OtceError]]:
    """Take the census of every data set that a pair needs."""
    needed = dict.fromkeys(
        id_ for model, target in config.pairs for id_ in (config.models[model].source, target)
    )
    progress.expect("data sets", len(needed))
    futures = {id_: take_census.submit(id_, config, store, window) for id_ in needed}
    found: dict[str, Census] = {}
    failed: dict[str, OtceError] = {}
    for id_, future in futures.items():
        result = future.result(raise_on_failure=False)
        if isinstance(result, Census):
            found[id_] = result
        else:
            failed[id_] = explained(result)
            progress.say(f"data set {id_} cannot be used: {failed[id_]}")
        progress.advance("data sets")
    return found, failed


def _blocked(config: RunConfig, failed: Mapping[str, OtceError]) -> list[dict[str, Any]]:
    """Make the failure rows of pairs whose data sets cannot be used."""
    return [
        failure_row(model, target, "census", failed[id_])
        for model, target in config.pairs
        for id_ in (target, config.models[model].source)
        if id_ in failed
    ]


def _identify(
    config: RunConfig, censuses: Mapping[str, Census]
) -> tuple[dict[Pair, str], dict[str, ModelIdentity], list[dict[str, Any]]]:
    """Name every pair that can be scored, and tell which models cannot be identified."""
    pairs = [
        (model, target)
        for model, target in config.pairs
        if target in censuses and config.models[model].source in censuses
    ]
    execution = config.execution

    def identify(model: str) -> ModelIdentity | OtceError:
        try:
            chosen = config.models[model]
            digests = model_digests(chosen, execution.python_path, execution.storage_options)
            return ModelIdentity(*digests)
        except OtceError as error:
            return error

    models = list(dict.fromkeys(model for model, _ in pairs))
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = dict(zip(models, pool.map(identify, models), strict=True))
    names: dict[Pair, str] = {}
    failures = []
    for model, target in pairs:
        identity, source = found[model], censuses[config.models[model].source]
        problem = identity if isinstance(identity, OtceError) else None
        if config.score.class_weights == "target_prior":
            problem = problem or _other_classes(source, censuses[target], target)
        if problem is None and isinstance(identity, ModelIdentity):
            names[model, target] = pair_fingerprint(
                config,
                model,
                target,
                model=identity,
                source_digest=source.digest,
                target_digest=censuses[target].digest,
            )
        elif problem is not None:
            failures.append(failure_row(model, target, "load", problem))
    identities = {id_: i for id_, i in found.items() if isinstance(i, ModelIdentity)}
    return names, identities, failures


def _other_classes(source: Census, target: Census, target_id: str) -> DataError | None:
    if source.classes == target.classes:
        return None
    return DataError(
        f"class_weights: target_prior needs equal classes on both sides, but {target_id} has "
        f"{', '.join(target.classes)} and the source {', '.join(source.classes)}; use other weights"
    )


def _score(
    work: Work,
    identities: Mapping[str, ModelIdentity],
    todo: Mapping[Pair, str],
    progress: Progress,
) -> list[Outcome]:
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
        pairs = {target: name for (id_, target), name in todo.items() if id_ == model}
        future = score_model.submit(model, identities[model], pairs, work)
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


def _crashed(model: str, todo: Mapping[Pair, str], error: OtceError) -> Outcome:
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


def _manifest(
    config: RunConfig,
    censuses: Mapping[str, Census],
    identities: Mapping[str, ModelIdentity],
    counts: Mapping[str, int],
    started: datetime,
) -> dict[str, Any]:
    science = config.model_dump(mode="json", exclude={"execution", "datasets", "models"})
    return science | {
        "run_id": config.run_id,
        "name": config.execution.name,
        "fingerprint": config.fingerprint,
        "otce_version": version("otce"),
        "versions": {name: version(name) for name in _VERSIONS},
        "command": sys.argv,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "pairs": dict(counts),
        "datasets": {
            id_: {
                "layout": census.config.layout,
                "digest": census.digest,
                "items": len(census.items),
                "classes": list(census.classes),
                "class_px": list(census.class_px),
                "labelled_px": sum(census.class_px),
            }
            for id_, census in censuses.items()
        },
        "models": {
            id_: model.model_dump(mode="json")
            | {"weights_digest": identities[id_].weights_digest if id_ in identities else None}
            for id_, model in config.models.items()
        },
    }


def _show_ranking(run_id: str, summary: pa.Table) -> None:
    columns = ["target_dataset", "rank", "source_model", "mean", "stderr", "normalized"]
    key = "".join(c if c.isalnum() else "-" for c in f"ranking-{run_id}".lower())
    create_table_artifact(
        key=key,
        table=summary.select(columns).to_pylist(),
        description=f"OTCE ranking of run {run_id}: nats, at most 0, higher is better",
    )
