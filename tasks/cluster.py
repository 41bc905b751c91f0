"""Start or join Ray, check before any work that it can do the work, and hold its feature actors."""

import contextlib
import logging
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import ray

from otce.config import ExecutionConfig
from otce.errors import ClusterError
from tasks.handshake import refuse_other_versions, workers
from tasks.ray_calls import RayEndedError, callers_leave_first, inside

_HALF_CPU: Final = 0.5
_KNOCK_S: Final = 10


@dataclass(frozen=True)
class Plan:
    """How the cluster's resources are shared between extraction and transport.

    Attributes:
        actors: feature actors at once.
        actor_gpus: GPUs that each holds; 0 when the cluster has none.
        actor_cpus: CPUs that each holds.
        threads: threads that each computes with.
        solve_cpus: CPUs that a transport holds; each computes with one thread.
        in_flight: most transports submitted at once.
    """

    actors: int
    actor_gpus: float
    actor_cpus: float
    threads: int
    solve_cpus: float
    in_flight: int


@contextmanager
def cluster(execution: ExecutionConfig) -> Iterator[Plan]:
    """Join the Ray of `RAY_ADDRESS`, or start a local one that ends with us.

    Args:
        execution: the execution half of the run.

    Yields:
        How the work is spread over it.

    Raises:
        ClusterError: no Ray answers, a node has other software than this process, or the cluster
            cannot hold the actors and a transport beside them.
    """
    address = os.environ.get("RAY_ADDRESS")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            _knock(address)
            ray.init(address=address, namespace="otce", **quiet)
        else:
            # Without "local" Ray would join whatever others have started on this machine.
            ray.init("local", num_cpus=execution.workers, include_dashboard=False, **quiet)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"no Ray cluster at {address or 'this machine'}: {error}; start it, or unset "
            "RAY_ADDRESS to use a local one"
        ) from error
    if threading.current_thread() is threading.main_thread():
        # Ray's own handler aborts the process before anything can be ended in order.
        signal.signal(signal.SIGTERM, on_sigterm)
    try:
        with callers_leave_first():
            if address:
                refuse_other_versions(workers())
            yield plan(ray.cluster_resources(), execution)  # type: ignore[no-untyped-call]
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ask whether anybody listens; Ray itself tries for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()


def plan(resources: dict[str, float], execution: ExecutionConfig) -> Plan:
    """Share resources, or refuse what would wait for ever.

    Without GPUs an actor and a transport hold half of what they use, so that both always fit.

    Args:
        resources: `CPU` and `GPU` counts of the cluster.
        execution: the execution half of the run.

    Returns:
        The plan; at least one actor, and room for a transport beside all of them.

    Raises:
        ClusterError: not enough CPUs or GPUs; says which and how many.
    """
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    wanted = execution.cpus_per_actor
    if gpus:
        slots = min(int(gpus / execution.gpus_per_actor), int((cpus - 1) / wanted))
        actor_gpus, actor_cpus, solve_cpus = execution.gpus_per_actor, float(wanted), 1.0
    else:
        slots = int(cpus / wanted)
        actor_gpus, actor_cpus, solve_cpus = 0.0, wanted * _HALF_CPU, _HALF_CPU
    if slots < 1:
        raise ClusterError(
            f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs; a feature actor needs {wanted} CPUs"
            + (
                f" and {execution.gpus_per_actor:g} GPUs, beside 1 CPU for transport"
                if gpus
                else ""
            )
            + "; lower execution.cpus_per_actor or execution.gpus_per_actor, or add nodes"
        )
    return Plan(
        actors=min(slots, execution.actors or slots),
        actor_gpus=actor_gpus,
        actor_cpus=actor_cpus,
        threads=wanted,
        solve_cpus=solve_cpus,
        in_flight=execution.in_flight or max(2, int(2 * cpus)),
    )


class Slot:
    """A place for one actor, which is made when first asked for and replaced when it dies.

    Args:
        make: starts an actor.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._actor: Any = None

    @property
    def actor(self) -> Any:
        """The handle of the actor."""
        if self._actor is None:
            self._actor = self._make()
        return self._actor

    def drop(self) -> None:
        """End the actor, if it is still there; the next use starts another."""
        if self._actor is not None:
            with contextlib.suppress(ray.exceptions.RayError, RayEndedError), inside():
                ray.kill(self._actor)
            self._actor = None


class Slots:
    """All places for actors; who leases one has it alone.

    Args:
        count: number of places.
        make: starts an actor.
    """

    def __init__(self, count: int, make: Callable[[], Any]) -> None:
        self._free: queue.Queue[Slot] = queue.Queue()
        for _ in range(count):
            self._free.put(Slot(make))

    @contextmanager
    def lease(self) -> Iterator[Slot]:
        """Wait for a free place.

        Yields:
            The place.
        """
        slot = self._free.get()
        try:
            yield slot
        finally:
            self._free.put(slot)
