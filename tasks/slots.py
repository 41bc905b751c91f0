"""Places for feature actors: each holds one actor, which swaps models or is new for each."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Any

import ray

from otce.errors import ClusterError, PlacementError, RayLostError
from tasks.ray_calls import RayEndedError, inside


class Slot:
    """A place for one actor, which is made when first asked for and replaced when it dies.

    Args:
        make: starts an actor.

    Attributes:
        is_lost: whether no node has room for its actor any more.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._actor: Any = None
        self.is_lost = False

    @property
    def actor(self) -> Any:
        """The handle of the actor.

        Raises:
            PlacementError: no node has room for it.
        """
        if self._actor is None:
            try:
                self._actor = self._make()
            except PlacementError:
                self.is_lost = True
                raise
        return self._actor

    def drop(self) -> None:
        """End the actor, if it is still there; the next use starts another."""
        if self._actor is not None:
            with (
                contextlib.suppress(ray.exceptions.RayError, RayEndedError, RayLostError),
                inside(),
            ):
                ray.kill(self._actor)
            self._actor = None


class Slots:
    """All places for actors; who leases one has it alone.

    Args:
        count: number of places.
        make: starts an actor.
        fresh: whether an actor ends with the lease.

    Attributes:
        coming: leases that will be asked for; places are kept free for them.
    """

    def __init__(self, count: int, make: Callable[[], Any], *, fresh: bool = False) -> None:
        self._changed = Condition()
        self._free = [Slot(make) for _ in range(count)]
        self._open = count
        self._waiting = 0
        self._fresh = fresh
        self.coming = 0

    @contextmanager
    def lease(self) -> Iterator[Slot]:
        """Wait for a free place.

        Yields:
            The place; it is never used again when no node has room for its actor any more.

        Raises:
            ClusterError: there is no such place left.
        """
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._free or not self._open)
            self._waiting -= 1
            if not self._open:
                raise ClusterError(
                    "no node of the cluster has room for a feature actor any more; add nodes and "
                    "repeat the command, which goes on where this one stopped"
                )
            slot = self._free.pop(0)
        try:
            yield slot
        finally:
            self._give_back([slot])

    @contextmanager
    def idle(self, most: int) -> Iterator[list[Slot]]:
        """Take places that nobody waits for, without waiting.

        Args:
            most: how many at most.

        Yields:
            The places, or none.
        """
        with self._changed:
            spare = len(self._free) - self._waiting - self.coming
            taken = [self._free.pop() for _ in range(max(0, min(most, spare)))]
        try:
            yield taken
        finally:
            self._give_back(taken)

    def _give_back(self, slots: list[Slot]) -> None:
        for slot in slots:
            if self._fresh:
                slot.drop()
        with self._changed:
            for slot in slots:
                if slot.is_lost:
                    self._open -= 1
                else:
                    self._free.insert(0, slot)
            self._changed.notify_all()
