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
from flows.status import Seen, Status, status_of
from flows.status_command import duration, find_status
from otce.errors import StoreError
from otce.retention import REFERENCES
from otce.store import Store
from otce.tables import FAILURES, table
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
        # A kill may come between a put and its event.
        assert computed - 1 <= len(done) <= computed
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
        assert event["model"].startswith("net-")
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
    full = gather(names, [], store).table
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


FAILED = {
    "source_model": "b",
    "target_dataset": "bay",
    "stage": "extract",
    "repetition": None,
    "error_class": "ModelError",
    "transient": False,
    "attempts": 1,
    "message": "no",
    "metric": None,
}


def plan(store, started, **pairs):
    told = [
        {"source_model": model, "target_dataset": "bay", "scores": scores}
        for model, scores in pairs.items()
    ]
    known = {"run_id": "zoo", "started": started, "strategy": "full", "pairs": told}
    store.put_json("runs/zoo/plan.json", known)


def test_status_is_the_same_on_every_kind_of_store(store_uri, store_options):
    store = Store(store_uri, store_options)
    with pytest.raises(StoreError, match="no run at all with a plan"):
        find_status(store, None)
    store.put("scores/a1.parquet", b"x")
    plan(store, "monday", a=["a1", "a2"], b=["b1"], c=["c1"], d=[])
    store.put_json("runs/zoo/failing/x.json", {"started": "sunday", "failures": [FAILED]})
    found = find_status(store, None)
    assert (found.total, found.done, found.failed, found.left) == (4, 0, 0, 4)
    assert found.pairs_per_hour is found.time_left_s is None
    store.put("scores/a2.parquet", b"x")
    store.put("scores/others.parquet", b"x")
    store.put_json("runs/zoo/failing/x.json", {"started": "monday", "failures": [FAILED]})
    found = find_status(store, "zoo")
    assert (found.state, found.done, found.failed, found.left) == ("running", 1, 1, 2)
    assert found.time_left_s > 0
    assert [(part.id, part.done, part.failed) for part in found.models] == [
        ("c", 0, 0),
        ("d", 0, 0),
        ("a", 1, 0),
        ("b", 0, 1),
    ]
    # Of an earlier start, as far as this plan knows.
    store.put_json("runs/zoo/manifest.json", {"started": "sunday"})
    assert find_status(store, "zoo").state == "running"
    store.put_table("runs/zoo/failures.parquet", table([FAILED], FAILURES))
    store.put_json("runs/zoo/manifest.json", {"started": "monday"})
    assert find_status(store, "zoo").state == "finished"
    store.put("runs/zoo/plan.json", b"{")
    with pytest.raises(StoreError, match=r"plan\.json is damaged"):
        find_status(store, "zoo")


def test_readers_of_whole_runs_pass_over_one_that_has_a_plan_only(tmp_path, capsys):
    plan(Store(str(tmp_path)), "monday", a=["a1"])
    assert guarded(lambda: call("ls", tmp_path)) == 0
    assert "zoo" not in capsys.readouterr().out
    assert guarded(lambda: call("report", tmp_path)) == 3
    assert "no run at all; runs there: none" in capsys.readouterr().err


def test_silence_is_longer_than_five_minutes_and_three_of_the_longest_pauses():
    pairs = [{"source_model": m, "target_dataset": "bay", "scores": [m]} for m in "abcd"]
    told = {"run_id": "zoo", "started": "monday", "strategy": "full", "pairs": pairs}

    def state(now_s, *puts_s):
        scores = {f"{m}.parquet": at for m, at in zip("abc", puts_s, strict=False)}
        return status_of(Seen(told, 1000.0, False, scores, {}, [1000.0], []), "s", now_s)  # noqa: FBT003

    assert state(1299, 1000.0).state == "running"
    assert state(1301, 1000.0).state == "silent"
    paused = state(1500, 1000.0, 1200.0)
    assert (paused.state, paused.longest_pause_s, paused.newest_age_s) == ("running", 200.0, 300.0)
    assert state(1801, 1000.0, 1200.0).state == "silent"
    assert state(1801, 1000.0, 1200.0).time_left_s is None
    # Two new ones in 200 s; one was there before.
    found = state(1210, 900.0, 1100.0, 1200.0)
    assert (found.done, found.reused, found.pairs_per_hour) == (3, 1, 36.0)
    assert found.time_left_s == 100.0


def test_a_race_tells_who_races_and_no_time_left():
    pairs = [
        {
            "source_model": m,
            "target_dataset": "bay",
            "scores": [m],
            "repetitions": [f"h{m}", f"f{m}"],
        }
        for m in "abc"
    ]
    told = {"run_id": "zoo", "started": "monday", "strategy": "race", "pairs": pairs}
    rounds = {"hb.0-3.parquet": 1010.0, "fa.0-0.parquet": 1020.0, "other.0-3.parquet": 5000.0}
    scores = {"a.parquet": 1030.0}
    found = status_of(Seen(told, 1000.0, False, scores, rounds, [1000.0], []), "s", 1040.0)  # noqa: FBT003
    assert (found.done, found.left, found.racing) == (1, 2, 1)
    assert (found.newest_age_s, found.time_left_s) == (10.0, None)


def test_durations_are_told_in_two_units():
    assert [duration(s) for s in (0.4, 61, 3700, 200_000)] == [
        "0 s",
        "1 min 1 s",
        "1 h 1 min",
        "2 d 7 h",
    ]
