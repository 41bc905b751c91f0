"""Whole commands on a card: actors hold it, scores are those of the CPU, bytes come back."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from tests.study import study, written
from tests.zoo import otce, write_zoo, zoo_config

pytestmark = pytest.mark.gpu

RUN = Path("store/runs/test")


def table(folder, name):
    return pq.read_table(folder / RUN / f"{name}.parquet")


def ran(folder, env, **execution):
    config = zoo_config(images=12, pixels=400)
    config["execution"] |= execution
    folder.mkdir()
    code, output = otce("run", write_zoo(folder, config), log=folder / "log", env=env)
    assert code == 0, output
    return folder


@pytest.fixture(scope="module")
def on_card(tmp_path_factory, prefect_api):
    return ran(tmp_path_factory.mktemp("card") / "whole", prefect_api)


def test_actors_hold_the_card_and_say_for_how_long(on_card):
    steps = [row for row in table(on_card, "timings").to_pylist() if row["step"] != "solve"]
    assert {row["step"] for row in steps} == {"load", "extract"}
    assert {row["device"] for row in steps} == {torch.cuda.get_device_name()}
    for row in steps:
        assert row["gpu_s"] == pytest.approx(row["worker_s"]) != 0


def test_two_actors_that_share_the_card_give_the_same_bytes(on_card, tmp_path, prefect_api):
    shared = ran(tmp_path / "halves", prefect_api, gpus_per_actor=0.5)
    assert table(shared, "scores").equals(table(on_card, "scores"))
    steps = [row for row in table(shared, "timings").to_pylist() if row["step"] != "solve"]
    for row in steps:
        assert row["gpu_s"] == pytest.approx(row["worker_s"] / 2)


def test_the_scores_are_those_of_the_cpu(on_card, tmp_path, prefect_api):
    without = ran(tmp_path / "cpu", prefect_api | {"CUDA_VISIBLE_DEVICES": ""})
    assert {row["device"] for row in table(without, "timings").to_pylist()} <= {"cpu", None}
    mine, cpus = (table(folder, "scores").to_pylist() for folder in (on_card, without))
    assert [row["otce"] for row in mine] == pytest.approx([row["otce"] for row in cpus], abs=2e-3)


def test_transfers_that_are_measured_twice_on_a_card_are_equal(tmp_path, prefect_api):
    config = study() | {"targets": ["birch"]}
    config["models"] = {name: config["models"][name] for name in ("depthwise-alder", "unet-dune")}
    first = tmp_path / "first"
    first.mkdir()
    for folder in (first, tmp_path / "second"):
        if folder != first:
            shutil.copytree(first, folder, ignore=shutil.ignore_patterns("store"))
        code, output = otce("measure", written(folder, config), log=folder / "log", env=prefect_api)
        assert code == 0, output
    assert table(first, "truth").equals(table(tmp_path / "second", "truth"))
    trained = [row for row in table(first, "truth_timings").to_pylist() if row["kind"] == "head"]
    assert {row["device"] for row in trained} == {torch.cuda.get_device_name()}
    assert all(row["gpu_s"] > 0 for row in trained)
