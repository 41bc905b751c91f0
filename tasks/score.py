"""Score one model against all its targets while it is loaded once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from otce import tables
from otce.config import RunConfig
from otce.errors import OtceError
from otce.identity import SCORE_VERSION, Signature
from otce.recipe import preset_name
from otce.store import Store
from tasks.census import Census
from tasks.cluster import Plan, Slots
from tasks.extract import ModelOnSlot
from tasks.keep import keep_draws, read_draws
from tasks.ray_calls import Ref
from tasks.retry import GaveUpError, Window
from tasks.solve import submit

Refs = list[list[Ref]]
"""For each repetition, references of the parts of a data set's features."""


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
        scored: targets whose table was put.
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
) -> dict[str, Any]:
    """Describe a pair that has no score.

    Args:
        model_id: the source model.
        target_id: the target data set.
        stage: where it failed.
        error: why; a `GaveUpError` also says after how many attempts.
        repetition: which draw, when it was one.

    Returns:
        A row of `otce.tables.FAILURES`.
    """
    attempts = error.attempts if isinstance(error, GaveUpError) else 1
    cause = error.error if isinstance(error, GaveUpError) else error
    return {
        "source_model": model_id,
        "target_dataset": target_id,
        "stage": stage,
        "repetition": repetition,
        "error_class": type(cause).__name__,
        "transient": cause.transient,
        "attempts": attempts,
        "message": str(cause),
    }


@task(task_run_name="score {model_id}", cache_policy=NO_CACHE, persist_result=False)
def score_model(model_id: str, pairs: Mapping[str, str], work: Work) -> Outcome:
    """Extract a model's features and score it for its targets.

    Args:
        model_id: the source model.
        pairs: pair fingerprint of each target to score.
        work: what all models share.

    Returns:
        Which targets are scored and why others are not.
    """
    outcome = Outcome()
    features: dict[str, Refs] = {}

    def fail(target_id: str, stage: str, error: OtceError, repetition: int | None = None) -> None:
        row = failure_row(model_id, target_id, stage, error, repetition=repetition)
        outcome.failures.append(row)
        work.on_pair(model_id, target_id, True)  # noqa: FBT003

    source_id = work.sides[model_id].source
    for dataset_id, found in _extracted(model_id, list(pairs), work):
        if isinstance(found, list):
            features[dataset_id] = found
        else:
            stage, error = found
            for target_id in pairs if dataset_id == source_id else [dataset_id]:
                fail(target_id, stage, error)
    for target_id, rows in _solved(features, source_id, work):
        problem = next((row for row in rows if isinstance(row, tuple)), None)
        if problem is not None:
            fail(target_id, "solve", problem[1], problem[0])
            continue
        table = pair_table(work, model_id, target_id, pairs[target_id], rows)
        try:
            work.store.put_table(f"scores/{pairs[target_id]}.parquet", table)
        except OtceError as error:
            fail(target_id, "publish", error)
            continue
        outcome.scored.append(target_id)
        work.on_pair(model_id, target_id, False)  # noqa: FBT003
    return outcome


def _extracted(
    model_id: str, targets: list[str], work: Work
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
        for dataset_id in targets if kept is not None else [side.source, *targets]:
            is_source = dataset_id == side.source
            found = _features(model, work.censuses[dataset_id], side if is_source else None, config)
            yield dataset_id, found
            if is_source and isinstance(found, tuple):
                return


def _read(
    uris: tuple[str, ...], side: Signature, most_bytes: int | None, config: RunConfig
) -> Refs | tuple[str, OtceError]:
    repetitions = config.sampling.repetitions
    try:
        return read_draws(uris, side, repetitions, config.execution, most_bytes)
    except GaveUpError as error:
        return "extract", error


def _features(
    model: ModelOnSlot, census: Census, side: Signature | None, config: RunConfig
) -> Refs | tuple[str, OtceError]:
    """Extract one data set; what it is the source side of is kept before anything else happens."""
    try:
        found = model.features(census, config.sampling.repetitions)
    except GaveUpError as error:
        return "extract", error
    if side is not None and config.execution.keep_signatures:
        try:
            keep_draws(found, side, config.execution)
        except GaveUpError as error:
            return "publish", error
    return found


def _solved(
    features: dict[str, Refs], source_id: str, work: Work
) -> Iterator[tuple[str, list[Any]]]:
    """Yield each target when all its repetitions are back; failed ones as (repetition, error)."""
    repetitions = range(work.config.sampling.repetitions)
    todo = [(target, k) for target in features if target != source_id for k in repetitions]
    first = work.config.score
    others = first.model_copy(update={"epsilon_curve": ()})
    submits = [
        partial(
            submit,
            first if k == 0 else others,
            features[source_id][k],
            features[target][k],
            num_cpus=work.plan.solve_cpus,
        )
        for target, k in todo
    ]
    rows: dict[str, dict[int, Any]] = {target: {} for target, _ in todo}
    for index, result in work.window.run(submits):
        target, k = todo[index]
        rows[target][k] = (k, result) if isinstance(result, GaveUpError) else result
        if len(rows[target]) == len(repetitions):
            yield target, [rows[target][k] for k in repetitions]


def pair_table(
    work: Work,
    model_id: str,
    target_id: str,
    fingerprint: str,
    rows: list[dict[str, Any]],
) -> Any:
    """Make the immutable table of a pair.

    Args:
        work: what all models share.
        model_id: the source model.
        target_id: the target data set.
        fingerprint: of the pair.
        rows: what `solve_parts` returned, in order of repetitions.

    Returns:
        A table of `otce.tables.PAIR`, one row a repetition.
    """
    config = work.config
    side, recipe = work.sides[model_id], config.score
    common = {
        "pair_fingerprint": fingerprint,
        "score_version": SCORE_VERSION,
        "metric": "otce",
        "preset": preset_name(
            epsilon=recipe.epsilon,
            feature_scaling=recipe.feature_scaling,
            relaxation=recipe.relaxation,
            class_weights=recipe.class_weights,
        ),
        "source_model": model_id,
        "source_dataset": side.source,
        "target_dataset": target_id,
        "tap": side.tap,
        "model_digest": side.weights_digest,
        "source_digest": side.source_digest,
        "target_digest": work.censuses[target_id].listed.digest,
        "seed": config.seed,
        "epsilon": recipe.epsilon,
        "feature_scaling": recipe.feature_scaling,
        "relaxation": recipe.relaxation,
        "class_weights": recipe.class_weights,
        "solver": recipe.solver,
    }
    lists = dict.fromkeys(("target_items", "target_influence", "source_items", "source_influence"))
    full = [
        common | row | lists | {"repetition": k, "value": row["otce"]} for k, row in enumerate(rows)
    ]
    return tables.table(full, tables.PAIR)
