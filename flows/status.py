"""How far a run is, read from its store alone: also while it runs elsewhere, and after it died.

A run's plan names the objects that it will have; those that are there are done. Times are those of
the store's own clock, so that no clock of a worker matters. What a store cannot tell is not said:
whether a process lives, and which pairs it has in hand.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

from otce.errors import StoreError
from otce.storage.store import Store
from otce.tables import FAILURES

Pair = tuple[str, str]
"""Ids of a model and a target."""
State = Literal["finished", "running", "silent"]
_SILENT_S: Final = 300.0
"""A run that puts nothing for so long, and for three of its longest pauses, is called silent."""
_PAUSES: Final = 3


@dataclass(frozen=True)
class Part:
    """How far the pairs of a model or of a target are.

    Attributes:
        id: of the model or target.
        total: its pairs.
        done: those that are stored.
        failed: those that lack a score for good, as far as this start has told.
    """

    id: str
    total: int
    done: int
    failed: int


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        run_id: the run.
        store: URI of its store.
        strategy: `full` or `race`.
        started: when its last start began, as that machine saw it.
        state: `finished`: its tables are written; `running`: something was put lately; `silent`:
            nothing was for longer than it ever paused.
        total: pairs of the run.
        done: those of which all scores are stored.
        reused: of those, stored before the last start.
        failed: pairs that lack a score for good, as far as the last start has told.
        left: the others; of a finished race, those that left it early.
        racing: of those left, pairs with some repetitions stored; null without a race.
        pairs_per_hour: stored since the last start by the time until the newest; null without any.
        time_left_s: at that rate; null when it is not running, unknown, or a race.
        newest_age_s: time since something was put.
        longest_pause_s: longest time between two puts since the last start.
        models: by model, those with pairs left first.
        targets: by target, the same.
        failures: rows of the failures table.
    """

    run_id: str
    store: str
    strategy: str
    started: str
    state: State
    total: int
    done: int
    reused: int
    failed: int
    left: int
    racing: int | None
    pairs_per_hour: float | None
    time_left_s: float | None
    newest_age_s: float
    longest_pause_s: float
    models: list[Part]
    targets: list[Part]
    failures: list[dict[str, Any]]


@dataclass(frozen=True)
class Seen:
    """What a store shows of a run.

    Attributes:
        plan: what its last start planned.
        planned_s: when the plan was put, by the store's clock, as all times are.
        finished: whether its tables are those of this plan.
        scores: times of the objects of whole pairs.
        repetitions: times of the objects of repetitions, looked at for races only.
        others: times of the run's own objects.
        failures: rows of the failures table, as far as they are told.
    """

    plan: Mapping[str, Any]
    planned_s: float
    finished: bool
    scores: Mapping[str, float]
    repetitions: Mapping[str, float]
    others: Iterable[float]
    failures: list[dict[str, Any]]


def runs_of(times: Mapping[str, float]) -> dict[str, float]:
    """Find the runs that left a plan.

    Args:
        times: of the objects below `runs/`.

    Returns:
        When each was started last, by run id, the newest last.
    """
    plans = {
        folder: at
        for name, at in times.items()
        for folder, _, file in [name.rpartition("/")]
        if file == "plan.json"
    }
    return dict(sorted(plans.items(), key=lambda run: (run[1], run[0])))


def seen(store: Store, run_id: str, times: Mapping[str, float]) -> Seen:
    """Look at a run.

    Args:
        store: its store.
        run_id: which.
        times: of the objects below `runs/`.

    Returns:
        What the store shows of it.

    Raises:
        StoreError: the store does not answer, or an object is damaged.
    """
    folder = f"runs/{run_id}"
    mine = {name: at for name, at in times.items() if name.startswith(f"{run_id}/")}
    plan = _json(store, f"{folder}/plan.json")
    # By what they say and not by when they were put: a store may be a copy.
    finished = (
        f"{run_id}/manifest.json" in mine
        and _json(store, f"{folder}/manifest.json")["started"] == plan["started"]
    )
    if finished:
        failures = store.get_table(f"{folder}/failures.parquet", FAILURES).to_pylist()
    else:
        told = [_json(store, f"runs/{name}") for name in mine if "/failing/" in name]
        # What failed in an earlier start is tried again in this one.
        current = [one for one in told if one["started"] == plan["started"]]
        failures = [row for one in current for row in one["failures"]]
    return Seen(
        plan=plan,
        planned_s=mine[f"{run_id}/plan.json"],
        finished=finished,
        scores=store.put_times("scores"),
        repetitions=store.put_times("repetitions") if plan["strategy"] == "race" else {},
        others=mine.values(),
        failures=failures,
    )


