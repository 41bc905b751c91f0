"""Night after night: only what changed is scored, and what moved is told.

One series of runs that every test goes on from: a night, and a night on which the images of one
target were changed.
"""

import json
import shutil
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from otce.drift import DRIFT
from tests.folders import png
from tests.schedule import ask
from tests.zoo import otce, write_zoo, zoo_config

CLASSES = ["road", "sky", "tree"]
COLOURS = np.array([[60, 60, 60], [90, 140, 250], [30, 160, 40]])


def draw_bay(folder, *, seed, legible):
    """Six images of three coloured bands, whose masks follow the bands or say nothing of them."""
    generator = np.random.default_rng(seed)
    for n in range(6):
        rows = np.searchsorted(np.sort(generator.integers(8, 40, 2)), np.arange(48))
        mask = np.repeat(rows[:, None], 64, axis=1).astype(np.uint8)
        noise = generator.normal(0, 25, (48, 64, 3))
        image = np.clip(COLOURS[mask] + noise, 0, 255).astype(np.uint8)
        if not legible:
            mask = generator.integers(0, 3, mask.shape).astype(np.uint8)
        for part, pixels in {"i": image, "l": mask}.items():
            (folder / "bay" / part).mkdir(parents=True, exist_ok=True)
            (folder / f"bay/{part}/{n}.png").write_bytes(png(pixels))


def nightly_config():
    config = zoo_config(targets=1, pixels=200)
    bay = {"layout": "folder:bay", "images": "i/*.png", "labels": "l/*.png", "classes": CLASSES}
    config["datasets"]["bay"] = bay
    config["targets"].append("bay")
    config["race"] = {"top_k": 1}
    config["metrics"] = ["otce", "leep"]
    config["execution"]["run_id"] = "nightly-{n}"
    return config


def files(folder):
    found = {p.relative_to(folder): p for p in (folder / "store").rglob("*.*")}
    return {str(name): p.read_bytes() for name, p in found.items()}


@pytest.fixture(scope="module")
def nights(tmp_path_factory, prefect_api):
    """The folder after two nights, what the store held after the first, and the second's output."""
    folder = tmp_path_factory.mktemp("nights")
    draw_bay(folder, seed=0, legible=True)
    path = write_zoo(folder, nightly_config())
    code, output = otce("run", path, log=folder / "log", env=prefect_api)
    assert code == 0, output
    assert "6 pairs computed, 0 reused, 0 failed" in output
    assert "drift" not in output
    first = files(folder)
    draw_bay(folder, seed=2, legible=False)
    code, output = otce("run", path, log=folder / "log", env=prefect_api)
    assert code == 0, output
    return folder, first, output


@pytest.fixture
def again(nights, tmp_path):
    return shutil.copytree(nights[0], tmp_path / "again")


def test_changed_images_of_a_target_cost_the_pairs_of_that_target_only(nights):
    folder, first, output = nights
    assert "3 pairs computed, 3 reused, 0 failed" in output
    new = [name for name in files(folder) if name not in first and "/scores/" in name]
    told = [pq.read_table(folder / name).to_pylist()[0] for name in new]
    assert {(row["source_model"], row["target_dataset"], row["metric"]) for row in told} == {
        (f"net-{n}", "bay", metric) for n in range(3) for metric in ("otce", "leep")
    }


def test_the_tables_of_the_night_before_stay_as_they_were(nights):
    folder, first, _ = nights
    now = files(folder)
    assert {name: now[name] for name in first} == first
    manifests = [json.loads(now[f"store/runs/nightly-000{n}/manifest.json"]) for n in (1, 2)]
    assert [(run["number"], run["previous"]) for run in manifests] == [
        (1, None),
        (2, "nightly-0001"),
    ]
    assert "store/runs/nightly-0001/drift.parquet" not in now


