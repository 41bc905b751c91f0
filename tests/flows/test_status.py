"""How far a run is, told by its store alone: while it runs, after it was killed, and in the end."""

import json
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest

from flows.cli import app, guarded
from flows.status import Status
from flows.status_command import find_status
from otce.storage.retention import REFERENCES
from otce.storage.store import Store
from otce.tables import table
from otce.timing_table import TIMINGS
from tasks.gather import gather
from tasks.publish import publish
from tests.zoo import Command, otce, write_zoo, zoo_config

CANARY = "canary-secret-4711"
GOOD = 3 * 2
PAIRS = GOOD + 2


@pytest.fixture(scope="module")
def killed(tmp_path_factory, prefect_api):
    """A run that loses its actor, is looked at while it runs, and is killed."""
    folder = tmp_path_factory.mktemp("status")
    config = zoo_config(models=3, images=24, pixels=300, repetitions=6)
    config["execution"] |= {"workers": 1, "items_per_shard": 6}
    deaf = config["models"]["net-0"] | {"weights": "weights/deaf.safetensors", "tap": "3"}
    config["models"] = {"deaf": deaf, **config["models"]}
    path = write_zoo(folder, config)
    env = prefect_api | {"OTCE_LOG": "json", "AWS_SECRET_ACCESS_KEY": CANARY}
    store = Store(str(folder / "store"))
    command = Command("run", path, log=folder / "log", env=env)
    try:
        wait_until((folder / "store/runs/test/failing").exists, command)
        wait_until(lambda: command.titled("ray::FeatureWorker"), command)
        for actor in command.titled("ray::FeatureWorker"):
            actor.kill()
        wait_until(lambda: stored(folder) >= 2 and '"retried"' in command.output, command)
        at_work = stored(folder), find_status(store, None), stored(folder)
        os.killpg(command.process.pid, signal.SIGKILL)
        command.process.wait()
        wait_until(lambda: not command.processes(), command)
    finally:
        command.wait()
    dead = find_status(store, "test")
    return Killed(folder, path, env, command.output, at_work, dead, stored(folder))


@dataclass
class Killed:
    """A run that was killed, and what was seen of it."""

    folder: Path
    config: Path
    env: dict
    log: str
    at_work: tuple
    dead: Status
    stored: int

    @property
    def store(self):
        return self.folder / "store"


@pytest.fixture(scope="module")
def finished(killed):
    """The log of the start that finished it."""
    with a_ray_of_others() as theirs:
        code, log = otce("run", killed.config, log=killed.folder / "log2", env=killed.env | theirs)
    assert code == 1, log
    return log


@contextmanager
def a_ray_of_others():
    """A run without `RAY_ADDRESS` once tried to join a Ray that somebody had started here."""
    # Short, because paths of sockets are.
    with TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        place = Path(folder) / "ray"
        place.mkdir()
        (place / "ray_current_cluster").write_text("127.0.0.1:1")
        yield {"RAY_TMPDIR": folder}


def stored(folder):
    return len(list((folder / "store/scores").glob("[!.]*.parquet")))


def wait_until(happened, command, limit_s=240.0):
    deadline_s = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline_s, command.output
        time.sleep(0.002)


