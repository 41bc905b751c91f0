"""`otce run` end to end: real Ray, a real Prefect server, tables on disk."""

import json
import shutil
import urllib.request
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from flows.status_command import find_status
from otce.storage.store import Store
from tests.folders import Place, pair
from tests.zoo import otce, write_zoo, zoo_config

RUN = Path("store/runs/test")


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, prefect_api):
    """One uninterrupted run that the tests below look at and go on from."""
    folder = tmp_path_factory.mktemp("first")
    config = write_zoo(folder, zoo_config())
    code, output = otce("run", config, log=folder / "log", env=prefect_api)
    assert code == 0, output
    return folder, output


@pytest.fixture
def again(first_run, tmp_path):
    """A copy of the finished run that a test may change."""
    return shutil.copytree(first_run[0], tmp_path / "again")


def scores_written(folder):
    return {path.name for path in (folder / "store/scores").iterdir()}


def test_every_pair_has_its_repetitions_in_tables_that_agree(first_run):
    folder, output = first_run
    scores = pq.read_table(folder / RUN / "scores.parquet").to_pylist()
    assert len(scores) == 3 * 2 * 3
    assert {(row["source_model"], row["target_dataset"]) for row in scores} == {
        (f"net-{i}", city) for i in range(3) for city in ("birch", "dune")
    }
    assert all(row["converged"] and row["marginal_error"] <= 1e-3 for row in scores)
    assert all(-row["target_entropy"] <= row["otce"] <= 0 for row in scores)
    for row in scores:
        multiples = [0.3, 1.0, 3.0, 10.0] if row["repetition"] == 0 else []
        assert row["curve_epsilon"] == pytest.approx([0.1 * multiple for multiple in multiples])
        assert all(-row["target_entropy"] - 1e-9 <= otce <= 0 for otce in row["curve_otce"])
        assert row["curve_failure"] is None
        assert len(row["curve_otce"]) == len(multiples)
    summary = pq.read_table(folder / RUN / "summary.parquet").to_pylist()
    for row in summary:
        mine = [s["otce"] for s in scores if s["pair_fingerprint"] == row["pair_fingerprint"]]
        assert row["mean"] == pytest.approx(sum(mine) / len(mine), abs=1e-12)
    joints = pq.read_table(folder / RUN / "joints.parquet").to_pandas()
    totals = joints.groupby(["pair_fingerprint", "repetition"])["probability"].sum()
    assert totals.between(1 - 1e-9, 1 + 1e-9).all()
    assert pq.read_table(folder / RUN / "failures.parquet").num_rows == 0
    assert "6 pairs computed, 0 reused, 0 failed" in output


def test_manifest_report_and_configuration_stand_beside_the_tables(first_run):
    folder, _ = first_run
    manifest = json.loads((folder / RUN / "manifest.json").read_text())
    assert manifest["pairs"] == {"total": 6, "computed": 6, "reused": 0, "failed": 0}
    assert len(manifest["models"]["net-0"]["weights_digest"]) == 64
    page = (folder / RUN / "report.html").read_text()
    assert "<html" in page
    assert page.count('aria-label="OTCE of net-') == 6
    kept = yaml.safe_load((folder / RUN / "config.yaml").read_text())
    assert kept["sampling"]["pixels"] == 64


