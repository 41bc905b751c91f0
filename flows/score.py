"""Score pairs: start Ray when the first is to be scored, draw what was never drawn, submit."""

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue
from threading import Semaphore
from types import TracebackType
from typing import Any, Final, Self, cast
from uuid import UUID

import pyarrow as pa
from prefect.artifacts import create_progress_artifact
from prefect.artifacts import update_progress_artifact as update_artifact
from prefect.futures import PrefectFuture

from flows.order import most_expensive_first
from flows.pairs import Needs, Pair, Prepared, gathered, lost_pairs
from flows.progress import Progress
from flows.teller import Teller
from flows.view import shown, unseen
from otce.config import RunConfig
from otce.events import about
from otce.footprint import refuse_too_large
from otce.storage.store import Store
from tasks.actor import actor_maker
from tasks.census import Census, kept_census, take_census
from tasks.cluster import cluster
from tasks.memory import node_bytes
from tasks.retry import Window, explained_of_model
from tasks.score import score_model
from tasks.shards import Cuts
from tasks.slots import Slots
from tasks.stopping import StoppingError, begin, stopped_in_order
from tasks.timings import Timings
from tasks.work import Outcome, Wanted, Work, failure_row

_TELL_EVERY_S: Final = 5.0
_AT_ONCE: Final = 16


class Scorer:
    """Scores pairs, in one go or round by round, on one Ray that the first of them starts.

    Args:
        config: the run.
        store: where scores and draws are kept.
        found: what is known of data sets and models.
        progress: told what is done.
        teller: told what becomes of pairs.
        timings: told what every call to a worker took.

    Attributes:
        censuses: data sets as drawn, by id.
        heats: data sets as drawn for the heats of a race, by id.
        computed: pairs of which something was scored.
        failures: rows of the failures table, one a pair and metric.
    """

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        found: Prepared,
        progress: Progress,
        teller: Teller,
        timings: Timings,
    ) -> None:
        self._config, self._store, self._found, self._progress = config, store, found, progress
        self._teller, self._timings = teller, timings
        self._opened = ExitStack()
        self._work: Work | None = None
        self.censuses = self._kept(heat=False)
        self.heats = self._kept(heat=True) if config.strategy == "race" else {}
        self.computed: set[Pair] = set()
        self.failures: list[dict[str, Any]] = list(found.failures)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    @property
    def timings(self) -> pa.Table:
        """What was computed took: a table of `otce.timing_table.TIMINGS`."""
        return self._timings.table(self._work.plan.actor_gpus if self._work else 0.0)

    @property
    def lost(self) -> set[Pair]:
        """Pairs that have no score at all."""
        return lost_pairs(self.failures)

    def draw(self, needs: Needs, *, heat: bool = False) -> None:
        """Draw the data sets that were never drawn, adding them to the censuses.

        Args:
            needs: data sets that pairs need; where one cannot be drawn, its pairs are failures.
            heat: for the heats of a race.
        """
        censuses = self.heats if heat else self.censuses
        needed = dict.fromkeys(id_ for ids in needs.values() for id_ in ids)
        undrawn = [self._found.listed[id_] for id_ in needed if id_ not in censuses]
        if not undrawn:
            return
        window = self._started().window
        self._progress.expect("censuses", len(undrawn))
        config = unseen(self._config)
        futures = {
            data.id: take_census.submit(unseen(data), config, self._store, window, heat=heat)
            for data in undrawn
        }
        with stopped_in_order():
            drawn, failures = gathered(futures, needs, lambda: self._progress.advance("censuses"))
        censuses.update(drawn)
        self.failures += failures
        self._teller.failures(failures)

    def needs(self, model: str, target: str) -> tuple[str, ...]:
        """Say which data sets must be drawn to score a pair.

        Args:
            model: its model.
            target: its target.

        Returns:
            The target, and the source where its draws are not kept.
        """
        return (target,) if model in self._found.kept else (self._found.sides[model].source, target)

    def score(self, wanted: Mapping[Pair, Wanted], *, heat: bool = False) -> None:
        """Score pairs; what has no score becomes a failure.

        Args:
            wanted: what of which pair.
            heat: whether these are heats of a race.

        Raises:
            ClusterError: no node can hold a transport.
        """
        if not wanted:
            return
        if not heat:
            self.draw({pair: self.needs(*pair) for pair in wanted})
        lost = self.lost
        left = {pair: one for pair, one in wanted.items() if pair not in lost}
        work = self._started()
        sizes = [work.size(*pair) for pair in left]
        refuse_too_large(self._config, sizes, node_bytes(), "the largest node")
        with stopped_in_order():
            outcomes = list(_score_models(work, left, self._progress, self._teller, heat=heat))
        failures = []
        for model, outcome in outcomes:
            self.computed.update((model, target) for target in outcome.scored)
            failures += outcome.failures
        self._add(failures)

    def release(self, pairs: Mapping[Pair, Any]) -> None:
        """Let go of the features that no further round needs.

        Args:
            pairs: those that are still to be scored.
        """
        if self._work is not None:
            sources = {(model, self._found.sides[model].source) for model, _ in pairs}
            for key in [key for key in self._work.held if key not in pairs and key not in sources]:
                del self._work.held[key]

    def _add(self, failures: list[dict[str, Any]]) -> None:
        """A metric that fails in every round fails once."""
        known = {_place(row) for row in self.failures}
        self.failures += [row for row in failures if _place(row) not in known]

    def _kept(self, *, heat: bool) -> dict[str, Census]:
        listed = self._found.listed

        def kept(id_: str) -> Census | None:
            return kept_census(listed[id_], self._config, self._store, heat=heat)

        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            found = dict(zip(listed, pool.map(kept, listed), strict=True))
        return {id_: census for id_, census in found.items() if census is not None}

    def _started(self) -> Work:
        if self._work is None:
            self._progress.say("starting Ray")
            execution = self._config.execution
            plan = self._opened.enter_context(cluster(execution))
            self._work = Work(
                config=self._config,
                store=self._store,
                censuses=self.censuses,
                heats=self.heats,
                sides=self._found.sides,
                kept=self._found.kept,
                held={},
                plan=plan,
                slots=Slots(
                    plan.actors, actor_maker(plan, execution), fresh=execution.fresh_actors
                ),
                window=Window(
                    plan.in_flight,
                    attempts=execution.attempts,
                    time_limit_s=execution.time_limit_s,
                ),
                on_pair=self._teller.pair,
                cuts=Cuts(execution.items_per_shard),
                timings=self._timings,
            )
        return self._work


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["source_model"], row["target_dataset"], row["metric"]


