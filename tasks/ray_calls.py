"""Calls into Ray from many threads, none of which is inside when Ray is shut down.

A thread that waits in Ray while it is shut down may wait for ever, and its process with it. Ray is
one a process, and so is the door that its callers pass.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import ray

from otce.errors import RayLostError

Ref: TypeAlias = "ray.ObjectRef[Any]"
"""Reference of a result that Ray holds."""
Refs: TypeAlias = Mapping[int, list[Ref]]
"""By repetition, references of the parts of a data set's features; `ALL_PIXELS` stands beside."""
ALL_PIXELS: Final = -1
"""In place of a repetition: sums over all labelled pixels, as lists of blocks."""

_POLL_S: Final = 1.0
_LEAVE_S: Final = 10.0
"""A call ends within a poll; what takes longer than this is stuck anyway."""
_READ_S: Final = 60.0


class RayEndedError(BaseException):
    """Ray is being shut down: like `KeyboardInterrupt` nothing to recover from, in any thread."""


class _Door:
    def __init__(self) -> None:
        self.moved = threading.Condition()
        self.refusal: Callable[[], BaseException] | None = None
        self.inside = 0


_door: Final = _Door()


@contextmanager
def inside() -> Iterator[None]:
    """Call Ray, for a short time only.

    Raises:
        RayEndedError: Ray is being shut down.
        RayLostError: Ray is gone.
    """
    with _door.moved:
        if _door.refusal is not None:
            raise _door.refusal()
        _door.inside += 1
    try:
        yield
    finally:
        with _door.moved:
            _door.inside -= 1
            _door.moved.notify_all()


@contextmanager
def callers_leave_first() -> Iterator[None]:
    """Let threads call Ray within; at the end turn them away and wait until none is inside."""
    _door.refusal = None
    try:
        yield
    finally:
        with _door.moved:
            _door.refusal = RayEndedError
            _door.moved.wait_for(lambda: not _door.inside, timeout=_LEAVE_S)


def turn_away_for_good() -> None:
    """Turn callers away from now on: Ray would end this process, without a word, at a call."""
    _door.refusal = lost


def lost() -> RayLostError:
    """Say that Ray is gone.

    Returns:
        The error.
    """
    return RayLostError(
        "Ray on this machine (its process raylet) has ended, or was too busy to answer: no more "
        "can be computed in this run. What was finished is kept; run the command again"
    )


def finished(refs: Sequence[Ref]) -> list[Ref]:
    """Wait a moment for the first of some results.

    Args:
        refs: references of the results.

    Returns:
        The reference of one that is there, or none.

    Raises:
        RayEndedError: Ray is being shut down.
    """
    with inside():
        ready, _ = ray.wait(list(refs), num_returns=1, timeout=_POLL_S)
    return list(ready)


def result(ref: Ref, limit_s: float) -> Any:
    """Wait for a result and take it.

    Args:
        ref: its reference.
        limit_s: longest time to wait.

    Returns:
        The result.

    Raises:
        RayEndedError: Ray is being shut down.
        RayError: the work failed, or is not done in time.
    """
    deadline_s = time.monotonic() + limit_s
    while not finished([ref]):
        if time.monotonic() > deadline_s:
            raise ray.exceptions.GetTimeoutError(f"not done after {limit_s:g} s")
    with inside():
        return ray.get(ref, timeout=_READ_S)
