"""Several metrics of a run: one extraction, a table each, and one that fails harms no other."""

import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.flows.test_signatures import IMAGES, write_images
from tests.zoo import otce, write_zoo, zoo_config

RUN = Path("store/runs/test")
ALL_PX = ("logme_all_px", "zero_shot_miou_all_px")
FIRST = ("otce", "otce_robust", "logme", "leep", "zero_shot_miou", *ALL_PX)
NO_SOURCE = {"logme", "leep", "zero_shot_miou", *ALL_PX}
MAPPED = {"zero_shot_miou", "zero_shot_miou_all_px"}
COUNTS = ("computed", "reused", "failed")


def config(metrics, *, images=6):
    """Two models trained on a folder of images, whose class names one target has as well."""
    found = zoo_config(models=2, targets=2, images=images, pixels=48, repetitions=2)
    del found["datasets"]["alder"]
    found["datasets"]["harbour"] = IMAGES
    for model in found["models"].values():
        model["source"] = "harbour"
    # Of the drawn cities' classes none is called class-0; those of a folder are.
    found["datasets"]["quay"] = {**IMAGES, "layout": "folder:images", "every": 2}
    found["targets"] = ["birch", "quay"]
    del found["datasets"]["dune"]
    return found | {"metrics": list(metrics)}


def run(folder, metrics, prefect_api, **changes):
    path = write_zoo(folder, config(metrics, **changes))
    code, output = otce("run", path, log=folder / "log", env=prefect_api)
    return code, output


def table(folder, name):
    return pq.read_table(folder / RUN / f"{name}.parquet").to_pylist()


def metrics_of(rows, target):
    return {row["metric"] for row in rows if row["target_dataset"] == target}


@pytest.fixture(scope="module")
def several(tmp_path_factory, prefect_api):
    folder = tmp_path_factory.mktemp("several")
    write_images(folder)
    code, output = run(folder, FIRST, prefect_api)
    assert code == 0, output
    return folder, output


def test_tables_are_long_and_every_metric_is_ranked_by_its_own_value(several):
    folder, _ = several
    scores = table(folder, "scores")
    assert Counter(row["metric"] for row in scores) == {
        **dict.fromkeys(FIRST, 2 * 2 * 2),
        "zero_shot_miou": 2 * 2,
        # Over all pixels there is one repetition, and only one of the two targets has the names.
        "logme_all_px": 2 * 2,
        "zero_shot_miou_all_px": 2,
    }
    assert all((row["otce"] == row["value"]) == (row["metric"] == "otce") for row in scores)
    for row in table(folder, "summary"):
        mine = [s["value"] for s in scores if s["pair_fingerprint"] == row["pair_fingerprint"]]
        assert row["mean"] == pytest.approx(sum(mine) / len(mine))
        assert row["total_stderr"] > 0
        assert (row["n_source_images"] == 0) == (row["metric"] in NO_SOURCE)


def test_zero_shot_miou_is_left_out_where_class_names_have_nothing_in_common(several):
    scores = table(several[0], "scores")
    assert metrics_of(scores, "quay") >= MAPPED
    assert MAPPED.isdisjoint(metrics_of(scores, "birch"))
    assert table(several[0], "failures") == []


def test_a_metric_over_all_pixels_counts_each_labelled_one_once(several):
    folder, _ = several
    listed = pq.ParquetDataset(folder / "store/counts").read().to_pylist()
    labelled = Counter()
    for row in listed:
        labelled[row["dataset_digest"]] += sum(row["class_px"])
    found = [row for row in table(folder, "scores") if row["metric"] in ALL_PX]
    assert {row["n_target_px"] for row in found} == {labelled[r["target_digest"]] for r in found}
    drawn = {r["source_model"]: r for r in table(folder, "summary") if r["metric"] == "logme"}
    for row in table(folder, "summary"):
        if row["metric"] == "logme_all_px" and row["target_dataset"] == "birch":
            assert row["n_target_images"] == 6
            assert row["mean"] == pytest.approx(drawn[row["source_model"]]["mean"], abs=0.5)


def test_parts_of_every_pair_add_up_to_its_score(several):
    folder, _ = several
    means = {
        (row["source_model"], row["target_dataset"]): row["mean"]
        for row in table(folder, "summary")
        if row["metric"] == "otce"
    }
    risks, shares = Counter(), Counter()
    for part in table(folder, "risks"):
        key = part["source_model"], part["target_dataset"], part["cut"]
        risks[key] += part["risk"]
        shares[key] += part["share"]
    assert {key[2] for key in risks} == {"class", "image", "boundary", "frequency"}
    for (model, target, _), risk in risks.items():
        assert risk == pytest.approx(-means[model, target], abs=1e-12)
    assert all(share == pytest.approx(1) for share in shares.values())


def test_a_metric_that_is_added_is_computed_alone_and_needs_no_source_images(
    several, tmp_path, prefect_api
):
    folder = shutil.copytree(several[0], tmp_path / "again")
    before = {p.name: p.read_bytes() for p in (folder / "store/scores").iterdir()}
    run_before = yaml.safe_load((folder / RUN / "manifest.json").read_text())
    pinned = run_before["datasets"]["harbour"]["digest"]
    shutil.rmtree(folder / "images/i")
    added = config([*FIRST, "gbc"])
    added["datasets"]["harbour"] = IMAGES | {"digest": pinned}
    added["targets"] = ["birch"]
    code, output = otce("run", write_zoo(folder, added), log=folder / "log", env=prefect_api)
    assert code == 0, output
    assert "2 pairs computed, 0 reused, 0 failed" in output
    after = {p.name: p.read_bytes() for p in (folder / "store/scores").iterdir()}
    assert len(after) == len(before) + 2
    assert before.items() <= after.items()
    assert metrics_of(table(folder, "scores"), "birch") == {*FIRST, "gbc"} - MAPPED


def test_what_one_metric_cannot_have_is_a_failure_of_that_metric_alone(
    several, tmp_path, prefect_api
):
    """With one image nothing can be learned from other images."""
    folder = shutil.copytree(several[0], tmp_path / "again")
    code, output = run(folder, ("otce", "knn", "logme"), prefect_api, images=1)
    assert code == 1, output
    failures = table(folder, "failures")
    assert {(row["target_dataset"], row["metric"]) for row in failures} == {("birch", "knn")}
    assert all("image" in row["message"] for row in failures)
    assert metrics_of(table(folder, "scores"), "birch") == {"otce", "logme"}
    assert metrics_of(table(folder, "scores"), "quay") == {"otce", "knn", "logme"}
    assert "of knn" in output
