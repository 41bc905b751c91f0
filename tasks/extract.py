"""Features of a model's images: shards of items through a `FeatureActor` that holds the model."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from otce.config import ExecutionConfig
from otce.errors import PlacementError
from otce.events import about
from otce.model_config import ModelConfig
from tasks.census import Census
from tasks.ray_calls import ALL_PIXELS, Ref, Refs, inside, result
from tasks.retry import GaveUpError, attempt
from tasks.shards import Placed, cut, placed
from tasks.slots import Slot
from tasks.stopping import begin
from tasks.sums import NO_SUMS, Kinds
from tasks.timings import Timings

Parts = dict[int, list[Ref]]
"""By shard, references of its part of each draw."""

_T = TypeVar("_T")
_SHARDS_IN_FLIGHT: Final = 2


class ModelOnSlot:
    """A model loaded on a leased actor; loads itself again when the actor had to be replaced.

    Args:
        slot: the leased place.
        model_id: the model.
        config: its configuration.
        execution: the execution half of the run.
        threads: CPU threads of the actor.
        n_classes: classes of its source data set; None: not checked.
        timings: told what every call took.
    """

    def __init__(
        self,
        slot: Slot,
        model_id: str,
        config: ModelConfig,
        execution: ExecutionConfig,
        threads: int,
        n_classes: int | None = None,
        timings: Timings | None = None,
    ) -> None:
        self._slot = slot
        self._execution = execution
        self._timings = timings or Timings()
        self._arguments = (
            model_id,
            config,
            execution.python_path,
            execution.storage_options,
            threads,
            n_classes,
        )
        self._loaded: Any = None

    def load(self) -> None:
        """Load the model now.

        Raises:
            GaveUpError: it cannot be loaded.
            PlacementError: no node has room for the actor.
        """
        with about(stage="load"):
            self._attempt(self._ready, self._replace)

    def features(
        self,
        census: Census,
        repetitions: range,
        *,
        with_logits: bool,
        sums: Kinds = NO_SUMS,
    ) -> Refs:
        """Extract some draws of one data set, two shards in flight.

        Args:
            census: the data set and its drawn pixels.
            repetitions: which draws; images that they do not see are not looked at.
            with_logits: whether the model's predictions are needed as well.
            sums: what is summed over all labelled pixels; if anything, every image is looked at.

        Returns:
            References of the parts of each draw, in order of items, and of the sums.

        Raises:
            GaveUpError: a shard failed for good.
            PlacementError: no node has room for the actor.
            StoppingError: the run is to end before all shards have begun.
        """
        shards = placed(cut(census, self._execution.items_per_shard, repetitions, sums))
        parts: Parts = {}
        self.work_through(shards, deque(range(len(shards))), parts, with_logits=with_logits)
        return by_repetition(parts, repetitions, sums)

    def work_through(
        self, shards: Sequence[Placed], todo: deque[int], parts: Parts, *, with_logits: bool
    ) -> None:
        """Extract shards as long as there are any to do, two in flight.

        Args:
            shards: all of them.
            todo: positions of those that nobody works on; shared with other slots.
            parts: where references of the draws of each shard go, by position; shared as well.
            with_logits: whether the model's predictions are needed as well.

        Raises:
            GaveUpError: a shard failed for good; what is not done is to do again.
            PlacementError: no node has room for the actor; the same.
        """
        mine: list[int] = []
        started: dict[int, list[Ref]] = {}

        def start(index: int) -> list[Ref]:
            return self._start(shards[index], with_logits=with_logits)

        try:
            self.load()
            while True:
                while len(mine) < _SHARDS_IN_FLIGHT and todo:
                    begin()
                    with suppress(IndexError):
                        mine.append(todo.popleft())
                        started[mine[-1]] = start(mine[-1])
                if not mine:
                    return
                dataset_id = shards[mine[0]].dataset_id
                with about(stage="extract", dataset=dataset_id, shard=mine[0]):
                    spent, *parts[mine[0]] = self._finish(start, started, mine[0])
                self._timings.add("extract", self._arguments[0], dataset_id, spent)
                mine.pop(0)
        except BaseException:
            todo.extendleft(reversed(mine))
            raise

    def _finish(
        self, start: Callable[[int], list[Ref]], started: dict[int, list[Ref]], index: int
    ) -> list[Any]:
        """Return what a shard took, then the references of its draws."""

        def finish() -> list[Any]:
            self._ready()
            refs = started[index] = started.get(index) or start(index)
            return [result(refs[0], self._execution.time_limit_s), *refs[1:]]

        def repeat() -> None:
            self._replace()
            started.clear()

        found = self._attempt(finish, repeat)
        started.pop(index)
        return found

    def _attempt(self, work: Callable[[], _T], recover: Callable[[], object]) -> _T:
        try:
            return attempt(work, attempts=self._execution.attempts, recover=recover)
        except GaveUpError as error:
            # Another place may have room, which is no matter of trying again here.
            if isinstance(error.error, PlacementError):
                raise error.error from error
            raise

    def _start(self, shard: Placed, *, with_logits: bool) -> list[Ref]:
        execution = self._execution
        method = self._slot.actor.extract.options(num_returns=1 + shard.results)
        with inside():
            refs: list[Ref] = method.remote(
                shard.ref, execution.storage_options, execution.batch_size, with_logits=with_logits
            )
        return refs

    def _ready(self) -> None:
        actor = self._slot.actor
        if self._loaded is not actor:
            with inside():
                loaded = actor.load.remote(*self._arguments)
            spent = result(loaded, self._execution.time_limit_s)
            self._timings.add("load", self._arguments[0], "", spent)
            self._loaded = actor

    def _replace(self) -> None:
        self._slot.drop()
        self._loaded = None


def by_repetition(parts: Parts, repetitions: range, sums: Kinds = NO_SUMS) -> Refs:
    """Put the parts of all shards in order.

    Args:
        parts: of each shard, by position, one reference a repetition, then one of its sums.
        repetitions: which.
        sums: what was summed over all labelled pixels.

    Returns:
        References of the parts of each draw, in order of items, and of the sums.
    """
    in_order = [parts[index] for index in sorted(parts)]
    keys = [*repetitions, *([ALL_PIXELS] if any(sums) else [])]
    return dict(zip(keys, map(list, zip(*in_order, strict=True)), strict=True))