def test_the_drift_table_tells_what_moved_and_why(nights):
    folder, _, _ = nights
    table = pq.read_table(folder / "store/runs/nightly-0002/drift.parquet")
    assert table.schema.equals(DRIFT)
    rows = [row for row in table.to_pylist() if row["metric"] == "otce"]
    assert {(row["target_dataset"], row["why"]) for row in rows} == {
        ("bay", "target"),
        ("birch", "same"),
    }
    summaries = [
        {
            (row["target_dataset"], row["source_model"]): row
            for row in pq.read_table(
                folder / f"store/runs/nightly-000{n}/summary.parquet"
            ).to_pylist()
            if row["metric"] == "otce"
        }
        for n in (1, 2)
    ]
    assert len(rows) == 6
    for row in rows:
        old, new = (one[row["target_dataset"], row["source_model"]] for one in summaries)
        assert row["previous_run"] == "nightly-0001"
        assert row["change"] == new["mean"] - old["mean"]
        assert (row["previous_rank"], row["rank"]) == (old["rank"], new["rank"])
        # Masks that say nothing of the images lose what the bands gave; all else is as it was.
        assert row["beyond"] is (row["target_dataset"] == "bay")
        assert row["change95_low"] <= row["change"] <= row["change95_high"]
    assert all(row["change"] < -0.2 for row in rows if row["target_dataset"] == "bay")


def test_a_change_of_the_first_models_is_told_at_the_end_in_the_report_and_to_prefect(
    nights, prefect_api
):
    folder, _, output = nights
    told = (
        "the first 1 changed beyond their intervals since nightly-0001: bay (in: net-0; out: net-1)"
    )
    assert f"drift: {told}" in output.splitlines()
    page = (folder / "store/runs/nightly-0002/report.html").read_text()
    assert "3 of 6 OTCE scores were computed anew" in page
    assert "3 moved beyond their 95 % intervals" in page
    wanted = {"filter": {"event": {"name": ["otce.first-models-changed"]}}}
    deadline_s = time.monotonic() + 120
    # The server writes events down some seconds after it got them.
    while not (found := ask(prefect_api, "events/filter", wanted)["events"]):
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    (event,) = found
    assert event["resource"]["prefect.resource.id"] == "otce.run.nightly-0002"
    assert event["payload"]["message"] == told
    assert event["payload"]["targets"] == [
        {"target": "bay", "entered": ["net-0"], "left": ["net-1"]}
    ]


def test_after_prune_a_night_without_changes_computes_nothing_and_is_the_same_run(
    again, prefect_api
):
    stray = "scores/00000000000000000000000000000000.parquet"
    (again / "store" / stray).write_bytes(b"of no run")
    arguments = ("prune", again / "store", "--grace-days", "0", "--keep-runs", "1", "--delete")
    code, output = otce(*arguments, log=again / "log", env=prefect_api)
    assert code == 0, output
    assert "runs that are not kept: nightly-0001" in output
    before = files(again)
    assert f"store/{stray}" not in before
    # What the changed images replaced went with the run that had read it.
    assert len([name for name in before if name.startswith("store/samples/")]) == 3
    code, output = otce("run", again / "zoo.yaml", log=again / "log", env=prefect_api)
    assert code == 0, output
    assert "nothing to compute, 6 reused, 0 failed" in output
    assert "runs/nightly-0002/report.html" in output
    assert "drift: the first 1 changed" in output
    after = files(again)
    assert {name: data for name, data in after.items() if name.endswith("parquet")} == {
        name: data for name, data in before.items() if name.endswith("parquet")
    }


def test_a_part_of_the_zoo_has_tables_of_its_own(again, prefect_api):
    before = files(again)
    only = ("--only", "net-[12]", "--only", "bay")
    code, output = otce("run", again / "zoo.yaml", *only, log=again / "log", env=prefect_api)
    assert code == 0, output
    assert "nothing to compute, 2 reused, 0 failed" in output
    now = files(again)
    assert {name: now[name] for name in before} == before
    (folder,) = (again / "store/runs").glob("nightly-part-*")
    rows = pq.read_table(folder / "summary.parquet").to_pylist()
    assert {(row["source_model"], row["target_dataset"]) for row in rows} == {
        ("net-1", "bay"),
        ("net-2", "bay"),
    }