def _score_models(
    work: Work, wanted: Mapping[Pair, Wanted], progress: Progress, teller: Teller, *, heat: bool
) -> Iterator[tuple[str, Outcome]]:
    """Score all models, no more at once than have a slot or wait for transport."""
    by_model: dict[str, dict[str, Wanted]] = {}
    for (model, target), one in wanted.items():
        by_model.setdefault(model, {})[target] = one
    progress.expect("pairs", len(wanted))
    if not by_model:
        return
    room = Semaphore(work.plan.actors + 1)
    ended: SimpleQueue[tuple[str, PrefectFuture[Outcome]]] = SimpleQueue()

    def end(model: str, future: PrefectFuture[Outcome]) -> None:
        ended.put((model, future))
        room.release()

    artifact, told_s = shown(_show_start), time.monotonic()
    shared = unseen(work)
    left = most_expensive_first(by_model, work, heat=heat)
    begun = done = 0
    while left or done < begun:
        try:
            while left and room.acquire(blocking=ended.empty()):
                begin()
                model = left.popleft()
                work.slots.coming = len(left)
                with about(model=model):
                    future = score_model.submit(model, unseen(by_model[model]), shared, heat=heat)
                future.add_done_callback(partial(end, model))
                begun += 1
        except StoppingError:
            left.clear()
            continue
        model, future = ended.get()
        done += 1
        yield model, _outcome(model, by_model[model], future, teller)
        is_due = time.monotonic() - told_s > _TELL_EVERY_S or done == len(by_model)
        if artifact is not None and is_due:
            artifact = shown(partial(_show_progress, artifact, 100.0 * done / len(by_model)))
            told_s = time.monotonic()


def _show_start() -> UUID:
    return cast("UUID", create_progress_artifact(progress=0.0, description="models scored"))


def _show_progress(artifact: UUID, percent: float) -> UUID:
    return cast("UUID", update_artifact(artifact, progress=percent))


def _outcome(
    model: str, targets: Iterable[str], future: PrefectFuture[Outcome], teller: Teller
) -> Outcome:
    result: Outcome | Exception = future.result(raise_on_failure=False)
    if not isinstance(result, Exception):
        return result
    error = explained_of_model(result)
    failures = [failure_row(model, target, "score", error) for target in targets]
    teller.failures(failures)
    return Outcome(failures=failures)
