"""What Prometheus would read from a real Ray, scraped over HTTP."""

import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray

from otce.config_file import load_config
from otce.errors import WorkerDiedError
from tasks import metrics
from tasks.actor import actor_maker
from tasks.extract import ModelOnSlot
from tasks.plan import plan
from tasks.ray_calls import callers_leave_first
from tasks.retry import Window
from tasks.slots import Slots
from tasks.timings import Spent, Timings
from tests.emulators import free_port
from tests.tasks.test_extract import REPETITIONS, take
from tests.zoo import write_zoo, zoo_config


@pytest.fixture
def exported():
    """A Ray that exports metrics often; returns how to read them."""
    port = free_port()
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _metrics_export_port=port,
        _system_config={"metrics_report_interval_ms": 200},
    )
    try:
        with callers_leave_first():
            yield lambda: scraped(port)
    finally:
        ray.shutdown()


def scraped(port):
    """Values by name and the labels that are ours."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = {}
    for name, labels, value in re.findall(r"^ray_otce_(\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        own = dict(re.findall(r'(error_class|device|le|model|target)="([^"]*)"', labels))
        found[name, *own.values()] = float(value)
    return found


def wait_for(read, name, value, limit_s=120.0):
    deadline_s = time.monotonic() + limit_s
    found = {}
    while found.get(name) != value:
        assert time.monotonic() < deadline_s, (name, value, found)
        time.sleep(0.1)
        try:
            found = read()
        except OSError:  # the exporter starts after Ray
            continue
    return found


@ray.remote(max_retries=0)
def _dies_once_and_waits(folder):
    if not (folder / "died").exists():
        (folder / "died").touch()
        raise WorkerDiedError("as asked")
    while not (folder / "go").exists():
        time.sleep(0.05)
    return "done"


def test_a_scrape_tells_pairs_images_retries_and_what_is_in_flight(exported, tmp_path):
    config = load_config(str(write_zoo(tmp_path, zoo_config(models=1))))
    census, timings = take(config), Timings()
    with Slots(
        1, actor_maker(plan([{"CPU": 2.0}], config.execution), config.execution)
    ).lease() as slot:
        model = ModelOnSlot(
            slot, "net-0", config.models["net-0"], config.execution, 1, timings=timings
        )
        model.features(census, REPETITIONS, with_logits=False)
        slot.drop()
    window = Window(2, attempts=2, time_limit_s=600)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(list, window.run([lambda: _dies_once_and_waits.remote(tmp_path)]))
        wait_for(exported, ("in_flight",), 1.0)
        (tmp_path / "go").touch()
        assert work.result() == [(0, "done")]
    timings.add("solve", "net-0", "birch", Spent(2.0, 0, n_iter=5))
    metrics.PAIRS_SCORED.inc()
    metrics.PAIRS_FAILED.inc(1, {"error_class": "DataError"})
    found = wait_for(exported, ("pairs_scored_total",), 1.0)
    assert found["pairs_failed_total", "DataError"] == 1.0
    assert found["retries_total", "WorkerDiedError"] == 1.0
    assert found["images_extracted_total",] == 6.0
    assert found["shard_seconds_count", "cpu"] == 1.0
    assert found["transport_seconds_sum",] == pytest.approx(2.0, rel=0.3)
    assert found["transport_seconds_bucket", "1.0"] == 0.0
    assert found["transport_seconds_bucket", "3.0"] == 1.0
    assert found["in_flight",] == 0.0
    steps = timings.table(0.5).to_pylist()
    assert [row["step"] for row in steps] == ["extract", "load", "solve"]
    assert steps[0]["gpu_s"] == pytest.approx(steps[0]["worker_s"] / 2)
