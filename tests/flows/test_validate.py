"""`otce validate` resolves everything, prints the plan and lists every problem."""

import shutil

import numpy as np
import yaml

from otce.census import dataset_digest, item_digests
from otce.config_file import load_config
from otce.counts import keep_counts
from otce.datasets import open_dataset
from otce.storage.store import Store
from tests.zoo import otce, write_zoo, zoo_config


def test_a_sound_configuration_is_described(tmp_path):
    config = zoo_config() | {"strategy": "race", "race": {"top_k": 2, "heat_survivors": 2}}
    code, output = otce("validate", write_zoo(tmp_path, config), log=tmp_path / "log")
    assert code == 0, output
    assert "race for the best 2: 24 to 48 heats and 12 to 18 finals" in " ".join(output.split())
    assert "6 pairs: 0 done, 6 to do, 0 not possible" in output
    assert "3 draws of at most 64 pixels a side" in output
    assert "estimated memory" in output
    assert "24x32 / 48x64" in output
    assert "ready to run" in output
    assert not any((tmp_path / "store").iterdir())


def test_all_problems_are_listed_together(tmp_path):
    config = zoo_config()
    config["models"]["net-0"]["trusted"] = False
    config["models"]["net-1"]["tap"] = "1.convolution"
    config["models"]["net-2"]["weights"] = "weights/absent.safetensors"
    config["datasets"]["folder"] = {
        "layout": "folder:data",
        "images": "*.jpg",
        "labels": "*.png",
        "classes": ["a", "b"],
    }
    config["targets"].append("folder")
    config["datasets"]["birch"]["count"] = 1
    config["sampling"]["pixels"] = 5_000
    path = write_zoo(tmp_path, config)
    (tmp_path / "weights/absent.safetensors").unlink()
    (tmp_path / "data").mkdir()
    shutil.copy(path, tmp_path / "data/a.jpg")
    code, output = otce("validate", path, log=tmp_path / "log")
    assert code == 2
    assert "set trusted: true" in output
    assert "tap '1.convolution' is no module" in output
    assert "absent.safetensors: no such object" in output
    assert "1 of 1 items lack a file: a (label)" in output
    assert "fewer than the 5000 asked for" in output
    assert "5 problems" in output


def test_what_is_done_to_images_is_shown_and_liars_are_named(tmp_path):
    config = zoo_config()
    config["models"]["net-0"]["preprocessing"] = {"size_px": [64, 80], "channel_order": "bgr"}
    config["models"]["net-1"]["n_classes"] = 19
    path = write_zoo(tmp_path, config)
    with (tmp_path / "tiny_nets.py").open("a") as code:
        code.write(
            "\n\nclass Noisy(nn.Sequential):\n"
            "    def forward(self, image):\n"
            "        return super().forward(image + torch.rand_like(image))\n\n\n"
            "def noisy(n_classes):\n    return Noisy(*net(n_classes))\n"
        )
    config["models"]["net-2"]["reference"] = "python:tiny_nets:noisy"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    code, output = otce("validate", path, log=tmp_path / "log", env={"COLUMNS": "200"})
    assert code == 2
    assert "resize to 64x80, bgr, ImageNet mean and std" in output
    assert "model net-1: the network tells 8 classes apart, its source data set 19" in output
    assert "model net-2: two passes over one image differ by" in output
    assert "2 problems" in output


def test_what_a_run_has_counted_is_not_counted_again(tmp_path):
    """Counts that no count would give are shown: they were read."""
    path = write_zoo(tmp_path, zoo_config())
    dataset = open_dataset(load_config(str(path)).datasets["birch"])
    digest = dataset_digest(dataset, item_digests(dataset, dataset.items))
    counts_px = np.full((len(dataset.items), len(dataset.classes)), 98_765)
    keep_counts(counts_px, dataset.items, digest, Store(str(tmp_path / "store")))
    code, output = otce("validate", path, log=tmp_path / "log")
    assert code == 0, output
    assert f"{counts_px.sum():,}" in output


def test_what_measure_would_refuse_is_listed(tmp_path):
    config = zoo_config()
    config["datasets"]["held"] = config["datasets"]["birch"] | {"first": 90}
    config["targets"] = ["birch"]
    config["measure"] = {"evaluate": {"birch": "held"}, "shots": [3], "kinds": ["head"]}
    config["measure"]["short_steps"] = None
    code, output = otce("validate", write_zoo(tmp_path, config), log=tmp_path / "log")
    assert code == 0, output
    assert "measure: 6 transfers" in output
    config["measure"]["evaluate"] = {"birch": "birch"}
    code, output = otce("validate", write_zoo(tmp_path, config), log=tmp_path / "log")
    assert code == 2
    told = " ".join(output.split())
    assert "images of birch are also in birch, which its transfers train on" in told
