"""Score one model against all its targets while it is loaded once."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from prefect import task
from prefect.cache_policies import NO_CACHE

from otce.errors import LostFeaturesError, OtceError
from otce.events import in_json
from otce.footprint import footprint_bytes
from otce.pair_table import Row, pair_rows, whole_pair
from otce.recipe import Metric, repetitions_of
from otce.repetitions import repetitions_name
from otce.scores.zero_shot import class_map
from otce.tables import PAIR, table
from tasks.features import features
from tasks.ray_calls import ALL_PIXELS, Ref, Refs
from tasks.retry import GaveUpError
from tasks.solve import Request, Rows, submit
from tasks.stopping import StoppingError, begin
from tasks.work import Outcome, Wanted, Work, failure_row

_log: Final = logging.getLogger(__name__)

Draws = dict[int, Rows | GaveUpError]
"""What each repetition of a pair gave."""


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
    for target_id, draws in _solved(model_id, refs, pairs, work, heat=heat):
        if any(map(_is_lost, draws.values())) and not is_last:
            lost.append(target_id)
            continue
        failures = _put(model_id, target_id, pairs[target_id], draws, work)
        outcome.failures += failures
        if not failures:
            outcome.scored.append(target_id)
        work.on_pair(model_id, target_id, failures)
    return lost


def _is_lost(found: object) -> bool:
    return isinstance(found, GaveUpError) and isinstance(found.error, LostFeaturesError)


def _put(
    model_id: str, target_id: str, wanted: Wanted, draws: Draws, work: Work
) -> list[dict[str, Any]]:
    """Put what is new of each metric of a pair; return the failures of those that have none."""
    failures = []
    for metric, ranges in wanted.missing.items():
        try:
            for one in ranges:
                _put_range(model_id, target_id, metric, wanted, _rows(metric, one, draws), work)
        except _FailedRepetitionError as failed:
            row = failure_row(
                model_id,
                target_id,
                "solve",
                failed.error,
                repetition=failed.repetition,
                metric=metric,
            )
            failures.append(row)
        except OtceError as error:
            failures.append(failure_row(model_id, target_id, "publish", error, metric=metric))
    return failures


class _FailedRepetitionError(Exception):
    def __init__(self, repetition: int, error: OtceError) -> None:
        super().__init__(str(error))
        self.repetition, self.error = repetition, error


def _rows(metric: Metric, repetitions: range, draws: Draws) -> dict[int, Row]:
    rows = {}
    for k in repetitions:
        draw = draws[k]
        row = draw if isinstance(draw, GaveUpError) else draw[metric]
        if isinstance(row, OtceError):
            raise _FailedRepetitionError(k, row)
        rows[k] = row
    return rows


def _put_range(
    model_id: str,
    target_id: str,
    metric: Metric,
    wanted: Wanted,
    rows: Mapping[int, Row],
    work: Work,
) -> None:
    """Put a whole pair as such, and repetitions in an object of their own."""
    all_ = repetitions_of(metric, range(work.config.sampling.repetitions))
    whole = metric in wanted.names and len(rows) == len(all_)
    name = wanted.names[metric] if whole else wanted.stems[metric]
    full = pair_rows(
        work.config,
        metric,
        fingerprint=name,
        model_id=model_id,
        side=work.sides[model_id],
        target_id=target_id,
        target_digest=work.censuses[target_id].listed.digest,
        rows=rows,
    )
    if whole:
        work.store.put_table(f"scores/{name}.parquet", whole_pair(name, full))
    else:
        object_name = repetitions_name(name, range(min(rows), max(rows) + 1))
        work.store.put_table(f"repetitions/{object_name}.parquet", table(full, PAIR))


def _solved(
    model_id: str, refs: Mapping[str, Refs], pairs: Mapping[str, Wanted], work: Work, *, heat: bool
) -> Iterator[tuple[str, Draws]]:
    """Yield each target when all its repetitions are back."""
    side = work.sides[model_id]
    asked = {target: pairs[target].metrics_of for target in pairs if target in refs}
    todo = [(target, k) for target, metrics in asked.items() for k in metrics]
    begun: set[str] = set()

    def start(target: str, k: int) -> Ref:
        # The other repetitions of a pair follow its first, so that it can be kept.
        if target not in begun:
            begin()
            begun.add(target)
        request = Request(
            recipe=work.config.score,
            metrics=asked[target][k],
            class_map=class_map(side.classes, work.censuses[target].listed.classes),
            with_curve=k == 0 and not heat,
        )
        return submit(
            request,
            refs[side.source][k],
            refs[target][k],
            refs[target].get(ALL_PIXELS, []) if k == 0 else [],
            name=f"solve {model_id} {target} {k}",
            num_cpus=work.plan.solve_cpus,
            memory_bytes=footprint_bytes(work.config, *work.size(model_id, target)),
        )

    rows: dict[str, Draws] = {target: {} for target in asked}
    abouts = [{"target": target, "repetition": k, "stage": "solve"} for target, k in todo]
    for index, result in work.window.run([partial(start, *one) for one in todo], abouts):
        target, k = todo[index]
        if isinstance(result, GaveUpError):
            rows[target][k] = result
        else:
            rows[target][k], spent = result
            work.timings.add("solve", model_id, target, spent)
        if len(rows[target]) == len(asked[target]):
            yield target, rows[target]
