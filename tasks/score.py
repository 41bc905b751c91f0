"""Score one model against all its targets while it is loaded once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from otce.config import RunConfig
from otce.errors import OtceError
from otce.identity import Signature
from otce.pair_table import pair_table
from otce.recipe import FROM_PREDICTIONS, Metric
from otce.scores.zero_shot import class_map
from otce.store import Store
from tasks.census import Census
from tasks.cluster import Plan, Slots
from tasks.extract import ModelOnSlot
from tasks.keep import keep_draws, read_draws
from tasks.ray_calls import Ref
from tasks.retry import GaveUpError, Window
from tasks.solve import Request, Rows, submit

Refs = list[list[Ref]]
"""For each repetition, references of the parts of a data set's features."""
Names = Mapping[Metric, str]
"""Fingerprint of each metric of a pair."""


@dataclass(frozen=True)
class Work:
    """What every model's scoring shares.

    Attributes:
        config: the run.
        store: where score tables go.
        censuses: data sets as counted and drawn, by id.
        sides: source sides by model.
        kept: URIs of the draws of the models whose source side is kept.
        plan: how the cluster is shared.
        slots: places for feature actors.
        window: bounds the transports.
        on_pair: told (model, target, whether it failed) when a pair is done.
    """

    config: RunConfig
    store: Store
    censuses: Mapping[str, Census]
    sides: Mapping[str, Signature]
    kept: Mapping[str, tuple[str, ...]]
    plan: Plan
    slots: Slots
    window: Window
    on_pair: Callable[[str, str, bool], None]


@dataclass
class Outcome:
    """What became of a model's pairs.

    Attributes:
        scored: targets whose tables were all put.
        failures: rows of the failures table.
    """

    scored: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)


def failure_row(
    model_id: str,
    target_id: str,
    stage: str,
    error: OtceError,
    *,
    repetition: int | None = None,
    metric: Metric | None = None,
) -> dict[str, Any]:
    """Describe a pair that has no score.

    Args:
        model_id: the source model.
        target_id: the target data set.
        stage: where it failed.
        error: why; a `GaveUpError` also says after how many attempts.
        repetition: which draw, when it was one.
        metric: which score, when the others may be had.

    Returns:
        A row of `otce.tables.FAILURES`.
    """
    attempts = error.attempts if isinstance(error, GaveUpError) else 1
    cause = error.error if isinstance(error, GaveUpError) else error
    return {
        "source_model": model_id,
        "target_dataset": target_id,
        "metric": metric,
        "stage": stage,
        "repetition": repetition,
        "error_class": type(cause).__name__,
        "transient": cause.transient,
        "attempts": attempts,
        "message": str(cause),
    }


@task(task_run_name="score {model_id}", cache_policy=NO_CACHE, persist_result=False)
def score_model(model_id: str, pairs: Mapping[str, Names], work: Work) -> Outcome:
    """Extract a model's features and score it for its targets.

    Args:
        model_id: the source model.
        pairs: for each target to score, the fingerprint of each metric.
        work: what all models share.

    Returns:
        Which targets are scored and why others are not.
    """
    outcome = Outcome()
    features: dict[str, Refs] = {}

    def fail(target_id: str, row: dict[str, Any]) -> None:
        outcome.failures.append(row)
        work.on_pair(model_id, target_id, True)  # noqa: FBT003

    source_id = work.sides[model_id].source
    for dataset_id, found in _extracted(model_id, pairs, work):
        if isinstance(found, list):
            features[dataset_id] = found
        else:
            for target_id in pairs if dataset_id == source_id else [dataset_id]:
                fail(target_id, failure_row(model_id, target_id, *found))
    for target_id, rows in _solved(model_id, features, pairs, work):
        failures = _put(model_id, target_id, pairs[target_id], rows, work)
        outcome.failures += failures
        if not failures:
            outcome.scored.append(target_id)
        work.on_pair(model_id, target_id, bool(failures))
    return outcome


