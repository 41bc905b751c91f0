"""How many feature actors the nodes of a cluster hold, and what is left for transports."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from otce.config import ExecutionConfig
from otce.errors import ClusterError

Node = Mapping[str, float]
"""Resources of one node by name, such as `CPU`, `GPU`, or any that its operator gave it."""

_HALF_CPU: Final = 0.5
# Ray counts in ten thousandths; three times 0.3333 of a GPU fit on one.
_ROUNDING: Final = 1e-3


@dataclass(frozen=True)
class Plan:
    """How the cluster's resources are shared between extraction and transport.

    Attributes:
        actors: feature actors at once.
        actor_gpus: GPUs that each holds; 0 when the cluster has none.
        actor_cpus: CPUs that each holds.
        actor_resources: other resources that each holds, by name.
        threads: threads that each computes with.
        solve_cpus: CPUs that a transport holds; each computes with one thread.
        in_flight: most transports submitted at once.
    """

    actors: int
    actor_gpus: float
    actor_cpus: float
    actor_resources: Mapping[str, float]
    threads: int
    solve_cpus: float
    in_flight: int


def plan(nodes: Sequence[Node], execution: ExecutionConfig) -> Plan:
    """Share resources, or refuse what would wait for ever.

    An actor lives on one node, and a fraction of a GPU on one GPU. Without GPUs an actor and a
    transport hold half of what they use, so that both always fit.

    Args:
        nodes: resources of each node.
        execution: the execution half of the run.

    Returns:
        The plan; at least one actor, and room for a transport beside all of them.

    Raises:
        ClusterError: no node can hold an actor, or none a transport beside them.
    """
    on_gpus = _on_gpus(nodes, execution)
    slots = slots_on(nodes, execution)
    if slots < 1:
        raise ClusterError(_refusal(nodes, execution))
    share = 1.0 if on_gpus else _HALF_CPU
    cpus = sum(node.get("CPU", 0.0) for node in nodes)
    return Plan(
        actors=min(slots, execution.actors or slots),
        actor_gpus=execution.gpus_per_actor if on_gpus else 0.0,
        actor_cpus=execution.cpus_per_actor * share,
        actor_resources=execution.actor_resources,
        threads=execution.cpus_per_actor,
        solve_cpus=share,
        in_flight=execution.in_flight or max(2, int(2 * cpus)),
    )


def slots_on(nodes: Sequence[Node], execution: ExecutionConfig) -> int:
    """Count the feature actors that nodes hold, with a transport beside them.

    Args:
        nodes: resources of each node.
        execution: the execution half of the run.

    Returns:
        At least 0.
    """
    beside = 1.0 if _on_gpus(nodes, execution) else 0.0
    needs = actor_needs(nodes, execution)
    held = 0
    losses = []
    for node in nodes:
        cpus = node.get("CPU", 0.0)
        full = _on_node(node, needs)
        held += full
        if cpus >= beside:
            losses.append(full - _on_node({**node, "CPU": cpus - beside}, needs))
    return held - min(losses, default=held)


def actor_needs(nodes: Sequence[Node], execution: ExecutionConfig) -> dict[str, float]:
    """Say what a feature actor takes of its node; a CPU that it shares is counted whole.

    Args:
        nodes: resources of each node.
        execution: the execution half of the run.

    Returns:
        Amounts by resource.
    """
    gpus = {"GPU": execution.gpus_per_actor} if _on_gpus(nodes, execution) else {}
    return {"CPU": float(execution.cpus_per_actor), **gpus, **execution.actor_resources}


def _on_gpus(nodes: Sequence[Node], execution: ExecutionConfig) -> bool:
    # Who waits for nodes wants their GPUs, and not the CPUs of the head.
    return bool(execution.wait_for_nodes_s) or any(node.get("GPU", 0.0) for node in nodes)


def _on_node(node: Node, needs: Node) -> int:
    return min(_times(name, node.get(name, 0.0), amount) for name, amount in needs.items())


def _times(name: str, available: float, amount: float) -> int:
    if name == "GPU" and amount < 1:
        return int(available) * math.floor(1 / amount + _ROUNDING)
    return math.floor(available / amount + _ROUNDING)


def _refusal(nodes: Sequence[Node], execution: ExecutionConfig) -> str:
    needs = actor_needs(nodes, execution)
    names = {"CPU": "CPUs", "GPU": "GPUs"}

    def amounts(of: Node) -> str:
        return ", ".join(f"{of.get(name, 0.0):g} {names.get(name, name)}" for name in needs)

    kinds = "; ".join(dict.fromkeys(amounts(node) for node in nodes))
    beside = ", and 1 CPU for transport beside all of them" if "GPU" in needs else ""
    return (
        f"no node can hold a feature actor: it needs {amounts(needs)} of one node{beside}; the "
        f"cluster has {len(nodes)} nodes, with {kinds or 'nothing'}; lower "
        "execution.cpus_per_actor, gpus_per_actor or actor_resources, or add nodes"
    )
