"""The one rule for trying again, and the bounded window of Ray work that obeys it.

Ray's and Prefect's own retries are off everywhere. A failure is tried again only when its class
says that it is transient; anything else would fail the same way.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock, Semaphore
from typing import Any, Final, TypeVar

import ray

from otce.errors import (
    ClusterError,
    LostFeaturesError,
    OtceError,
    RayLostError,
    WorkerDiedError,
)
from otce.events import about, event, in_json
from tasks import metrics
from tasks.ray_calls import RayEndedError, Ref, finished, inside, lost, result
from tasks.stopping import StoppingError

_T = TypeVar("_T")
_log: Final = logging.getLogger(__name__)
_READ_S: Final = 60.0
_WORKER_ERRORS: Final = (
    ray.exceptions.RayActorError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.TaskCancelledError,
    ray.exceptions.GetTimeoutError,
)


_SPILL: Final = "RAY_object_spilling_directory"
_NO_ROOM: Final = (ray.exceptions.OutOfDiskError, ray.exceptions.ObjectStoreFullError)


class GaveUpError(OtceError):
    """Work that failed for good.

    Args:
        error: the last failure.
        attempts: how often it was tried.
    """

    def __init__(self, error: OtceError, attempts: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.attempts = attempts


def explained(error: Exception) -> OtceError:
    """Turn whatever came out of Ray into one of our errors.

    Args:
        error: what was raised.

    Returns:
        The error a worker raised, a transient one when the worker itself failed, a `RayLostError`
        when Ray is gone, or a permanent one that names what nobody expected.
    """
    if isinstance(error, OtceError):
        cause = getattr(error, "cause", None)
        return cause if isinstance(cause, OtceError) else error
    if isinstance(error, ray.exceptions.LocalRayletDiedError):
        return lost()
    if isinstance(error, ray.exceptions.RayTaskError):
        return error.cause if isinstance(error.cause, OtceError) else _of_input(error.cause)
    if isinstance(error, _WORKER_ERRORS):
        first_line = str(error).strip().partition("\n")[0]
        return WorkerDiedError(f"a worker ended early ({type(error).__name__}: {first_line})")
    return _no_room() if isinstance(error, _NO_ROOM) else _unexpected(error, "")


def explained_of_model(error: Exception) -> OtceError:
    """Explain why a model has no scores, if others may have theirs.

    Args:
        error: what was raised.

    Returns:
        See `explained`.

    Raises:
        ClusterError: no other model would fare better.
    """
    found = explained(error)
    if isinstance(found, ClusterError) and not found.transient:
        raise found
    return found


def _of_input(cause: Exception) -> OtceError:
    """Explain what a worker did not raise by itself: it could not get, or put, what it works on."""
    if isinstance(cause, ray.exceptions.ObjectLostError):
        return LostFeaturesError("features were lost with the node that held them")
    return _no_room() if isinstance(cause, _NO_ROOM) else _unexpected(cause, " in a worker")


def _unexpected(error: Exception, where: str) -> OtceError:
    return OtceError(f"unexpected {type(error).__name__}{where}: {error}")


def _no_room() -> OtceError:
    place = os.environ.get(_SPILL, "a folder below RAY_TMPDIR")
    return ClusterError(
        "features find no room: Ray's memory on a node is full, and so is the disk that it spills "
        f"to ({place}); free that disk, set {_SPILL} to a larger one, or lower sampling.pixels or "
        "sampling.repetitions; otce validate tells how many bytes features take"
    )


def attempt(work: Callable[[], _T], *, attempts: int, recover: Callable[[], object]) -> _T:
    """Do something, and again while its failure is transient.

    Args:
        work: what to do.
        attempts: most times to try.
        recover: called after every transient failure, the last included: an actor that never
            answers would keep the next model waiting as well.

    Returns:
        What `work` returns.

    Raises:
        GaveUpError: a permanent failure, or the last transient one.
        RayLostError: Ray is gone.
    """
    for number in range(1, attempts + 1):
        try:
            return work()
        except Exception as error:
            # Ray wraps any exception of any worker; all are classified in one place.
            found = explained(error)
            if isinstance(found, RayLostError):
                raise found from error
            repeats = _helps_to_repeat(found)
            if repeats:
                recover()
            if not repeats or number == attempts:
                raise GaveUpError(found, number) from error
            _tell_retry(found, number, attempts)
    raise AssertionError("attempts is at least 1")


def _tell_retry(error: OtceError, number: int, attempts: int) -> None:
    if not in_json():
        _log.warning("attempt %d of %d failed and is repeated: %s", number, attempts, error)
    kind = type(error).__name__
    metrics.RETRIES.inc(1, {"error_class": kind})
    event("retried", level=logging.WARNING, attempt=number, error_class=kind, message=str(error))


def _helps_to_repeat(error: OtceError) -> bool:
    # What lacks its input fails the same way until the input is made again.
    return error.transient and not isinstance(error, LostFeaturesError)


@dataclass
class _Pending:
    index: int
    number: int
    started_s: float


class Window:
    """Bounds the Ray tasks that are submitted and not finished, over all threads together.

    Args:
        limit: most tasks in flight.
        attempts: most times to try one.
        time_limit_s: longest time for one.

    Attributes:
        limit: most tasks in flight.
    """

    def __init__(self, limit: int, *, attempts: int, time_limit_s: float) -> None:
        self.limit = limit
        self._free = Semaphore(limit)
        self._in_flight = 0
        self._counting = Lock()
        self._attempts = attempts
        self._time_limit_s = time_limit_s

    @property
    def in_flight(self) -> int:
        """Tasks that are submitted and not finished."""
        with self._counting:
            return self._in_flight

    def run(
        self,
        submits: Sequence[Callable[[], Ref]],
        abouts: Sequence[Mapping[str, Any]] = (),
    ) -> Iterator[tuple[int, Any | GaveUpError]]:
        """Run tasks, as many at once as the window allows.

        Args:
            submits: each starts one task; called again to repeat it.
            abouts: what events say of each; none: nothing.

        Yields:
            (position in `submits`, result or why there is none), in order of completion.

        Raises:
            StoppingError: the run is to end, some tasks refused to begin, and all others are done.
            RayLostError: Ray is gone.
        """
        waiting = [(index, 1) for index in reversed(range(len(submits)))]
        pending: dict[Any, _Pending] = {}
        refused: StoppingError | None = None
        try:
            while waiting or pending:
                # With work of our own to wait for, never block on work of other threads.
                while waiting and self._enter(blocking=not pending):
                    index, number = waiting.pop()
                    try:
                        with inside():
                            ref = submits[index]()
                    except StoppingError as error:
                        self._leave()
                        refused = error
                        continue
                    pending[ref] = _Pending(index, number, time.monotonic())
                for ref in self._finished(pending) if pending else ():
                    done = pending.pop(ref)
                    self._leave()
                    found = _found(ref)
                    if isinstance(found, RayLostError):
                        raise found
                    if isinstance(found, OtceError):
                        if _helps_to_repeat(found) and done.number < self._attempts:
                            with about(**(abouts[done.index] if abouts else {})):
                                _tell_retry(found, done.number, self._attempts)
                            waiting.append((done.index, done.number + 1))
                            continue
                        found = GaveUpError(found, done.number)
                    yield done.index, found
            if refused is not None:
                raise refused
        finally:
            for ref in pending:
                self._leave()
                _cancel(ref)

    def _enter(self, *, blocking: bool) -> bool:
        entered = self._free.acquire(blocking=blocking)
        self._count(int(entered))
        return entered

    def _leave(self) -> None:
        self._count(-1)
        self._free.release()

    def _count(self, change: int) -> None:
        with self._counting:
            self._in_flight += change
            metrics.IN_FLIGHT.set(self._in_flight)

    def _finished(self, pending: dict[Any, _Pending]) -> list[Any]:
        ready = finished(list(pending))
        now_s = time.monotonic()
        for ref, task in pending.items():
            if now_s - task.started_s > self._time_limit_s:
                _cancel(ref)
        return ready


def _found(ref: Ref) -> Any:
    try:
        return result(ref, _READ_S)
    except Exception as error:  # noqa: BLE001 - classified in one place
        return explained(error)


def _cancel(ref: Ref) -> None:
    # Loops in C hear no polite request.
    with contextlib.suppress(ray.exceptions.RayError, RayEndedError, RayLostError), inside():
        ray.cancel(ref, force=True)
