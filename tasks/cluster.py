"""Start or join Ray, and check before any work that it can do the work."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import ray
from ray.autoscaler.sdk import request_resources

from otce.config import ExecutionConfig
from otce.errors import ClusterError
from tasks.handshake import refuse_other_versions, workers
from tasks.plan import Node, Plan, actor_needs, plan, slots_on
from tasks.ray_calls import callers_leave_first, turn_away_for_good

_LOOK_S: Final = 1.0
_WATCH_S: Final = 0.25
_KNOCK_S: Final = 10
_START_TRIES: Final = 2
# Ray ends a worker that was idle for a second; the next transport would then wait for torch.
_IDLE_MS: Final = 600_000
# A node of this machine that does not answer is busy, or asleep with its lid closed; that it has
# ended is seen otherwise. Ray waits for 5.
_MISSED_BEATS: Final = 20


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
            _start(execution, quiet)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"no Ray cluster at {address or 'this machine'}: {error}; start it, or unset "
            "RAY_ADDRESS to use a local one"
        ) from error
    if threading.current_thread() is threading.main_thread():
        # Ray's own handler aborts the process before anything can be ended in order.
        signal.signal(signal.SIGTERM, on_sigterm)
    try:
        with callers_leave_first(), _watched(), _nodes(execution) as nodes:
            if address:
                refuse_other_versions(workers())
            yield plan(nodes, execution)
    finally:
        ray.shutdown()


def _start(execution: ExecutionConfig, quiet: dict[str, Any]) -> None:
    """Start a local Ray; once more where its node was late, as on a machine with much to do."""
    for number in range(1, _START_TRIES + 1):
        try:
            # Without "local" Ray would join whatever others have started on this machine.
            ray.init(
                "local",
                num_cpus=execution.workers,
                include_dashboard=False,
                _system_config={
                    "idle_worker_killing_time_threshold_ms": _IDLE_MS,
                    "health_check_failure_threshold": _MISSED_BEATS,
                },
                **quiet,
            )
        except Exception as error:
            # Ray has no class of its own for this.
            if type(error) is not Exception:
                raise
            if number == _START_TRIES:
                raise ClusterError(
                    f"Ray did not start on this machine, {number} times: {error} Run the command "
                    "again when less else is running, or with fewer `execution.workers`"
                ) from error
        else:
            return


def _knock(address: str) -> None:
    """Ask whether anybody listens; Ray itself tries for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()


@contextmanager
def _watched() -> Iterator[None]:
    """Look for the end of our own node's raylet, which Ray sees only when beats were missed."""
    own = ray.get_runtime_context().get_node_id()
    (node,) = (node for node in ray.nodes() if node["NodeID"] == own)  # type: ignore[no-untyped-call]
    place = node["NodeManagerAddress"], node["NodeManagerPort"]
    if _refuses(place):
        # From outside a cluster its nodes may be out of reach.
        yield
        return
    left = threading.Event()

    def watch() -> None:
        while not left.wait(_WATCH_S):
            if _refuses(place):
                turn_away_for_good()
                return

    watcher = threading.Thread(target=watch, name="raylet-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        watcher.join()


def _refuses(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=_KNOCK_S).close()
    except OSError as error:
        # What does not answer may be busy.
        return isinstance(error, ConnectionRefusedError)
    return False


@contextmanager
def _nodes(execution: ExecutionConfig) -> Iterator[list[Node]]:
    """Tell the nodes that are there, after those were waited for that come when asked."""
    if not execution.wait_for_nodes_s:
        yield _alive()
        return
    wanted = execution.actors or 1
    request_resources(bundles=[actor_needs((), execution)] * wanted)
    try:
        deadline_s = time.monotonic() + execution.wait_for_nodes_s
        while slots_on(_alive(), execution) < wanted and time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)
        yield _alive()
    finally:
        # What was asked for stays asked for, and its nodes up, until it is taken back.
        request_resources(bundles=[])


def _alive() -> list[Node]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
