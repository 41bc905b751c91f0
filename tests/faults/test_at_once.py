"""Two runs on one store at the same time: there is no lock, and none is needed."""

import re

import pytest

from tests.kills import LONG_S, PAIRS, assert_nothing_lives, slow_zoo, stored, tables
from tests.zoo import Command, otce

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(2 * LONG_S)]


def counts(output):
    """Pairs that a run computed and reused."""
    found = re.search(r"(nothing to compute|(\d+) pairs computed), (\d+) reused, 0 failed", output)
    assert found, output
    return int(found[2] or 0), int(found[3])


def ended(commands):
    """What each computed and reused, once all have ended well."""
    for command in commands:
        assert command.process.wait(LONG_S) == 0, command.output
        assert_nothing_lives(command)
    return [counts(command.output) for command in commands]


def assert_nothing_is_half_there(folder):
    assert not [path for path in (folder / "store").rglob(".*") if path.is_file()]


def test_two_identical_runs_at_once_give_the_same_tables_and_no_pair_is_computed_thrice(
    uninterrupted, tmp_path
):
    """F12, each with the embedded server: they share its new data base as well."""
    path, env = slow_zoo(tmp_path), {"PREFECT_HOME": str(tmp_path / "home")}
    commands = [Command("run", path, log=tmp_path / f"log{n}", env=env) for n in range(2)]
    found = ended(commands)
    assert [computed + reused for computed, reused in found] == [PAIRS, PAIRS]
    assert PAIRS <= sum(computed for computed, _ in found) <= 2 * PAIRS
    assert stored(tmp_path) == PAIRS
    assert_nothing_is_half_there(tmp_path)
    assert tables(tmp_path) == uninterrupted


def test_two_runs_of_different_seeds_at_once_share_no_pair_and_are_both_right(
    uninterrupted, tmp_path, prefect_api
):
    """F13."""
    (tmp_path / "alone").mkdir()
    other = ["--set", "seed=1", "--set", "execution.run_id=other"]
    alone = slow_zoo(tmp_path / "alone")
    code, output = otce(
        "run", alone, *other, log=tmp_path / "alone/log", env=prefect_api, limit_s=LONG_S
    )
    assert code == 0, output
    path = slow_zoo(tmp_path)
    commands = [
        Command("run", path, *more, log=tmp_path / f"log{n}", env=prefect_api)
        for n, more in enumerate([[], other])
    ]
    assert ended(commands) == [(PAIRS, 0), (PAIRS, 0)]
    assert stored(tmp_path) == 2 * PAIRS
    assert_nothing_is_half_there(tmp_path)
    assert tables(tmp_path) == uninterrupted
    assert tables(tmp_path, "other") == tables(tmp_path / "alone", "other")
    assert tables(tmp_path, "other") != uninterrupted
