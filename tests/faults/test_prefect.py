"""The Prefect server is the view (F19): none, and a run is refused; one that dies loses nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.emulators import free_port, wait_until_it_answers
from tests.kills import PAIRS, assert_nothing_lives, slow_zoo, stored, tables, wait_until
from tests.zoo import Command, otce


def test_a_server_that_is_down_before_the_run_is_named_at_once(tmp_path):
    url = f"http://127.0.0.1:{free_port()}/api"
    path, began_s = slow_zoo(tmp_path), time.monotonic()
    code, output = otce("run", path, log=tmp_path / "log", env={"PREFECT_API_URL": url})
    assert code == 3, output
    assert f"ClusterError: no Prefect server answers at {url} (" in output
    assert "start it, or unset PREFECT_API_URL to use an embedded one" in output
    assert "Traceback" not in output
    assert "starting Ray" not in output
    assert time.monotonic() - began_s < 40
    assert not (tmp_path / "store").exists()


@pytest.fixture
def server(tmp_path):
    """A server of this test's own, and where it answers."""
    port, log = free_port(), tmp_path / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    own = {"PREFECT_HOME": str(tmp_path / "home"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **own},
            start_new_session=True,
        )
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/api/health", process, log, 120)
            yield process, own | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.nightly
def test_a_server_that_dies_during_the_run_costs_no_score_and_the_same_command_finishes(
    server, uninterrupted, tmp_path, prefect_api
):
    """A run once ended in a traceback and without tables, minutes after it had scored all."""
    process, env = server
    path = slow_zoo(tmp_path)
    command = Command("run", path, log=tmp_path / "log", env=env)
    wait_until(lambda: stored(tmp_path) >= 1, command.output)
    os.killpg(process.pid, signal.SIGKILL)
    assert command.process.wait(240) == 3, command.output
    assert f"the Prefect server at {env['PREFECT_API_URL']} went away" in command.output
    assert "what was scored is in the store" in command.output
    assert "Traceback" not in command.output
    assert_nothing_lives(command)
    assert stored(tmp_path) == PAIRS
    assert tables(tmp_path) == uninterrupted
    code, output = otce("run", path, log=tmp_path / "log2", env=prefect_api)
    assert code == 0, output
    assert f"nothing to compute, {PAIRS} reused, 0 failed" in output
    assert tables(tmp_path) == uninterrupted
