"""The plan counts what single nodes hold, and leaves room for a transport, or says why not."""

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import ValidationError

from otce.config import ExecutionConfig
from otce.errors import ClusterError
from tasks.plan import plan

NODES = st.lists(
    st.fixed_dictionaries({"CPU": st.integers(0, 16), "GPU": st.integers(0, 4)}),
    min_size=1,
    max_size=5,
)


@given(
    nodes=NODES,
    share=st.sampled_from([0.1, 0.25, 0.4, 0.5, 1.0, 2.0, 3.0]),
    wanted=st.integers(1, 8),
    actors=st.none() | st.integers(1, 16),
)
def test_all_actors_and_a_transport_can_be_laid_out_on_the_nodes(nodes, share, wanted, actors):
    """Place them one by one, each fraction of a GPU on one GPU, as Ray must."""
    execution = ExecutionConfig(gpus_per_actor=share, cpus_per_actor=wanted, actors=actors)
    try:
        found = plan(nodes, execution)
    except ClusterError:
        reject()
    assert 1 <= found.actors <= (actors or 10**9)
    assert any(_laid_out(nodes, found, home) for home in range(len(nodes)))


def _laid_out(nodes, found, home):
    """Whether all actors fit when the transport's CPUs are taken from one node."""
    if nodes[home]["CPU"] < found.solve_cpus:
        return False
    placed = 0
    for i, node in enumerate(nodes):
        cpus = node["CPU"] - (found.solve_cpus if i == home else 0)
        gpus = [1.0] * node["GPU"]
        while cpus >= found.actor_cpus and _take(gpus, found.actor_gpus):
            cpus -= found.actor_cpus
            placed += 1
    return placed >= found.actors


def _take(gpus, share):
    if share >= 1:
        whole = [i for i, left in enumerate(gpus) if left == 1.0]
        if len(whole) < share:
            return False
        for i in whole[: int(share)]:
            gpus[i] = 0.0
        return True
    for i, left in enumerate(gpus):
        if left >= share - 1e-9:
            gpus[i] -= share
            return True
    return share == 0


@pytest.mark.parametrize(
    ("nodes", "execution", "actors"),
    [
        # Two nodes of one GPU are not one node of two.
        ([{"CPU": 8, "GPU": 1}] * 2, {}, 2),
        ([{"CPU": 8, "GPU": 3}, {"CPU": 8, "GPU": 1}], {"gpus_per_actor": 2}, 1),
        ([{"CPU": 16, "GPU": 2}], {"gpus_per_actor": 0.5}, 4),
        # A share of 0.4 fits twice on a GPU, however many GPUs there are.
        ([{"CPU": 16, "GPU": 2}], {"gpus_per_actor": 0.4}, 4),
        ([{"CPU": 16, "GPU": 1}], {"gpus_per_actor": 0.3333}, 3),
        ([{"CPU": 99, "GPU": 1}], {"gpus_per_actor": 0.1}, 10),
        # The head has room for transports, so no GPU is left idle for them.
        ([{"CPU": 4}, {"CPU": 4, "GPU": 4}], {}, 4),
        ([{"CPU": 4, "GPU": 4}], {}, 3),
        ([{"CPU": 3}, {"CPU": 3}], {"cpus_per_actor": 2}, 2),
        ([{"CPU": 8, "GPU": 4}, {"CPU": 8, "GPU": 4, "a100": 4}], {}, 8),
        (
            [{"CPU": 8, "GPU": 4}, {"CPU": 8, "GPU": 4, "a100": 4}],
            {"actor_resources": {"a100": 2}},
            2,
        ),
    ],
)
def test_slots_are_counted_node_by_node(nodes, execution, actors):
    assert plan(nodes, ExecutionConfig(**execution)).actors == actors


@pytest.mark.parametrize(
    ("nodes", "execution", "told"),
    [
        (
            [{"CPU": 8, "GPU": 1}] * 2,
            {"gpus_per_actor": 2},
            "1 CPUs, 2 GPUs of one node, and .*; the cluster has 2 nodes, with 8 CPUs, 1 GPUs; low",
        ),
        ([{"CPU": 2}], {"cpus_per_actor": 4}, "needs 4 CPUs of one node; the cluster has 1 nodes"),
        ([{"CPU": 3}] * 2, {"cpus_per_actor": 4}, "the cluster has 2 nodes, with 3 CPUs; lower"),
        ([{"CPU": 1, "GPU": 4}], {}, "1 CPU for transport beside all of them"),
        ([{"CPU": 8, "GPU": 4}], {"actor_resources": {"a100": 1}}, "with 8 CPUs, 4 GPUs, 0 a100"),
        # Who waits for nodes does not want the CPUs of the head.
        ([{"CPU": 8}], {"wait_for_nodes_s": 60}, "needs 1 CPUs, 1 GPUs of one node"),
        ([], {}, "the cluster has 0 nodes, with nothing"),
    ],
)
def test_what_no_node_can_ever_hold_is_refused_instead_of_waited_for(nodes, execution, told):
    with pytest.raises(ClusterError, match=told):
        plan(nodes, ExecutionConfig(**execution))


@pytest.mark.parametrize(
    ("execution", "told"),
    [
        ({"gpus_per_actor": 1.5}, "several GPUs are whole ones"),
        ({"actor_resources": {"GPU": 1}}, "GPU cannot be set here; CPUs and GPUs have"),
        ({"actor_resources": {"a100": 0}}, "greater than 0"),
    ],
)
def test_resources_that_ray_would_refuse_are_refused_in_the_configuration(execution, told):
    with pytest.raises(ValidationError, match=told):
        ExecutionConfig(**execution)
