"""Joining a cluster, or not."""

import subprocess
import sys

import pytest
import ray

from otce.config import ExecutionConfig
from otce.errors import ClusterError
from tasks.cluster import cluster


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    """Ray itself tried for five minutes before it said so."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with (
        pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:1"),
        cluster(ExecutionConfig()),
    ):
        pass


@pytest.fixture
def late_nodes(monkeypatch):
    """Let Ray say for so many starts what it says when its own node takes more than 30 s."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    begin, said = ray.init, []

    def late(times):
        def init(*args, **kwargs):
            if len(said) < times:
                said.append(kwargs)
                raise Exception("The current node timed out during startup.")  # noqa: TRY002
            return begin(*args, **kwargs)

        monkeypatch.setattr(ray, "init", init)
        return said

    return late


def test_a_node_that_is_late_is_started_once_more(late_nodes):
    """A run on a machine with much to do ended with a traceback."""
    said = late_nodes(1)
    with cluster(ExecutionConfig(workers=1)) as plan:
        assert plan.actors == 1
    assert len(said) == 1


def test_a_node_that_never_comes_is_an_error_of_the_cluster(late_nodes):
    late_nodes(9)
    with (
        pytest.raises(ClusterError, match=r"did not start on this machine, 2 times: The current"),
        cluster(ExecutionConfig(workers=1)),
    ):
        pass


ENDED = """
import time
import psutil
from otce.config import ExecutionConfig
from otce.errors import RayLostError
from tasks.cluster import cluster
from tasks.ray_calls import inside

with cluster(ExecutionConfig(workers=1)):
    (raylet,) = [child for child in psutil.Process().children() if child.name() == "raylet"]
    raylet.kill()
    ended_s = time.monotonic()
    while time.monotonic() - ended_s < 60:
        time.sleep(0.05)
        try:
            with inside():
                pass
        except RayLostError as error:
            print(error)
            break
"""


def test_callers_of_a_ray_that_has_ended_are_turned_away_before_ray_ends_the_process():
    """In a process of its own: Ray took it down, without a word, at the next call."""
    code = [sys.executable, "-c", ENDED]
    found = subprocess.run(code, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "Ray on this machine (its process raylet) has ended" in found.stdout