def events(log, name):
    """What was told as JSON; other lines are those of libraries."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def test_a_run_at_work_is_told_by_its_store(killed):
    before, found, after = killed.at_work
    assert before <= found.done <= after < PAIRS - 2
    assert found.state == "running"
    assert (found.total, found.reused, found.failed) == (PAIRS, 0, 2)
    assert found.left == PAIRS - 2 - found.done
    assert found.time_left_s == pytest.approx(3600 * found.left / found.pairs_per_hour)
    assert {row["error_class"] for row in found.failures} == {"ModelError"}
    assert {part.id: part.failed for part in found.models}["deaf"] == 2
    assert sum(part.done for part in found.targets) == found.done


def test_what_a_killed_run_stored_is_done(killed):
    found = killed.dead
    assert (found.done, found.failed) == (killed.stored, 2)
    # Nobody can know that it died a moment ago.
    assert found.state == "running"


def test_the_finished_run_is_told_by_the_command(killed, finished, capsys):
    assert guarded(lambda: call("status", killed.store, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["done"], found["failed"], found["left"]) == (
        "finished",
        GOOD,
        2,
        0,
    )
    assert found["reused"] == killed.stored
    assert found["time_left_s"] is None
    assert guarded(lambda: call("status", killed.store / "runs/test")) == 0
    told = capsys.readouterr().out
    assert f"{PAIRS} pairs: {GOOD} done" in told
    assert "2 failed, 0 left" in told
    assert "failed at extract: deaf -> birch, deaf -> dune" in told
    assert guarded(lambda: call("status", killed.store, "other")) == 3
    assert "no run other with a plan" in capsys.readouterr().err


def call(*words):
    return app([*map(str, words)], exit_on_error=False, result_action="return_value")


def test_every_event_is_a_line_of_json_with_the_ids_of_its_run_and_pair(killed, finished):
    for log, computed in ((killed.log, killed.stored), (finished, GOOD - killed.stored)):
        assert "Traceback" not in log
        assert CANARY not in log
        (started,) = events(log, "run_started")
        assert (started["run_id"], started["pairs"]) == ("test", PAIRS)
        done, failed = events(log, "pair_done"), events(log, "pair_failed")
        # Two models are at work, and a kill may come between a put of each and its event.
        assert computed - 2 <= len(done) <= computed
        assert {event["run_id"] for event in done} == {"test"}
        assert all(event["seconds"] > 0 and event["model"].startswith("net-") for event in done)
        assert {(event["model"], event["target"]) for event in failed} == {
            ("deaf", "birch"),
            ("deaf", "dune"),
        }
        assert {(event["stage"], event["attempt"], event["transient"]) for event in failed} == {
            ("extract", 1, False)
        }
        assert all("tap '3' is no module" in event["message"] for event in failed)
    (end,) = events(finished, "run_finished")
    told = end["total"], end["computed"], end["reused"], end["failed"]
    assert told == (PAIRS, GOOD - killed.stored, killed.stored, 2)
    assert not events(killed.log, "run_finished")


def test_a_shard_that_is_repeated_is_told_with_its_model_and_attempt(killed):
    retried = events(killed.log, "retried")
    assert retried
    for event in retried:
        assert (event["run_id"], event["attempt"]) == ("test", 1)
        assert event["error_class"] == "WorkerDiedError"
        # The actor may still have held the model that cannot be used.
        assert event["model"] in {"deaf", "net-0", "net-1", "net-2"}
        assert event["stage"] in {"load", "extract"}


def test_timings_hold_what_this_start_computed(killed, finished):
    rows = pq.read_table(killed.store / "runs/test/timings.parquet").to_pylist()
    solved = [row for row in rows if row["step"] == "solve"]
    assert len(solved) == GOOD - killed.stored
    assert all(row["calls"] == 6 and row["worker_s"] > 0 and row["n_iter"] > 0 for row in solved)
    extracted = [row for row in rows if row["step"] == "extract"]
    assert {row["dataset"] for row in extracted} <= {"alder", "birch", "dune"}
    for row in extracted:
        assert (row["images"], row["calls"], row["device"], row["gpu_s"]) == (24, 4, "cpu", 0.0)
        assert row["images_per_s"] == pytest.approx(24 / row["worker_s"])
    loaded = {row["source_model"]: row for row in rows if row["step"] == "load"}
    assert {row["source_model"] for row in solved} < set(loaded)
    assert all(row["read_bytes"] > 1000 for row in loaded.values())
    assert "s of feature actors" in (killed.store / "runs/test/report.html").read_text()


def test_no_other_table_depends_on_timings(killed, finished):
    store = Store(str(killed.store))
    manifest = json.loads(store.get("runs/test/manifest.json"))
    names = [("", name.removesuffix(".parquet")) for name in store.names("scores")]
    full = gather.fn(names, [], store).table
    written = {}
    for run_id, seconds in (("quick", 1.0), ("slow", 1e6)):
        row = dict.fromkeys(TIMINGS.names) | {"step": "solve", "worker_s": seconds, "calls": 1}
        classes = [str(number) for number in range(20)]
        publish.fn(
            run_id,
            store,
            full=full,
            failures=[],
            source_classes={f"net-{number}": classes for number in range(3)},
            target_classes={"birch": classes, "dune": classes},
            target_items={
                "birch": [str(n) for n in range(24)],
                "dune": [str(n) for n in range(24)],
            },
            manifest=manifest,
            config_yaml="",
            references=REFERENCES.empty_table(),
            timings=table([row], TIMINGS),
        )
        folder = killed.store / "runs" / run_id
        written[run_id] = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    assert written["quick"].pop("timings.parquet") != written["slow"].pop("timings.parquet")
    assert written["quick"] == written["slow"]
    for name in ("scores", "summary"):
        kept = (killed.store / f"runs/test/{name}.parquet").read_bytes()
        assert written["quick"][f"{name}.parquet"] == kept
