"""`otce measure` end to end: trained nets of drawn cities, real Ray, tables on disk."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from otce.measure_config import BASELINES
from otce.storage.store import Store
from tasks.publish_truth import sound_transfers
from tests.study import NETS, study, written
from tests.zoo import net, otce

RUN = Path("store/runs/test")


@pytest.fixture(scope="module")
def measured(tmp_path_factory, prefect_api):
    folder = tmp_path_factory.mktemp("measured")
    code, output = otce("measure", written(folder, study()), log=folder / "log", env=prefect_api)
    assert code == 1, output
    return folder, output


def rows(folder, name="truth"):
    return pq.read_table(folder / RUN / f"{name}.parquet").to_pylist()


def value(folder, kind):
    return {r["source_model"]: r["value"] for r in rows(folder) if r["kind"] == kind}


def test_the_near_city_transfers_better_than_the_far_one(measured):
    for kind in ("zero_shot", "head"):
        found = value(measured[0], kind)
        for net_ in ("depthwise", "unet"):
            assert found[f"{net_}-alder"] > found[f"{net_}-dune"] + 0.05


def test_every_transfer_is_a_row_with_what_it_took(measured):
    folder, output = measured
    truth = [row for row in rows(folder) if row["kind"] not in BASELINES]
    assert len(truth) == 5 + 4 + 4
    trained = [row for row in truth if row["kind"] != "zero_shot"]
    for row in truth:
        assert (row["target_dataset"], row["evaluate_dataset"]) == ("birch", "birch-test")
        assert row["n_eval_images"] == 8
        assert 0 < row["value"] < row["pixel_accuracy"] < 1
        ious = [iou for iou in row["class_iou"] if iou is not None]
        assert row["value"] == pytest.approx(np.mean(ious))
    for row in trained:
        assert (row["shots"], row["seed"], row["n_train_images"], row["steps"]) == (5, 0, 5, 20)
        best = np.argmax(row["validation_miou"]) if row["validation_miou"] else 0
        assert row["learning_rate"] == row["learning_rates"][best]
    assert "21 transfers measured, 0 reused, 7 failed" in output
    assert "target birch, 5 labelled images" in output


def test_models_are_judged_at_home_where_images_of_their_source_are_held_back(measured):
    """Dune's are not, so its nets have no such row."""
    folder, output = measured
    home = [row for row in rows(folder) if row["kind"] == "at_source"]
    assert [row["source_model"] for row in home] == ["depthwise-alder", "script", "unet-alder"]
    for row in home:
        assert row["target_dataset"] == row["source_dataset"] == "alder"
        assert (row["evaluate_dataset"], row["shots"], row["steps"]) == ("alder-test", 0, 0)
    away = value(folder, "zero_shot")
    found = {row["source_model"]: row["value"] for row in home}
    for model in ("depthwise-alder", "unet-alder"):
        assert found[model] > away[model]
    # It is no transfer, and no target is called alder.
    assert "target alder" not in output


def test_a_short_fine_tune_trains_and_is_judged_on_the_labelled_images_alone(measured):
    """Of five shots among six images one judges, so a score knows as much as it does."""
    short = [row for row in rows(measured[0]) if row["kind"] == "short_fine_tune"]
    assert [row["source_model"] for row in short] == sorted([*NETS, "script"])
    for row in short:
        assert (row["shots"], row["seed"], row["steps"]) == (5, 0, 3)
        assert (row["n_train_images"], row["n_eval_images"]) == (4, 1)
        assert (row["target_dataset"], row["evaluate_dataset"]) == ("birch", "birch")
        assert row["target_digest"] == row["evaluate_digest"]
        assert (row["learning_rate"], row["validation_miou"]) == (1e-3, [])
    judges = [row for row in rows(measured[0], "truth_images") if row["kind"] == "short_fine_tune"]
    assert {row["item_id"] for row in judges} == {"birch/000003"}
    assert "short fine tune" not in measured[1]


def test_a_report_holds_scores_against_the_short_fine_tune_and_says_what_both_cost(
    measured, tmp_path, prefect_api
):
    folder = shutil.copytree(measured[0], tmp_path / "scored")
    config = study() | {"targets": ["birch"], "sampling": {"pixels": 200, "repetitions": 1}}
    config["models"].pop("script")
    config["measure"]["evaluate"].pop("ember")
    path = written(folder, config)
    code, output = otce("run", path, log=tmp_path / "run", env=prefect_api)
    assert code == 0, output
    truth = str(folder / RUN / "truth.parquet")
    code, output = otce("report", folder / "store", "--truth", truth, log=tmp_path / "report")
    assert code == 0, output
    agreement = rows(folder, "agreement")
    truths = {"zero shot", "head with 5 images", "scratch with 5 images"}
    assert {row["truth"] for row in agreement} == truths
    for name in truths:
        predictors = {row["predictor"] for row in agreement if row["truth"] == name}
        assert {"otce", "short fine tune", "parameter count"} <= predictors
    told = "its short fine-tune of 3 steps"
    assert "scoring a pair took" in output
    assert told in output
    code, output = otce("measure", path, log=tmp_path / "again", env=prefect_api)
    assert "0 transfers measured, 18 reused" in output
    assert told in output
    assert told not in measured[1]