def _put(
    model_id: str, target_id: str, names: Names, draws: list[Rows | GaveUpError], work: Work
) -> list[dict[str, Any]]:
    """Put the table of each metric of a pair; return the failures of those that have none."""
    failures = []
    for metric, name in names.items():
        found = [draw if isinstance(draw, GaveUpError) else draw[metric] for draw in draws]
        rows = [row for row in found if not isinstance(row, OtceError)]
        if len(rows) < len(found):
            k, problem = next((k, e) for k, e in enumerate(found) if isinstance(e, OtceError))
            failures.append(
                failure_row(model_id, target_id, "solve", problem, repetition=k, metric=metric)
            )
            continue
        table = pair_table(
            work.config,
            metric,
            fingerprint=name,
            model_id=model_id,
            side=work.sides[model_id],
            target_id=target_id,
            target_digest=work.censuses[target_id].listed.digest,
            rows=rows,
        )
        try:
            work.store.put_table(f"scores/{name}.parquet", table)
        except OtceError as error:
            failures.append(failure_row(model_id, target_id, "publish", error, metric=metric))
    return failures


def _extracted(
    model_id: str, pairs: Mapping[str, Names], work: Work
) -> Iterator[tuple[str, Refs | tuple[str, OtceError]]]:
    """Yield each data set's features, or the stage and reason of its failure; source first."""
    config, side = work.config, work.sides[model_id]
    # With its digest, weights are found near where they were read before, and are those whose
    # identity names the pair though the file may have changed since.
    chosen = config.models[model_id].model_copy(update={"weights_digest": side.weights_digest})
    kept = work.kept.get(model_id)
    if kept is not None:
        found = _read(kept, side, chosen.max_weights_bytes if chosen.signature else None, config)
        yield side.source, found
        if isinstance(found, tuple):
            return
    with work.slots.lease() as slot:
        threads, n_classes = work.plan.threads, len(side.classes)
        model = ModelOnSlot(slot, model_id, chosen, config.execution, threads, n_classes)
        try:
            model.load()
        except GaveUpError as error:
            yield side.source, ("load", error)
            return
        if kept is None:
            found = _features(model, work.censuses[side.source], side, config)
            yield side.source, found
            if isinstance(found, tuple):
                return
        for target_id, names in pairs.items():
            # At this tap the features are the predictions.
            with_logits = side.tap != "logits" and not FROM_PREDICTIONS.isdisjoint(names)
            census = work.censuses[target_id]
            yield target_id, _features(model, census, None, config, with_logits=with_logits)


def _read(
    uris: tuple[str, ...], side: Signature, most_bytes: int | None, config: RunConfig
) -> Refs | tuple[str, OtceError]:
    repetitions = config.sampling.repetitions
    try:
        return read_draws(uris, side, repetitions, config.execution, most_bytes)
    except GaveUpError as error:
        return "extract", error


def _features(
    model: ModelOnSlot,
    census: Census,
    side: Signature | None,
    config: RunConfig,
    *,
    with_logits: bool = False,
) -> Refs | tuple[str, OtceError]:
    """Extract one data set; what it is the source side of is kept before anything else happens."""
    try:
        found = model.features(census, config.sampling.repetitions, with_logits=with_logits)
    except GaveUpError as error:
        return "extract", error
    if side is not None and config.execution.keep_signatures:
        try:
            keep_draws(found, side, config.execution)
        except GaveUpError as error:
            return "publish", error
    return found


def _solved(
    model_id: str, features: dict[str, Refs], pairs: Mapping[str, Names], work: Work
) -> Iterator[tuple[str, list[Rows | GaveUpError]]]:
    """Yield each target when all its repetitions are back."""
    side, repetitions = work.sides[model_id], range(work.config.sampling.repetitions)
    todo = [(target, k) for target in features if target != side.source for k in repetitions]
    submits = [
        partial(
            submit,
            Request(
                recipe=work.config.score,
                metrics=tuple(pairs[target]),
                class_map=class_map(side.classes, work.censuses[target].listed.classes),
                with_curve=k == 0,
            ),
            features[side.source][k],
            features[target][k],
            num_cpus=work.plan.solve_cpus,
        )
        for target, k in todo
    ]
    rows: dict[str, dict[int, Rows | GaveUpError]] = {target: {} for target, _ in todo}
    for index, result in work.window.run(submits):
        target, k = todo[index]
        rows[target][k] = result
        if len(rows[target]) == len(repetitions):
            yield target, [rows[target][k] for k in repetitions]