def _json(store: Store, key: str) -> dict[str, Any]:
    try:
        found = json.loads(store.get(key))
    except ValueError as error:
        raise StoreError(
            f"{store.uri}/{key} is damaged ({error}); run again to write it anew"
        ) from error
    return dict(found)


def status_of(found: Seen, uri: str, now_s: float) -> Status:
    """Work out how far a run is.

    Args:
        found: what its store shows.
        uri: of the store.
        now_s: what time it is, in seconds since 1970.

    Returns:
        The status.
    """
    plan, is_race = found.plan, found.plan["strategy"] == "race"
    done, rounds = _done(found), _rounds(found)
    total = {(one["source_model"], one["target_dataset"]) for one in plan["pairs"]}
    failed = {(row["source_model"], row["target_dataset"]) for row in found.failures} - done.keys()
    new = [at for at in done.values() if at >= found.planned_s]
    times = (*new, *found.others, *(at for ats in rounds.values() for at in ats))
    puts = sorted(at for at in times if at >= found.planned_s)
    pause_s = max((after - before for before, after in pairwise(puts)), default=0.0)
    age_s = max(0.0, now_s - puts[-1])
    left = total - done.keys() - failed
    runs = age_s <= max(_SILENT_S, _PAUSES * pause_s)
    # Times of objects may be whole seconds.
    per_s = len(new) / max(max(new) - found.planned_s, 1.0) if new else None
    knows_end = per_s is not None and runs and not found.finished and not is_race
    return Status(
        run_id=plan["run_id"],
        store=uri,
        strategy=plan["strategy"],
        started=plan["started"],
        state="finished" if found.finished else "running" if runs else "silent",
        total=len(total),
        done=len(done),
        reused=len(done) - len(new),
        failed=len(failed),
        left=len(left),
        racing=len(left & rounds.keys()) if is_race else None,
        pairs_per_hour=None if per_s is None else 3600 * per_s,
        time_left_s=len(left) / per_s if knows_end and per_s else None,
        newest_age_s=age_s,
        longest_pause_s=pause_s,
        models=_parts(total, done.keys(), failed, 0),
        targets=_parts(total, done.keys(), failed, 1),
        failures=found.failures,
    )


def _done(found: Seen) -> dict[Pair, float]:
    """When the last object was put of each pair that has all of them."""
    done = {}
    for one in found.plan["pairs"]:
        ats = [found.scores.get(f"{name}.parquet") for name in one["scores"]]
        if ats and None not in ats:
            done[one["source_model"], one["target_dataset"]] = max(at for at in ats if at)
    return done


def _rounds(found: Seen) -> dict[Pair, list[float]]:
    """When the repetitions that a race keeps were put, by pair."""
    pairs = {
        stem: (one["source_model"], one["target_dataset"])
        for one in found.plan["pairs"]
        for stem in one.get("repetitions", ())
    }
    rounds: dict[Pair, list[float]] = {}
    for name, at in found.repetitions.items():
        if (stem := name.partition(".")[0]) in pairs:
            rounds.setdefault(pairs[stem], []).append(at)
    return rounds


def _parts(total: set[Pair], done: AbstractSet[Pair], failed: set[Pair], side: int) -> list[Part]:
    counts = [Counter(pair[side] for pair in pairs) for pairs in (total, done, failed)]
    parts = [Part(id_, *(count[id_] for count in counts)) for id_ in sorted(counts[0])]
    return sorted(parts, key=lambda part: part.done + part.failed - part.total)