def test_the_size_of_every_model_is_told(measured):
    sizes = {row["source_model"]: row["n_parameters"] for row in rows(measured[0])}
    assert sizes["script"] == sum(weight.numel() for weight in net().parameters())
    assert sizes["unet-alder"] == sizes["unet-dune"] != sizes["depthwise-alder"]


def test_figures_follow_from_the_pixels_of_every_image(measured):
    images = rows(measured[0], "truth_images")
    for row in rows(measured[0]):
        mine = [i for i in images if i["truth_fingerprint"] == row["truth_fingerprint"]]
        mine = [i for i in mine if i["source_model"] == row["source_model"]]
        assert len(mine) == row["n_eval_images"]
        right, labelled, predicted = (
            np.sum([i[name] for i in mine], axis=0)
            for name in ("right_px", "labelled_px", "predicted_px")
        )
        iou = [
            r / (n + p - r) if n else None
            for r, n, p in zip(right, labelled, predicted, strict=True)
        ]
        assert row["class_iou"] == pytest.approx(iou)
        assert row["pixel_accuracy"] == pytest.approx(right.sum() / labelled.sum())


def test_training_from_scratch_is_done_once_for_an_architecture(measured):
    scratch = [row for row in rows(measured[0]) if row["kind"] == "scratch"]
    names = {row["source_model"].partition("-")[0]: row["truth_fingerprint"] for row in scratch}
    assert len(scratch) == 4
    assert {row["truth_fingerprint"] for row in scratch} == set(names.values())
    assert len({row["value"] for row in scratch}) == 2
    assert [row["source_dataset"] for row in scratch] == ["alder", "dune"] * 2
    assert "2 of them from scratch and shared" in measured[1]


def test_images_that_were_trained_on_judge_nothing(measured):
    """Scenes 4 and 5 of ember are both in the target and in what should be held back."""
    folder, output = measured
    lost = [row for row in rows(folder, "truth_failures") if row["target_dataset"] == "ember"]
    assert [(row["source_model"], row["stage"], row["kind"]) for row in lost] == [
        (model, "overlap", None) for model in sorted([*NETS, "script"])
    ]
    told = "2 of 6 images of ember-test are also in ember, which its transfers train on"
    assert all(told in row["message"] for row in lost)
    assert "ember/000004, ember/000005" in lost[0]["message"]
    assert told in " ".join(output.split())


def test_a_model_whose_head_cannot_be_replaced_is_judged_as_it_is(measured):
    failures = [r for r in rows(measured[0], "truth_failures") if r["kind"] is not None]
    assert [(r["source_model"], r["kind"], r["shots"], r["seed"]) for r in failures] == [
        ("script", "head", 5, 0),
        ("script", "scratch", 5, 0),
    ]
    assert all(
        "only zero_shot and fine_tune can be measured of it" in row["message"] for row in failures
    )
    assert "script" in value(measured[0], "zero_shot")


def test_timings_stand_apart_from_what_is_repeatable(measured):
    timings = rows(measured[0], "truth_timings")
    assert len(timings) == 3 + 5 + 5 + 4 + 2
    assert all(row["wall_s"] > 0 < row["cpu_s"] for row in timings)
    assert {(row["device"], row["gpu_s"]) for row in timings} == {("cpu", 0.0)}


def test_what_is_kept_is_not_made_again_whatever_else_is_measured(measured, tmp_path, prefect_api):
    """That a whole measurement comes back with equal bytes: tests/faults/test_kill_measure.py."""
    folder = shutil.copytree(measured[0], tmp_path / "again")
    manifest = json.loads((folder / RUN / "measure.json").read_text())
    assert manifest["transfers"] == {"computed": 21, "reused": 0, "failed": 7}
    fewer = study() | {"targets": ["birch"]}
    fewer["measure"]["evaluate"].pop("ember")
    fewer["models"].pop("script")
    code, output = otce("measure", written(folder, fewer), log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    assert "0 transfers measured, 18 reused, 0 failed" in output
    assert "starting Ray" not in output
    for name in ("truth", "truth_images"):
        before, after = (pq.read_table(f / RUN / f"{name}.parquet") for f in (measured[0], folder))
        assert after.equals(before.filter(pc.field("source_model") != "script"))


def test_a_damaged_transfer_is_set_aside_and_is_one_to_make_again(measured, tmp_path):
    """F7."""
    folder = shutil.copytree(measured[0] / "store/truth", tmp_path / "truth").parent
    names = sorted(path.stem for path in (folder / "truth").iterdir())
    damaged = bytearray((folder / f"truth/{names[0]}.parquet").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / f"truth/{names[0]}.parquet").write_bytes(damaged)
    assert sound_transfers([*names, "absent"], Store(str(folder))) == set(names[1:])
    left = {path.name for path in (folder / "truth").iterdir()}
    assert left == {f"{names[0]}.parquet.corrupt", *(f"{name}.parquet" for name in names[1:])}
