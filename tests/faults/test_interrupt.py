"""Ctrl-C and SIGTERM (F4): once keeps what is begun, twice ends at once, nothing is left running.

A stopped run leaves no tables and no manifest: a run that has one is whole. Its pairs are kept.
"""

import signal
import time

import pytest

from tests.kills import PAIRS, assert_nothing_lives, hang, hung, slow_zoo, stored, wait_until
from tests.zoo import Command

DRAIN_S = 30


def started(folder, prefect_home, *, hanging=False):
    """A run with the embedded server, so that a stray one would be found."""
    path = slow_zoo(folder)
    if hanging:
        hang(path, "net-0")
    env = {"PREFECT_HOME": str(prefect_home / "embedded")}
    return Command("run", path, log=folder / "log", env=env)


def assert_ended_in_order(command, folder):
    assert command.process.returncode == 130, command.output
    assert "interrupted; the same command goes on where this one stopped" in command.output
    assert "Traceback" not in command.output
    assert not list(folder.glob("store/runs/*/manifest.json"))
    assert_nothing_lives(command)


@pytest.mark.nightly
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_run_interrupted_once_keeps_the_pair_that_was_begun_and_begins_no_other_model(
    sent, tmp_path, prefect_home
):
    """Threads that still worked once started a second Ray while the first was shut down."""
    command = started(tmp_path, prefect_home)
    wait_until(lambda: stored(tmp_path) >= 1, command.output)
    command.process.send_signal(sent)
    command.process.wait(90)
    assert "what is begun has 30 s" in command.output
    # The model's second pair was in flight beside its first; two more models had not begun.
    assert 2 <= stored(tmp_path) <= PAIRS // 2, command.output
    assert_ended_in_order(command, tmp_path)


def test_a_run_interrupted_twice_waits_for_nothing(tmp_path, prefect_home):
    command = started(tmp_path, prefect_home, hanging=True)
    wait_until(lambda: hung(tmp_path), command.output)
    command.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "once more ends it now" in command.output, command.output)
    command.process.send_signal(signal.SIGINT)
    second_s = time.monotonic()
    command.process.wait(60)
    assert time.monotonic() - second_s < DRAIN_S - 5, command.output
    assert_ended_in_order(command, tmp_path)


@pytest.mark.nightly
def test_a_run_interrupted_once_waits_half_a_minute_for_what_never_ends(tmp_path, prefect_home):
    command = started(tmp_path, prefect_home, hanging=True)
    wait_until(lambda: hung(tmp_path), command.output)
    command.process.send_signal(signal.SIGTERM)
    first_s = time.monotonic()
    command.process.wait(120)
    assert DRAIN_S - 1 < time.monotonic() - first_s < DRAIN_S + 60, command.output
    assert_ended_in_order(command, tmp_path)
