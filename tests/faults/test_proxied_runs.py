"""Whole runs on a bucket that refuses for ever (F9), and drivers that die between two writes (F6).

The proxy before the bucket sees every write before it happens, so that a process is killed exactly
between two of them.
"""

import os
import signal

import pytest

from otce.storage.store import Store
from otce.tables import FAILURES
from tests.conftest import new_bucket
from tests.faults.s3_proxy import RESET, SLOW_DOWN, always, s3_proxy
from tests.kills import TABLES, wait_until
from tests.zoo import Command, otce, write_zoo, zoo_config

pytestmark = pytest.mark.nightly
PAIRS = 2 * 1
IMPATIENT = {"retries": {"mode": "adaptive", "max_attempts": 1}, "read_timeout": 1}


@pytest.fixture
def bucket(s3_server):
    return f"s3://{new_bucket(s3_server)}/store"


@pytest.fixture
def behind(bucket, s3_server):
    """The store, past the proxy."""
    return Store(bucket, {"s3": {"endpoint_url": s3_server}})


@pytest.fixture
def proxy(s3_server):
    with s3_proxy(s3_server) as found:
        yield found


def zoo(folder, store, endpoint, **execution):
    config = zoo_config(models=2, targets=1)
    options = {"s3": {"endpoint_url": endpoint, "config_kwargs": IMPATIENT}}
    config["execution"] |= {"store": store, "storage_options": options} | execution
    return write_zoo(folder, config)


def put_tables(store):
    return {name: store.get(f"runs/test/{name}.parquet") for name in TABLES}


def test_a_bucket_that_refuses_scores_for_ever_costs_those_pairs_and_the_rerun_completes(
    tmp_path, bucket, behind, proxy, two_pairs, prefect_api
):
    """F9."""
    path = zoo(tmp_path, bucket, proxy.endpoint)
    proxy.script = always(SLOW_DOWN, "PUT", "/scores/")
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 1, output
    assert "Traceback" not in output
    assert proxy.failures() >= 2 * PAIRS
    assert behind.names("scores") == []
    failures = behind.get_table("runs/test/failures.parquet", FAILURES).to_pylist()
    assert {(r["error_class"], r["transient"], r["metric"]) for r in failures} == {
        ("StoreUnavailableError", True, "otce")
    }
    proxy.script = lambda *_: None
    code, output = otce("run", path, log=tmp_path / "log2", env=prefect_api)
    assert code == 0, output
    assert f"{PAIRS} pairs computed, 0 reused, 0 failed" in output
    assert put_tables(behind) == two_pairs[1]


def killed_before(put, command, proxy):
    """Kill a command, and all it started, when it is about to write an object."""
    due = []

    def script(method, path):
        if method == "PUT" and put in path:
            due.append(path)
            os.killpg(command[0].process.pid, signal.SIGKILL)
            return RESET
        return None

    proxy.script = script
    return due


@pytest.mark.parametrize("put", ["runs/test/manifest.json", "runs/test/summary.parquet"])
def test_a_driver_killed_between_scores_and_manifest_leaves_all_scores_to_the_next(
    put, tmp_path, bucket, behind, proxy, two_pairs, prefect_api
):
    """F6: the manifest is made anew from the store, and no row is there twice."""
    path, command = zoo(tmp_path, bucket, proxy.endpoint), []
    due = killed_before(put, command, proxy)
    command.append(Command("run", path, log=tmp_path / "log", env=prefect_api))
    wait_until(lambda: command[0].process.poll() is not None, command[0].output)
    assert due, command[0].output
    assert command[0].process.returncode == -signal.SIGKILL
    wait_until(lambda: not command[0].processes(), "processes outlived the run")
    assert len(behind.names("scores")) == PAIRS
    assert not behind.exists("runs/test/manifest.json")
    proxy.script = lambda *_: None
    code, output = otce("run", path, log=tmp_path / "log2", env=prefect_api)
    assert code == 0, output
    assert f"nothing to compute, {PAIRS} reused, 0 failed" in output
    assert put_tables(behind) == two_pairs[1]


def test_a_driver_killed_before_the_last_kept_draw_makes_them_all_again(
    tmp_path, bucket, behind, proxy, two_pairs, prefect_api
):
    """F6: kept features of which one is lacking are not used, and are written again."""
    path, command = zoo(tmp_path, bucket, proxy.endpoint), []
    due = killed_before("/2.safetensors", command, proxy)
    command.append(Command("run", path, log=tmp_path / "log", env=prefect_api))
    wait_until(lambda: command[0].process.poll() is not None, command[0].output)
    assert due, command[0].output
    wait_until(lambda: not command[0].processes(), "processes outlived the run")
    proxy.script = lambda *_: None
    code, output = otce("run", path, log=tmp_path / "log2", env=prefect_api)
    assert code == 0, output
    assert put_tables(behind) == two_pairs[1]
    kept = [len(behind.names(f"features/{key}")) for key in folders(behind, "features")]
    assert kept == [3, 3]


def folders(store, key):
    return sorted({name.split("/")[0] for name in store.names(key)})
