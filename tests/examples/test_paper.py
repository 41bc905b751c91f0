"""The paper's nets are as large as published, and its two studies run from start to end."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from otce.config_file import load_config
from otce.zoo.head import find_head
from tests.layouts import LAYOUTS, LayoutPlace, split_mat
from tests.zoo import otce

EXAMPLES = Path(__file__).parents[2] / "examples"
PUBLISHED = {
    # Millions of parameters: of the papers, but SegNet's with 19 classes and normalisation.
    "fcn8s": 134.4,
    "unet": 28.9,
    "segnet": 29.4,
    "frrn_a": 17.7,
    "frrn_b": 24.8,
}
SMALL = 1 / 32


@pytest.fixture(scope="module")
def nets():
    sys.path.insert(0, str(EXAMPLES))
    try:
        import paper_nets  # noqa: PLC0415
    finally:
        sys.path.remove(str(EXAMPLES))
    return paper_nets


@pytest.mark.parametrize("name", PUBLISHED)
def test_nets_have_the_published_number_of_parameters(nets, name):
    with torch.device("meta"):
        net = getattr(nets, name)(19)
    assert sum(w.numel() for w in net.parameters()) / 1e6 == pytest.approx(PUBLISHED[name], 0.01)


@pytest.mark.parametrize("name", PUBLISHED)
@torch.no_grad()
def test_nets_take_images_of_any_size(nets, name):
    net = getattr(nets, name)(7, SMALL).eval()
    for size_px in [(64, 96), (61, 83)]:
        assert net(torch.rand(2, 3, *size_px)).shape == (2, 7, *size_px)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "fcn8s"])
@torch.no_grad()
def test_the_classifier_is_the_head(nets, name):
    net = getattr(nets, name)(7, SMALL).eval()
    assert find_head(net, torch.rand(1, 3, 64, 96)) == "classifier"


def test_the_studies_are_those_of_the_paper():
    intra, inter = (
        load_config(str(EXAMPLES / f"paper-{study}.yaml")) for study in ("intra", "inter")
    )
    assert len({model.source for model in intra.models.values()}) == 18
    assert [sum(m.source == data for m in inter.models.values()) for data in ("bdd", "gta")] == [
        6,
        6,
    ]
    for study in (intra, inter):
        assert study.sampling.pixels == 10_000
        assert study.sampling.repetitions == 10
        assert study.score.feature_scaling == "none"
        assert {model.tap for model in study.models.values()} == {"logits"}


def small(study, folder):
    """The study's file with the data of this folder, small nets and small images."""
    config = yaml.safe_load((EXAMPLES / f"paper-{study}.yaml").read_text())
    for dataset in config["datasets"].values():
        kind, _, root = dataset["layout"].partition(":")
        dataset["layout"] = f"{kind}:{folder / Path(root).name}"
    for id_, model in config["models"].items():
        model["weights"] = str(folder / f"weights/{id_}.safetensors")
        model["preprocessing"] = model["preprocessing"] | {"size_px": [64, 64]}
        if model["reference"].startswith("python:"):
            model["arguments"] = model["arguments"] | {"width": SMALL}
        else:
            model["reference"] = "smp:pspnet/resnet18"
    config["sampling"] = {"pixels": 64, "repetitions": 2, "too_few_pixels": "shrink"}
    config["execution"] = {"store": str(folder / "store"), "run_id": "test"}
    config["execution"] |= {"python_path": [str(EXAMPLES)], "workers": 2}
    return config


def train_and_rank(config, folder, prefect_api):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    trained = subprocess.run(
        [sys.executable, EXAMPLES / "train.py", path, "--steps", "2"],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    code, output = otce("run", path, log=folder / "log", env=prefect_api)
    assert code == 0, output
    return pq.read_table(folder / "store/runs/test/summary.parquet").to_pylist()


@pytest.mark.nightly
def test_the_study_within_cityscapes_runs_from_start_to_end(tmp_path, prefect_api):
    drawn = LAYOUTS["cityscapes"]
    LayoutPlace(str(tmp_path / "cityscapes"), {}, drawn).write(drawn.files())
    config = small("intra", tmp_path)
    cities = ["aachen", "bochum"]
    config["models"] = {id_: model for id_, model in config["models"].items() if id_ in cities}
    found = train_and_rank(config, tmp_path, prefect_api)
    pairs = {(row["source_model"], row["target_dataset"]) for row in found}
    assert pairs == {("aachen", "cs/bochum"), ("bochum", "cs/aachen")}
    assert {row["metric"] for row in found} == set(config["metrics"])


@pytest.mark.nightly
def test_the_study_between_data_sets_runs_from_start_to_end(tmp_path, prefect_api):
    layouts = {
        "cityscapes": LAYOUTS["cityscapes by train id"],
        "bdd100k": LAYOUTS["bdd100k"],
        "gta5": replace(
            LAYOUTS["gta5"], extra={"split.mat": split_mat(trainIds=[3, 1], valIds=[2], testIds=[])}
        ),
    }
    for name, drawn in layouts.items():
        LayoutPlace(str(tmp_path / name), {}, drawn).write(drawn.files())
    config = small("inter", tmp_path)
    found = train_and_rank(config, tmp_path, prefect_api)
    assert len({row["source_model"] for row in found}) == 12
    assert {row["metric"] for row in found} == set(config["metrics"])
