"""A measurement may be killed at any time: the same command finishes it with the same bytes."""

import os
import signal
import time

import pytest

from tests.zoo import Command, write_zoo, zoo_config

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]

MADE = 2 + 2 * 2 * 2 + 2 + 2
TABLES = ("truth", "truth_images", "truth_failures")


def zoo(folder):
    config = zoo_config(models=2, targets=1)
    config["datasets"]["held-back"] = config["datasets"]["birch"] | {"first": 50}
    config["measure"] = {
        "evaluate": {"birch": "held-back"},
        "kinds": ["zero_shot", "head", "fine_tune", "scratch"],
        "shots": [5],
        "steps": 30,
        "short_steps": 10,
        "learning_rates": {"fine_tune": [1e-3], "scratch": [1e-3]},
    }
    # One at a time: transfers are kept one after the other, not in a burst.
    config["execution"] |= {"workers": 1}
    return write_zoo(folder, config)


def measured(path, log, env):
    command = Command("measure", path, log=log, env=env)
    return command.wait(900), command.output


def tables(folder):
    return {n: (folder / f"store/runs/test/{n}.parquet").read_bytes() for n in TABLES}


def kept(folder):
    path = folder / "store/truth"
    return len([p for p in path.iterdir() if p.suffix == ".parquet"]) if path.exists() else 0


def wait_until(happened, told, limit_s=600.0):
    deadline_s = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline_s, told()
        time.sleep(0.002)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, prefect_api):
    folder = tmp_path_factory.mktemp("uninterrupted")
    code, output = measured(zoo(folder), folder / "log", prefect_api)
    assert code == 0, output
    assert kept(folder) == MADE
    return tables(folder)


@pytest.mark.parametrize("transfers", [1, MADE // 2, MADE - 1])
def test_a_measurement_killed_with_so_many_transfers_kept_is_finished_by_the_same_command(
    transfers, uninterrupted, tmp_path, prefect_home
):
    path, env = zoo(tmp_path), {"PREFECT_HOME": str(prefect_home / "embedded")}
    killed = Command("measure", path, log=tmp_path / "log", env=env)
    wait_until(lambda: kept(tmp_path) >= transfers, lambda: killed.output)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    wait_until(lambda: not killed.processes(), lambda: "processes outlived the run")
    left = kept(tmp_path)
    assert transfers <= left < MADE
    assert not (tmp_path / "store/runs").exists()
    code, output = measured(path, tmp_path / "log2", env)
    assert code == 0, output
    # Both models share what is trained from scratch, so rows are more than objects.
    assert f"{left} in the store, {MADE - left} to make" in output
    assert "0 failed" in output
    assert tables(tmp_path) == uninterrupted


def test_a_killed_worker_is_replaced_and_changes_no_byte(uninterrupted, tmp_path, prefect_api):
    command = Command("measure", zoo(tmp_path), log=tmp_path / "log", env=prefect_api)
    workers = []

    def at_work():
        workers.extend(command.titled("ray::_transfer"))
        return workers

    wait_until(at_work, lambda: command.output)
    workers[0].kill()
    assert command.wait(900) == 0, command.output
    assert "0 failed" in command.output
    assert tables(tmp_path) == uninterrupted


def test_a_measurement_whose_local_ray_dies_says_so_and_is_finished_by_the_same_command(
    uninterrupted, tmp_path, prefect_api
):
    """Every transfer that was not made failed, and a table without them was published."""
    path = zoo(tmp_path)
    command = Command("measure", path, log=tmp_path / "log", env=prefect_api)
    wait_until(lambda: kept(tmp_path) >= 1, lambda: command.output)
    (raylet,) = [process for process in command.processes() if process.name() == "raylet"]
    raylet.kill()
    assert command.wait(300) == 3, command.output
    assert "RayLostError: Ray on this machine (its process raylet) has ended" in command.output
    assert not (tmp_path / "store/runs").exists()
    code, output = measured(path, tmp_path / "log2", prefect_api)
    assert code == 0, output
    assert tables(tmp_path) == uninterrupted


def test_an_interrupted_measurement_ends_with_130_and_leaves_nothing_running(
    tmp_path, prefect_home
):
    env = {"PREFECT_HOME": str(prefect_home / "embedded")}
    command = Command("measure", zoo(tmp_path), log=tmp_path / "log", env=env)
    wait_until(lambda: kept(tmp_path) >= 1, lambda: command.output)
    command.process.send_signal(signal.SIGINT)
    assert command.process.wait(120) == 130, command.output
    assert "the same command goes on" in command.output
    assert "Traceback" not in command.output
    wait_until(lambda: not command.processes(), lambda: "processes outlived the run", 60)