def test_the_server_of_prefect_api_url_shows_flow_tasks_and_ranking(first_run, prefect_api):
    url = prefect_api["PREFECT_API_URL"]

    def ask(what):
        request = urllib.request.Request(
            f"{url}/{what}/filter", data=b"{}", headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    assert ("rank zoo", "COMPLETED") in {(r["name"], r["state_type"]) for r in ask("flow_runs")}
    names = {run["name"] for run in ask("task_runs")}
    assert {"census alder", "census birch", "score net-0", "publish test"} <= names
    rankings = [json.loads(a["data"]) for a in ask("artifacts") if a["key"] == "ranking-test"]
    models = [{row["source_model"] for row in ranking} for ranking in rankings]
    assert {"net-0", "net-1", "net-2"} in models


def test_an_identical_run_computes_nothing_and_leaves_equal_bytes(again, prefect_api):
    before = {p: p.read_bytes() for p in (again / "store").rglob("*.parquet")}
    code, output = otce("run", again / "zoo.yaml", log=again / "log", env=prefect_api)
    assert code == 0, output
    assert "nothing to compute, 6 reused, 0 failed" in output
    assert {p: p.read_bytes() for p in (again / "store").rglob("*.parquet")} == before
    # Its start once made otce status take it for a run at work.
    assert find_status(Store(str(again / "store")), "test").state == "finished"


def test_a_new_model_and_new_targets_cost_only_their_own_pairs(again, prefect_api):
    before = scores_written(again)
    config = zoo_config(models=4)
    config["datasets"]["ember"] = {"layout": "scenes:ember", "count": 6, "size_px": [48, 64]}
    bay = {"layout": "folder:bay", "images": "i/*.png", "labels": "l/*.png", "max_bad_items": 1}
    config["datasets"]["bay"] = bay | {"classes": ["road", "sky", "tree"]}
    Place(str(again / "bay"), {}).write(pair("a"), pair("b"), {"i/b.png": b"no image"})
    config["targets"] += ["ember", "bay"]
    path = write_zoo(again, config)
    code, output = otce("run", path, log=again / "log", env=prefect_api)
    assert code == 0, output
    # Of 4 x 4 pairs, 3 x 2 were there.
    assert "10 pairs computed, 6 reused, 0 failed" in output
    assert before < scores_written(again)
    assert "bay: 1 corrupt items left out: b" in output
    told = json.loads((again / RUN / "manifest.json").read_text())["datasets"]["bay"]
    assert (told["items"], told["notes"]) == (1, ["1 corrupt items left out: b"])
    assert "i/b.png: 8 bytes that are neither" in told["left_out"]["b"]
    assert "1 corrupt items left out: b" in (again / RUN / "report.html").read_text()


def test_what_cannot_be_scored_is_a_failure_row_and_exit_code_1(again, prefect_api):
    config = zoo_config()
    config["models"]["broken"] = {
        **config["models"]["net-0"],
        "arguments": {"n_classes": 8, "width": 7},
        "weights": "weights/broken.safetensors",
    }
    config["models"]["deaf"] = {
        **config["models"]["net-0"],
        "weights": "weights/deaf.safetensors",
        "tap": "3",
    }
    config["datasets"]["empty"] = {
        "layout": "folder:.",
        "images": "none/*.png",
        "labels": "none/*.png",
        "classes": ["a"],
    }
    config["targets"].append("empty")
    path = write_zoo(again, config)
    shutil.copy(again / "weights/net-0.safetensors", again / "weights/broken.safetensors")
    code, output = otce("run", path, log=again / "log", env=prefect_api)
    assert code == 1, output
    rows = pq.read_table(again / RUN / "failures.parquet").to_pylist()
    why = {(row["source_model"], row["target_dataset"]): row for row in rows}
    assert len(why) == 5 + 2 + 2
    assert why["broken", "birch"]["stage"] == "load"
    assert "expected (7, 3, 3, 3)" in why["broken", "birch"]["message"]
    assert why["deaf", "dune"]["error_class"] == "ModelError"
    assert "close to it: " in why["deaf", "dune"]["message"]
    assert why["net-1", "empty"]["stage"] == "census"
    assert "no image matches none/*.png" in why["net-1", "empty"]["message"]
    assert not any(row["transient"] for row in rows)
    assert "0 pairs computed, 6 reused, 9 failed" in output
    assert pq.read_table(again / RUN / "summary.parquet").num_rows == 6


def test_report_and_ls_read_a_store_alone(again, prefect_api):
    report = again / RUN / "report.html"
    wanted = report.read_text()
    report.unlink()
    code, output = otce("report", again / "store", log=again / "log", env=prefect_api)
    assert code == 0, output
    assert "net-1" in output
    assert report.read_text() == wanted
    code, output = otce("ls", again / "store", log=again / "log", env=prefect_api)
    assert code == 0, output
    assert "test" in output
    code, output = otce("report", again / "store", "other", log=again / "log", env=prefect_api)
    assert code == 3
    assert "runs there: test" in output
