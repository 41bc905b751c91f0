"""What a store without a run of ours is told to be at."""

import pytest

from flows.cli import app, guarded
from flows.status import Seen, status_of
from flows.status_command import duration, find_status
from otce.errors import StoreError
from otce.storage.store import Store
from otce.tables import FAILURES, table


def call(*words):
    return app([*map(str, words)], exit_on_error=False, result_action="return_value")


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
