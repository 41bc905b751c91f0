"""Workers that solve are killed: once is repeated, always is a failure of that pair alone."""

import pyarrow.parquet as pq
import pytest

from tests.faults.test_kill import tables, wait_until
from tests.zoo import Command, otce, write_zoo, zoo_config


def zoo(folder):
    """Exact transports, which take long enough to be caught."""
    config = zoo_config(models=2, pixels=1500, repetitions=1)
    config |= {"score": config["score"] | {"solver": "emd"}, "metrics": ["otce"]}
    return write_zoo(folder, config)


def kill_all(command, title):
    """Kill every worker with this title until the command ends; returns how many."""
    killed = set()
    while command.process.poll() is None:
        for process in command.titled(title):
            process.kill()
            killed.add(process.pid)
    return len(killed)


@pytest.mark.nightly
@pytest.mark.timeout(1500)
def test_a_pair_whose_workers_all_die_fails_alone_and_is_scored_by_the_same_command(
    tmp_path, prefect_api
):
    path = zoo(tmp_path)
    command = Command("run", path, log=tmp_path / "log", env=prefect_api)
    assert kill_all(command, "solve net-1 dune") == 3
    assert command.wait(600) == 1, command.output
    assert "3 pairs computed, 0 reused, 1 failed" in command.output
    assert command.output.count("failed and is repeated: a worker ended early") == 2
    rows = pq.read_table(tmp_path / "store/runs/test/failures.parquet").to_pylist()
    assert [(row["source_model"], row["target_dataset"]) for row in rows] == [("net-1", "dune")]
    assert (rows[0]["error_class"], rows[0]["stage"]) == ("WorkerDiedError", "solve")
    assert (rows[0]["transient"], rows[0]["attempts"], rows[0]["repetition"]) == (True, 3, 0)

    command = Command("run", path, log=tmp_path / "log2", env=prefect_api)
    workers = []
    wait_until(
        lambda: workers.extend(command.titled("solve net-1 dune")) or workers,
        "no worker was caught",
        limit_s=400,
    )
    workers[0].kill()
    assert command.wait(600) == 0, command.output
    assert "attempt 1 of 3 failed and is repeated: a worker ended early" in command.output
    assert "1 pairs computed, 3 reused, 0 failed" in command.output
    whole = tmp_path / "whole"
    code, output = otce("run", zoo(whole), log=tmp_path / "log3", env=prefect_api)
    assert code == 0, output
    assert tables(tmp_path) == tables(whole)
