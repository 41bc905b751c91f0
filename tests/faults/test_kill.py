"""Any process may die at any time: the same command finishes the work with the same bytes.

The observable is the store, never a sleep: a run is killed when it holds so many pairs.
"""

import os
import signal
import time

import pytest

from tests.zoo import Command, otce, write_zoo, zoo_config

PAIRS = 4 * 2
TABLES = ("scores", "summary", "joints", "failures")


def zoo(folder):
    # One CPU, many repetitions: pairs are stored one after the other, not in a burst.
    config = zoo_config(models=4, images=24, pixels=300, repetitions=8)
    config["execution"] |= {"workers": 1, "items_per_shard": 6}
    return write_zoo(folder, config)


def tables(folder):
    return {n: (folder / f"store/runs/test/{n}.parquet").read_bytes() for n in TABLES}


def stored(folder):
    path = folder / "store/scores"
    return len([p for p in path.iterdir() if p.suffix == ".parquet"]) if path.exists() else 0


def wait_until(happened, what, limit_s=120.0):
    deadline_s = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.002)


def assert_nothing_lives(command):
    wait_until(lambda: not command.processes(), "processes outlived the run", limit_s=30)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, prefect_api):
    folder = tmp_path_factory.mktemp("uninterrupted")
    code, output = otce("run", zoo(folder), log=folder / "log", env=prefect_api)
    assert code == 0, output
    return tables(folder)


@pytest.mark.parametrize("pairs", [1, PAIRS // 2, PAIRS - 1])
def test_a_run_killed_with_so_many_pairs_stored_is_finished_by_the_same_command(
    pairs, uninterrupted, tmp_path, prefect_home
):
    """With the embedded server, so that a stray one would be found."""
    path = zoo(tmp_path)
    env = {"PREFECT_HOME": str(prefect_home / "embedded")}
    killed = Command("run", path, log=tmp_path / "log", env=env)
    wait_until(lambda: stored(tmp_path) >= pairs, killed.output)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    assert_nothing_lives(killed)
    left = stored(tmp_path)
    assert pairs <= left < PAIRS
    assert not (tmp_path / "store/runs/test/manifest.json").exists()
    command = Command("run", path, log=tmp_path / "log2", env=env)
    assert command.process.wait(240) == 0, command.output
    assert_nothing_lives(command)
    assert f"{PAIRS - left} pairs computed, {left} reused, 0 failed" in command.output
    assert tables(tmp_path) == uninterrupted


def test_a_killed_feature_actor_is_replaced_and_changes_no_byte(
    uninterrupted, tmp_path, prefect_api
):
    command = Command("run", zoo(tmp_path), log=tmp_path / "log", env=prefect_api)
    actors = []

    def at_work():
        actors.extend(command.titled("FeatureWorker.extract"))
        return actors

    wait_until(at_work, command.output)
    actors[0].kill()
    assert command.wait() == 0, command.output
    assert "0 failed" in command.output
    assert "attempt 1 of 3 failed and is repeated: a worker ended early" in command.output
    assert tables(tmp_path) == uninterrupted


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_with_130_and_leaves_nothing_running(sent, tmp_path, prefect_home):
    """Threads that still worked once started a second Ray while the first was shut down."""
    env = {"PREFECT_HOME": str(prefect_home / "embedded")}
    command = Command("run", zoo(tmp_path), log=tmp_path / "log", env=env)
    wait_until(lambda: stored(tmp_path) >= 1, command.output)
    command.process.send_signal(sent)
    assert command.process.wait(60) == 130, command.output
    assert "the same command goes on" in command.output
    assert "Traceback" not in command.output
    assert_nothing_lives(command)
