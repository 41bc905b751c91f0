"""A race end to end: real Ray, a real Prefect server, objects and tables on disk."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from flows.rank import rank_zoo
from otce import tables
from tests.zoo import write_zoo, zoo_config

K = 4
RUN = Path("store/runs/test")
TABLES = ("race", "scores", "summary", "joints", "risks", "failures")
RACE = {
    "top_k": 1,
    "error": 0.4,
    "heats": [2, 2],
    "heat_images": 0.3,
    "heat_survivors": 2,
    "finals": [2, 1, 1],
}


def zoo(**changes):
    config = zoo_config(models=4, targets=2, images=24, pixels=150, repetitions=K)
    config["score"] = {"relaxation": "source", "class_weights": "uniform"}
    return config | {"metrics": ["otce", "leep"], "strategy": "race", "race": RACE} | changes


@pytest.fixture(scope="module", autouse=True)
def server(prefect_api):
    """Runs in this process, for every process spends seconds on imports."""
    url = prefect_api["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: url, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield


def ran(folder, config):
    return rank_zoo(str(write_zoo(folder, config)))


@pytest.fixture(scope="module")
def raced(tmp_path_factory, server):
    folder = tmp_path_factory.mktemp("raced")
    return folder, ran(folder, zoo())


@pytest.fixture(scope="module")
def whole(tmp_path_factory, server):
    folder = tmp_path_factory.mktemp("whole")
    return folder, ran(folder, zoo(strategy="full"))


def bytes_below(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def published(folder):
    return {name: (folder / RUN / f"{name}.parquet").read_bytes() for name in TABLES}


def rows(folder, name):
    return pq.read_table(folder / RUN / f"{name}.parquet").to_pylist()


def ranked(folder):
    """Ranked rows of otce, the best mean first."""
    return [r for r in rows(folder, "summary") if r["metric"] == "otce" and r["rank"] is not None]


def test_who_left_has_fewer_rows_and_no_rank_and_the_race_says_why(raced):
    folder, outcome = raced
    assert (outcome.computed, outcome.reused, outcome.failures) == (8, 0, [])
    race = pq.read_table(folder / RUN / "race.parquet")
    assert race.schema.equals(tables.RACE)
    last = {(r["source_model"], r["target_dataset"]): r for r in race.to_pylist()}
    ends = {row["decision"] for row in last.values()}
    assert ends == {"leaves", "finished"}
    assert {r["phase"] for r in last.values() if r["decision"] == "leaves"} == {"heats", "finals"}
    told = {
        (r["source_model"], r["target_dataset"], r["metric"]): r for r in rows(folder, "summary")
    }
    assert {pair[:2] for pair in told} == {p for p, r in last.items() if r["phase"] == "finals"}
    for (model, target, _), row in told.items():
        assert row["k_done"] == last[model, target]["repetitions"]
        assert (row["rank"] is None) == (row["k_done"] < K)
    scores = rows(folder, "scores")
    assert len(scores) == sum(row["k_done"] for row in told.values())


def test_the_winner_and_the_bytes_of_finished_pairs_are_the_full_runs(raced, whole):
    first = [
        {row["target_dataset"]: row["source_model"] for row in reversed(ranked(folder))}
        for folder, _ in (raced, whole)
    ]
    assert first[0] == first[1]
    finished, full = (bytes_below(folder / "store/scores") for folder, _ in (raced, whole))
    assert 0 < len(finished) < len(full)
    assert finished.items() <= full.items()


def test_the_same_race_again_computes_nothing_and_leaves_equal_bytes(raced, tmp_path):
    folder = shutil.copytree(raced[0], tmp_path / "again")
    before = {p: p.read_bytes() for p in (folder / "store").rglob("*.parquet")}
    outcome = ran(folder, zoo())
    assert (outcome.computed, outcome.reused) == (0, 8)
    assert {p: p.read_bytes() for p in (folder / "store").rglob("*.parquet")} == before


def test_a_race_that_lost_objects_ends_with_the_same_bytes_in_any_order_of_models(raced, tmp_path):
    folder = shutil.copytree(raced[0], tmp_path / "again")
    shutil.rmtree(folder / "store/runs")
    for place in ("repetitions", "scores", "samples"):
        for path in sorted((folder / "store" / place).iterdir())[::2]:
            path.unlink()
    config = zoo()
    config["models"] = dict(reversed(config["models"].items()))
    assert ran(folder, config).computed > 0
    assert published(folder) == published(raced[0])
    assert bytes_below(folder / "store/scores") == bytes_below(raced[0] / "store/scores")


def test_a_full_run_after_a_race_computes_only_the_repetitions_that_lack(raced, whole, tmp_path):
    folder = shutil.copytree(raced[0], tmp_path / "again")
    parts = folder / "store/repetitions"
    before = {path: path.stat().st_mtime_ns for path in parts.iterdir()}
    ran(folder, zoo(strategy="full"))
    full = bytes_below(whole[0] / "store/scores")
    assert bytes_below(folder / "store/scores") == full
    assert {path: path.stat().st_mtime_ns for path in before} == before
    ends = [
        row["repetitions"]
        for row in rows(raced[0], "race")
        if row["phase"] == "finals" and row["decision"] == "leaves"
    ]
    new = [path.stem.partition(".")[2] for path in parts.iterdir() if path not in before]
    assert sorted(new) == sorted(2 * [f"{end}-{K - 1}" for end in ends])


def test_a_race_after_a_full_run_computes_nothing(whole, raced, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "again")
    outcome = ran(folder, zoo())
    assert (outcome.computed, outcome.reused) == (0, 8)
    assert {row["phase"] for row in rows(folder, "race")} == {"finals"}
    assert bytes_below(folder / "store/scores") == bytes_below(whole[0] / "store/scores")
    left = [row for row in rows(folder, "summary") if row["k_done"] < K]
    assert left
    assert all(row["rank"] is None and row["total_stderr"] is None for row in left)


def test_a_pair_that_fails_is_told_and_others_race_on(raced, tmp_path):
    folder = shutil.copytree(raced[0], tmp_path / "again")
    config = zoo()
    config["models"]["broken"] = config["models"]["net-0"] | {"tap": "3"}
    config["models"]["broken"]["weights"] = "weights/broken.safetensors"
    outcome = ran(folder, config)
    assert {(r["source_model"], r["stage"]) for r in outcome.failures} == {("broken", "extract")}
    assert outcome.computed == 0
    race = rows(folder, "race")
    assert {r["decision"] for r in race if r["source_model"] == "broken"} == {"failed"}
    assert {r["decision"] for r in race if r["source_model"] != "broken"} >= {"finished", "leaves"}
