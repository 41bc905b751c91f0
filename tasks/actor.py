"""A feature actor: a `FeatureWorker` in a process of its own, on a node that has room for it."""

from collections.abc import Callable
from typing import Any

import ray

from otce.config import ExecutionConfig
from otce.errors import PlacementError
from tasks.plan import Plan
from tasks.ray_calls import inside, result
from tasks.worker import FeatureWorker


def actor_maker(plan: Plan, execution: ExecutionConfig) -> Callable[[], Any]:
    """Say how a `FeatureWorker` becomes an actor.

    Args:
        plan: the share of the cluster that each holds.
        execution: the execution half of the run.

    Returns:
        A function that starts one, waits until it runs and returns its handle; it raises
        `PlacementError` when no node has room for it in time.
    """
    # Restarts are ours to decide (tasks.retry): a fresh actor has no model.
    remote = ray.remote(
        num_gpus=plan.actor_gpus,
        num_cpus=plan.actor_cpus,
        resources=dict(plan.actor_resources),
        max_restarts=0,
        max_task_retries=0,
    )(FeatureWorker)
    limit_s = execution.placement_limit_s

    def make() -> Any:
        with inside():
            actor: Any = remote.remote()
            runs = actor.__ray_ready__.remote()
        try:
            result(runs, limit_s)
        except ray.exceptions.GetTimeoutError as error:
            with inside():
                ray.kill(actor)
            held = {"CPU": plan.actor_cpus, "GPU": plan.actor_gpus, **plan.actor_resources}
            told = ", ".join(f"{amount:g} {name}" for name, amount in held.items() if amount)
            raise PlacementError(
                f"no node had room for a feature actor ({told}) within {limit_s:g} s; add nodes, "
                "or raise execution.placement_limit_s where nodes come late; the same command "
                "goes on"
            ) from error
        return actor

    return make
