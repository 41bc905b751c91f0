"""Any process may die at any time: the same command finishes the work with the same bytes.

The observable is the store, never a sleep: a run is killed when it holds so many pairs.
"""

import os
import signal

import pytest

from tests.kills import PAIRS, assert_nothing_lives, slow_zoo, stored, tables, wait_until
from tests.zoo import Command


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(1, marks=pytest.mark.nightly),
        PAIRS // 2,
        pytest.param(PAIRS - 1, marks=pytest.mark.nightly),
    ],
)
def test_a_run_killed_with_so_many_pairs_stored_is_finished_by_the_same_command(
    pairs, uninterrupted, tmp_path, prefect_home
):
    """With the embedded server, so that a stray one would be found."""
    path = slow_zoo(tmp_path)
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
    command = Command("run", slow_zoo(tmp_path), log=tmp_path / "log", env=prefect_api)
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


@pytest.mark.nightly
def test_a_run_whose_local_ray_dies_says_so_and_is_finished_by_the_same_command(
    uninterrupted, tmp_path, prefect_api
):
    """It ended without a word: Ray took its process down while it sought what was lost."""
    path = slow_zoo(tmp_path)
    command = Command("run", path, log=tmp_path / "log", env=prefect_api)
    wait_until(lambda: stored(tmp_path) >= 1, command.output)
    (raylet,) = [process for process in command.processes() if process.name() == "raylet"]
    raylet.kill()
    assert command.wait() == 3, command.output
    assert "RayLostError: Ray on this machine (its process raylet) has ended" in command.output
    assert not (tmp_path / "store/runs/test/manifest.json").exists()
    left = stored(tmp_path)
    again = Command("run", path, log=tmp_path / "log2", env=prefect_api)
    assert again.wait() == 0, again.output
    assert f"{PAIRS - left} pairs computed, {left} reused, 0 failed" in again.output
    assert tables(tmp_path) == uninterrupted
