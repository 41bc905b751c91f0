"""A real cluster of several processes: a node may end, the tables stay the same bytes.

The observable is the store, as in `test_kill`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.faults.test_kill import stored, tables, wait_until
from tests.job_nodes import Nodes
from tests.zoo import Command, write_zoo, zoo_config

# A session's limit for one test is too short for a busy machine.
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]
LIMIT_S = 900
PAIRS = 6 * 2


@pytest.fixture(scope="module")
def nodes(prefect_api):
    # Paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="otce") as folder:
        found = Nodes(Path(folder), prefect_api)
        yield found
        found.end()


def otce(*arguments, log, env):
    """Run the command to its end, with the patience of this file."""
    command = Command(*arguments, log=log, env=env)
    return command.wait(LIMIT_S), command.output


def zoo(folder, **execution):
    """Features of 256 kB: Ray keeps what is that large on the node that made it."""
    config = zoo_config(models=6, images=24, pixels=1000, repetitions=2)
    for model in config["models"].values():
        model["arguments"]["width"] = 64
    config["metrics"] = ["otce"]
    config["execution"] |= {"items_per_shard": 24, "placement_limit_s": 60, **execution}
    del config["execution"]["workers"]
    return write_zoo(folder, config)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, prefect_api):
    """By a local Ray without GPUs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    code, output = otce("run", zoo(folder), log=folder / "log", env=prefect_api)
    assert code == 0, output
    return tables(folder)


def test_a_submitted_job_survives_the_death_of_a_node(nodes, undisturbed, tmp_path):
    """Lost features were once a permanent failure of every pair that needed them."""
    workers = [nodes.worker(), nodes.worker()]
    path = zoo(tmp_path)
    submit = "job", "submit", "--address", nodes.dashboard, "--", sys.executable
    with (tmp_path / "log").open("wb") as log:
        job = subprocess.Popen(
            [
                str(Path(sys.executable).parent / "ray"),
                *submit,
                "-m",
                "flows.cli",
                "run",
                str(path),
            ],
            env={**nodes.env, "PATH": str(Path(sys.executable).parent)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def output():
        return (tmp_path / "log").read_text(errors="replace")

    def well_under_way():
        assert job.poll() is None, output()
        return stored(tmp_path) >= PAIRS // 4

    wait_until(well_under_way, "no pair was stored", limit_s=LIMIT_S)
    nodes.kill(workers[0])
    left = stored(tmp_path)
    assert job.wait(LIMIT_S) == 0, output()
    assert left < PAIRS
    assert f"{PAIRS} pairs computed, 0 reused, 0 failed" in output()
    assert "succeeded" in output()
    # Its actor was at work, or was asked to work next.
    assert "failed and is repeated: a worker ended early" in output()
    assert tables(tmp_path) == undisturbed
    nodes.kill(workers[1])


def test_a_run_whose_last_node_for_actors_ends_says_so_and_is_finished_later(
    nodes, undisturbed, tmp_path
):
    worker = nodes.worker()
    path = zoo(tmp_path, placement_limit_s=20)
    env = nodes.env | {"RAY_ADDRESS": nodes.address}
    command = Command("run", path, log=tmp_path / "log", env=env)
    wait_until(lambda: stored(tmp_path) >= 1, "no pair was stored", limit_s=LIMIT_S)
    nodes.kill(worker)
    assert command.process.wait(LIMIT_S) == 3, command.output
    assert "no node of the cluster has room for a feature actor any more" in command.output
    assert "Traceback" not in command.output
    left = stored(tmp_path)
    assert 1 <= left < PAIRS
    worker = nodes.worker()
    code, output = otce("run", path, log=tmp_path / "log2", env=env)
    assert code == 0, output
    assert f"{PAIRS - left} pairs computed, {left} reused, 0 failed" in output
    assert tables(tmp_path) == undisturbed
    nodes.kill(worker)


def test_actors_live_on_nodes_with_the_resource_that_is_asked_for(nodes, undisturbed, tmp_path):
    workers = [nodes.worker(), nodes.worker({"a100": 1})]
    env = nodes.env | {"RAY_ADDRESS": nodes.address}
    path = zoo(tmp_path, actor_resources={"h100": 1})
    code, output = otce("run", path, log=tmp_path / "log", env=env)
    assert code == 3, output
    assert "no node can hold a feature actor: it needs 1 CPUs, 1 GPUs, 1 h100 of one" in output
    path = zoo(tmp_path, actor_resources={"a100": 1}, fresh_actors=True)
    code, output = otce("run", path, log=tmp_path / "log2", env=env)
    assert code == 0, output
    assert tables(tmp_path) == undisturbed
    for worker in workers:
        nodes.kill(worker)


def test_a_cluster_that_starts_from_no_gpu_gets_them_when_they_are_waited_for(
    tmp_path, undisturbed, prefect_api, monkeypatch
):
    """Ray's own autoscaler, whose nodes are processes here."""
    # It calls ray by name.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    group = {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0}
    grown = autoscaled({"CPU": 2}, {"gpus": group | {"max_workers": 1}})
    grown.start(override_env={"RAY_AUTH_MODE": "disabled"})
    env = prefect_api | {"RAY_ADDRESS": "auto", "RAY_AUTH_MODE": "disabled"}
    try:
        path = zoo(tmp_path, wait_for_nodes_s=5, gpus_per_actor=2)
        code, output = otce("run", path, log=tmp_path / "log", env=env)
        assert code == 3, output
        assert "it needs 1 CPUs, 2 GPUs of one node" in output
        path = zoo(tmp_path, wait_for_nodes_s=120)
        code, output = otce("run", path, log=tmp_path / "log2", env=env)
        assert code == 0, output
        assert tables(tmp_path) == undisturbed
    finally:
        grown.shutdown()


EMPTY = (
    *("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands"),
    *("setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
)


def autoscaled(head, groups):
    """Make Ray's cluster of processes with what its wheel lacks: the file that it starts from."""
    from ray.cluster_utils import AutoscalingCluster  # noqa: PLC0415

    class Autoscaled(AutoscalingCluster):
        def _generate_config(self, head_resources, worker_node_types, **_):
            node = {"resources": head_resources, "node_config": {}, "max_workers": 0}
            return {
                "cluster_name": "fake_multinode",
                "max_workers": 8,
                "provider": {
                    "type": "fake_multinode",
                    "use_node_id_as_ip": True,
                    "disable_node_updaters": True,
                    "disable_launch_config_check": True,
                },
                "available_node_types": {**worker_node_types, "ray.head.default": node},
                "head_node_type": "ray.head.default",
                "upscaling_speed": 1.0,
                "idle_timeout_minutes": 0.1,
                "auth": {},
                "file_mounts": {},
                "file_mounts_sync_continuously": False,
                **{key: [] for key in EMPTY},
            }

    return Autoscaled(head, groups)
