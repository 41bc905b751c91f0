"""Preflight: the plan always leaves room for a transport, or says why nothing can run."""

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from otce.config import ExecutionConfig
from otce.errors import ClusterError
from tasks.cluster import Slots, cluster, plan


@given(
    cpus=st.integers(1, 64),
    gpus=st.integers(0, 8),
    share=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    wanted=st.integers(1, 8),
    actors=st.none() | st.integers(1, 16),
)
def test_all_actors_and_a_transport_fit_at_once(cpus, gpus, share, wanted, actors):
    execution = ExecutionConfig(gpus_per_actor=share, cpus_per_actor=wanted, actors=actors)
    try:
        found = plan({"CPU": cpus, "GPU": gpus}, execution)
    except ClusterError:
        reject()
    assert found.actors >= 1
    assert found.actors * found.actor_cpus + found.solve_cpus <= cpus
    assert found.actors * found.actor_gpus <= gpus
    assert found.actors <= (actors or 10**9)


@pytest.mark.parametrize(
    ("resources", "execution", "told"),
    [
        ({"CPU": 2}, {"cpus_per_actor": 4}, "has 2 CPUs and 0 GPUs; a feature actor needs 4 CPUs"),
        ({"CPU": 8, "GPU": 1}, {"gpus_per_actor": 2}, "and 2 GPUs, beside 1 CPU for transport"),
        ({"CPU": 1, "GPU": 4}, {}, "lower execution.cpus_per_actor"),
    ],
)
def test_too_small_a_cluster_is_refused_instead_of_waited_for(resources, execution, told):
    with pytest.raises(ClusterError, match=told):
        plan(resources, ExecutionConfig(**execution))


def test_fractions_of_a_gpu_make_more_slots():
    assert plan({"CPU": 16, "GPU": 2}, ExecutionConfig(gpus_per_actor=0.5)).actors == 4


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    """Ray itself tried for five minutes before it said so."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with (
        pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:1"),
        cluster(ExecutionConfig()),
    ):
        pass


def test_a_slot_is_leased_to_one_and_makes_its_actor_once():
    made = []
    slots = Slots(1, lambda: made.append(object()) or made[-1])
    with slots.lease() as slot:
        assert slot.actor is slot.actor
    with slots.lease() as slot:
        assert slot.actor is made[0]
    assert len(made) == 1
