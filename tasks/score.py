"""Score one model against all its targets while it is loaded once."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from prefect import task
from prefect.cache_policies import NO_CACHE

from otce.errors import LostFeaturesError, OtceError
from otce.events import in_json
from otce.pair_table import pair_columns
from otce.recipe import Metric, repetitions_of
from otce.repetitions import repetitions_name
from tasks.features import features
from tasks.keep_scores import Scores, Solved, put_scores
from tasks.retry import GaveUpError
from tasks.solved import Draws, solved
from tasks.stopping import StoppingError
from tasks.work import Outcome, Wanted, Work, failure_row

if TYPE_CHECKING:
    from tasks.ray_calls import Refs

_log: Final = logging.getLogger(__name__)


@task(task_run_name="score {model_id}", cache_policy=NO_CACHE, persist_result=False)
def score_model(
    model_id: str, pairs: Mapping[str, Wanted], work: Work, *, heat: bool = False
) -> Outcome:
    """Extract a model's features and score it for its targets.

    Args:
        model_id: the source model.
        pairs: what is to be scored, by target.
        work: what all models share.
        heat: whether these are heats of a race: on draws of their own, and never published.

    Returns:
        Which targets are scored and why others are not; neither when the run is to end.
    """
    outcome = Outcome()
    left = dict(pairs)
    with suppress(StoppingError):
        for number in range(1, work.config.execution.attempts + 1):
            is_last = number == work.config.execution.attempts
            lost = _score(model_id, left, work, outcome, heat=heat, is_last=is_last)
            if not lost:
                break
            if not in_json():
                _log.warning("%s: %d pairs lost their features with a node", model_id, len(lost))
            for id_ in (work.sides[model_id].source, *lost):
                work.held.pop((model_id, id_), None)
            left = {target: pairs[target] for target in lost}
    return outcome


def _score(
    model_id: str,
    pairs: Mapping[str, Wanted],
    work: Work,
    outcome: Outcome,
    *,
    heat: bool,
    is_last: bool,
) -> list[str]:
    """Extract and score; return the targets whose features were lost with a node."""
    refs: dict[str, Refs] = {}
    lost: list[str] = []

    def fail(target_id: str, row: dict[str, Any]) -> None:
        outcome.failures.append(row)
        work.on_pair(model_id, target_id, [row])

    source_id = work.sides[model_id].source
    for dataset_id, found in features(model_id, pairs, work, heat=heat):
        if not isinstance(found, tuple):
            refs[dataset_id] = found
            continue
        for target_id in pairs if dataset_id == source_id else [dataset_id]:
            if _is_lost(found[1]) and not is_last:
                lost.append(target_id)
            else:
                fail(target_id, failure_row(model_id, target_id, *found))
    for done in solved(model_id, refs, pairs, work, heat=heat):
        for target_id, failures in _put(model_id, pairs, done, work, is_last=is_last):
            if failures is None:
                lost.append(target_id)
                continue
            outcome.failures += failures
            if not failures:
                outcome.scored.append(target_id)
            work.on_pair(model_id, target_id, failures)
    return lost


def _is_lost(found: object) -> bool:
    return isinstance(found, GaveUpError) and isinstance(found.error, LostFeaturesError)


def _put(
    model_id: str,
    pairs: Mapping[str, Wanted],
    done: Mapping[str, Draws],
    work: Work,
    *,
    is_last: bool,
) -> Iterator[tuple[str, list[dict[str, Any]] | None]]:
    """Put what is new of pairs; yield the failures of each, None where it is to be solved again."""
    lost = {t for t, draws in done.items() if not is_last and any(map(_is_lost, draws.values()))}
    failures: dict[tuple[str, Metric], dict[str, Any]] = {}
    objects: list[tuple[str, Scores, dict[int, Solved]]] = []
    for target_id in (id_ for id_ in done if id_ not in lost):
        for metric, ranges in pairs[target_id].missing.items():
            try:
                for one in ranges:
                    rows = _rows(metric, one, done[target_id])
                    scores = _scores(model_id, target_id, metric, pairs[target_id], rows, work)
                    objects.append((target_id, scores, rows))
            except _FailedRepetitionError as failed:
                failures[target_id, metric] = failure_row(
                    model_id,
                    target_id,
                    "solve",
                    failed.error,
                    repetition=failed.repetition,
                    metric=metric,
                )
    for (target_id, scores, _), error in zip(objects, _errors(objects, work), strict=True):
        if _is_lost(error) and not is_last:
            lost.add(target_id)
        elif error is not None:
            row = failure_row(model_id, target_id, "publish", error, metric=scores.metric)
            failures.setdefault((target_id, scores.metric), row)
    for target_id in done:
        own = [row for (id_, _), row in failures.items() if id_ == target_id]
        yield target_id, None if target_id in lost else own


def _errors(
    objects: list[tuple[str, Scores, dict[int, Solved]]], work: Work
) -> list[OtceError | None]:
    if not objects:
        return []
    try:
        return put_scores([one[1:] for one in objects], work.store, work.config.execution)
    except GaveUpError as error:
        return [error] * len(objects)


class _FailedRepetitionError(Exception):
    def __init__(self, repetition: int, error: OtceError) -> None:
        super().__init__(str(error))
        self.repetition, self.error = repetition, error


def _rows(metric: Metric, repetitions: range, draws: Draws) -> dict[int, Solved]:
    rows = {}
    for k in repetitions:
        draw = draws[k]
        if isinstance(draw, GaveUpError):
            raise _FailedRepetitionError(k, draw)
        told, rows[k] = draw
        if metric in told.failed:
            raise _FailedRepetitionError(k, told.failed[metric])
    return rows


def _scores(
    model_id: str,
    target_id: str,
    metric: Metric,
    wanted: Wanted,
    rows: Mapping[int, Solved],
    work: Work,
) -> Scores:
    """Keep a whole pair as such, and repetitions in an object of their own."""
    all_ = repetitions_of(metric, range(work.config.sampling.repetitions))
    whole = metric in wanted.names and len(rows) == len(all_)
    name = wanted.names[metric] if whole else wanted.stems[metric]
    columns = pair_columns(
        work.config,
        metric,
        fingerprint=name,
        model_id=model_id,
        side=work.sides[model_id],
        target_id=target_id,
        target_digest=work.censuses[target_id].listed.digest,
    )
    if whole:
        return Scores(name, f"scores/{name}.parquet", metric, columns)
    part = repetitions_name(name, range(min(rows), max(rows) + 1))
    return Scores(None, f"repetitions/{part}.parquet", metric, columns)
