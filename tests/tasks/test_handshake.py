"""A node with other software than the driver's is refused before it can give a number."""

import os
import re
import subprocess
import sys
import types
from importlib.metadata import version

import pytest

from otce.errors import ClusterError
from tasks.handshake import _looker, differences, needed, refuse_other_versions, workers
from tests.ray_nodes import ROOT, Nodes, environment
from tests.zoo import otce, write_zoo, zoo_config


def test_a_node_with_the_same_software_is_taken(ray_plan):
    nodes = workers()
    assert len(nodes) == 1
    refuse_other_versions(nodes)


def test_another_version_is_refused_with_node_package_and_both_versions(
    ray_plan, tmp_path, monkeypatch
):
    """This process sees another POT than the workers, which are the other side of the same."""
    described = tmp_path / "POT-0.9.6.dist-info/METADATA"
    described.parent.mkdir()
    described.write_text("Metadata-Version: 2.1\nName: POT\nVersion: 0.9.6\n")
    monkeypatch.syspath_prepend(tmp_path)
    [node] = workers()
    with pytest.raises(ClusterError) as raised:
        refuse_other_versions([node])
    told = str(raised.value)
    assert told.startswith("1 of 1 nodes of the cluster differ from this process: ")
    assert f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, " in told
    monkeypatch.undo()
    assert f"POT {version('POT')} there and 0.9.6 here" in told
    assert "nothing was computed; start all nodes and this command from one image" in told
    assert "torch" not in told


def test_a_node_that_vanished_does_not_count(ray_plan):
    [node] = workers()
    refuse_other_versions([node, node | {"NodeID": "0" * 56}])


def test_what_is_needed_may_not_be_missing_and_an_extra_may():
    here = {"torch": "2.13.0", "monai": "1.6.1", "code of otce": "0a1b"}
    must = {"torch", "code of otce"}
    assert differences(here, {"torch": "2.13.0", "code of otce": "0a1b"}, needed=must) == []
    assert differences(here, {"monai": "1.5.0"}, needed=must) == [
        "torch is missing there and 2.13.0 here",
        "monai 1.5.0 there and 1.6.1 here",
        "code of otce is missing there and 0a1b here",
    ]


def test_an_extra_is_needed_once_this_process_uses_it(monkeypatch):
    """A worker without s3fs would fail pair after pair, once images are read."""
    monkeypatch.delitem(sys.modules, "s3fs", raising=False)
    assert {"Python", "ray", "torch", "numpy", "pyarrow", "POT", "otce", "code of tasks"} < needed()
    assert "s3fs" not in needed()
    monkeypatch.setitem(sys.modules, "s3fs", types.ModuleType("s3fs"))
    assert "s3fs" in needed()


def test_code_of_another_commit_has_another_digest(tmp_path, monkeypatch):
    """Between two releases the version says nothing."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "some_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inner/numbers.py").write_text("ONE = 1\n")
    first = _looker()((), ("some_package", "no_package"))
    assert first.keys() == {"Python", "code of some_package"}
    (package / "__pycache__").mkdir()
    (package / "__pycache__/numbers.pyc").touch()
    assert _looker()((), ("some_package",)) == first
    (package / "inner/numbers.py").write_text("ONE = 2\n")
    assert _looker()((), ("some_package",)) != first


@pytest.fixture
def nodes(tmp_path):
    started = Nodes(tmp_path)
    try:
        started.start_head()
        yield started
    finally:
        started.close()


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_run_refuses_a_cluster_of_mixed_software_and_passes_without_the_others(
    nodes, tmp_path, prefect_api
):
    """F20: an image that lacks a dependency, and one with another version."""
    others = [
        nodes.start_node(python=environment(tmp_path / "older", version="0.9.6")),
        nodes.start_node(python=environment(tmp_path / "bare")),
    ]
    path = write_zoo(tmp_path, zoo_config(models=1, targets=1))
    env = prefect_api | nodes.env
    code, output = otce("run", path, log=tmp_path / "log", env=env)
    assert code == 3, output
    pot = version("POT")
    assert "ClusterError: 2 of 3 nodes of the cluster differ from this process: node " in output
    node = r"node \S+ \(\S+, [0-9a-f]{8}\): POT"
    for found in ("0.9.6", "is missing"):
        assert re.search(f"{node} {found} there and {pot} here; (node|nothing)", output), output
    assert "start all nodes and this command from one image, or install the same" in output
    assert "Traceback" not in output
    assert not list((tmp_path / "store").glob("s*/*")), "work was done before the handshake"
    for other in others:
        nodes.kill(other)
    code, output = otce("run", path, log=tmp_path / "log2", env=env)
    assert code == 0, output
    assert "1 pairs computed, 0 reused, 0 failed" in output


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_run_with_another_token_is_kept_out(nodes, tmp_path, prefect_api):
    path = write_zoo(tmp_path, zoo_config(models=1, targets=1))
    env = prefect_api | nodes.env | {"RAY_AUTH_TOKEN": "0" * 64}
    code, output = otce("run", path, log=tmp_path / "log", env=env)
    assert code == 3, output
    assert f"ClusterError: no Ray cluster at {nodes.address}: " in output
    assert nodes.env["RAY_AUTH_TOKEN"] not in output


# A process of its own, because Ray reads whether there are tokens once a process.
DRIVER = """
import ray
from tasks.handshake import refuse_other_versions, workers
from tasks.ray_calls import callers_leave_first
ray.init()
with callers_leave_first():
    listed = workers()
    print(f"listed {len(listed)}", flush=True)
    input()
    refuse_other_versions(listed)
    print(f"taken {len(workers())}", flush=True)
"""


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_node_that_dies_while_it_is_asked_is_left_out(nodes, tmp_path):
    """Killed after it was listed: Ray has not noticed when the tasks are sent to it."""
    doomed = nodes.start_node(python=environment(tmp_path / "older", version="0.9.6"))
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **nodes.env, "PYTHONPATH": str(ROOT)},
    ) as driver:
        told = next(line for line in driver.stdout if line.startswith("listed"))
        assert told == "listed 2\n"
        nodes.kill(doomed)
        rest, _ = driver.communicate("go\n", timeout=180)
        assert driver.returncode == 0, rest
        assert "taken 1\n" in rest
