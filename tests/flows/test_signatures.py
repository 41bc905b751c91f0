"""A source side that was kept stands for the source images: equal bytes and no source pass."""

import io
import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from flows.export import export_signature
from flows.validate import validate
from otce.config_file import load_config
from otce.datasets import open_dataset
from otce.errors import ConfigError
from otce.storage.files import read_bytes, write_bytes
from otce.storage.listing import list_paths
from tests.conftest import new_bucket
from tests.folders import png
from tests.zoo import N_CLASSES, otce, write_zoo, zoo_config

IMAGES = {
    "layout": "folder:images",
    "images": "i/*.png",
    "labels": "l/*.png",
    "classes": [f"class-{i}" for i in range(N_CLASSES)],
}


def write_images(folder):
    """Drawn scenes as files, which can be deleted."""
    dataset = open_dataset(load_config(str(write_zoo(folder, zoo_config()))).datasets["alder"])
    for item in dataset.items:
        name = f"{item.id.replace('/', '-')}.png"
        mask = dataset.label(item).astype("uint8")  # -1 becomes 255, which is ignored
        write_bytes(str(folder / "images/i" / name), png(dataset.image(item)))
        write_bytes(str(folder / "images/l" / name), png(mask))


def harbour_config(**execution):
    """Two models that were trained on images in a folder, and two targets."""
    config = zoo_config(models=2, repetitions=2)
    del config["datasets"]["alder"]
    config["datasets"]["harbour"] = IMAGES
    for model in config["models"].values():
        model["source"] = "harbour"
    config["execution"] |= execution
    return config


def validated(path):
    """What `otce validate` finds and prints."""
    printed = io.StringIO()
    problems = validate(load_config(str(path)), Console(file=printed, width=200))
    return problems, printed.getvalue()


def scores(store, options):
    names = list_paths(f"{store}/scores", options)
    return {name: read_bytes(f"{store}/scores/{name}", options) for name in names}


@pytest.fixture(scope="module")
def kept(tmp_path_factory, prefect_api, s3_server):
    """A run with its store in a bucket, whose source images are then no more."""
    folder = tmp_path_factory.mktemp("first")
    write_images(folder)
    place = {
        "store": f"s3://{new_bucket(s3_server)}/zoo",
        "storage_options": {"s3": {"endpoint_url": s3_server}},
    }
    path = write_zoo(folder, harbour_config(**place))
    code, output = otce("run", path, log=folder / "log", env=prefect_api)
    assert code == 0, output
    problems, printed = validated(path)
    assert not problems
    assert "source harbour: draws kept in the store, for net-0, net-1" in printed
    digest = re.search("^harbour: digest ([0-9a-f]{64})$", printed, re.MULTILINE)[1]
    code, output = otce("signature", path, "net-0", folder / "net-0.sig", log=folder / "log")
    assert code == 0, output
    assert "2 draws of the source side of net-0 on harbour, 6 dimensions" in output
    export_signature(load_config(str(path)), "net-1", f"{place['store']}/net-1.sig")
    shutil.rmtree(folder / "images")
    return folder, place, digest


def test_a_new_target_needs_no_source_images(kept, tmp_path, prefect_api):
    folder, place, digest = kept
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = harbour_config(**place)
    config["datasets"]["harbour"] = IMAGES | {"digest": digest}
    config["datasets"]["ember"] = {"layout": "scenes:ember", "count": 6, "size_px": [48, 64]}
    config["targets"].append("ember")
    # Enough for the weights and less than a kept draw, which is none of the model's files.
    config["models"]["net-0"]["max_weights_bytes"] = 2_000
    path = write_zoo(tmp_path, config)
    problems, printed = validated(path)
    assert not problems
    assert "not read" in printed
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    assert "2 pairs computed, 4 reused, 0 failed" in output


def test_a_zoo_of_signatures_alone_gives_equal_bytes(kept, tmp_path, prefect_api):
    """One file is local, the other in a bucket; the new store is another one."""
    folder, place, _ = kept
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = harbour_config(storage_options=place["storage_options"])
    del config["datasets"]["harbour"]
    for model, file in (("net-0", "net-0.sig"), ("net-1", f"{place['store']}/net-1.sig")):
        del config["models"][model]["source"]
        config["models"][model]["signature"] = file
    path = write_zoo(tmp_path, config)
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    assert "4 pairs computed, 0 reused, 0 failed" in output
    wanted = scores(place["store"], place["storage_options"])
    found = scores(str(tmp_path / "store"), {})
    assert len(found) == 4
    assert found.items() <= wanted.items()
    assert not (tmp_path / "store/features").exists()
    run = tmp_path / "store/runs/test"
    names = pq.read_table(run / "joints.parquet")["source_class_name"].unique().to_pylist()
    assert set(names) <= set(IMAGES["classes"])
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["models"]["net-0"]["source"] == "harbour"
    # What the run recorded is a configuration that finds everything done.
    shutil.copy(run / "config.yaml", tmp_path / "again.yaml")
    problems, printed = validated(tmp_path / "again.yaml")
    assert not problems
    assert f"source harbour: signature {tmp_path}/net-0.sig, for net-0" in printed
    assert "4 pairs: 4 done" in printed


def test_other_source_sides_are_refused_before_anything_runs(kept, tmp_path, prefect_api):
    folder, _, digest = kept
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = harbour_config()
    config["datasets"]["harbour"] = IMAGES | {"digest": digest}
    models = config["models"]
    # Nobody ran it over the images that are gone with these 65 pixels.
    models["unkept"] = models["net-1"] | {"weights": "weights/unkept.safetensors"}
    models["broken"] = models["net-1"] | {"signature": "broken.sig"}
    models["net-1"] |= {"signature": "net-0.sig"}
    models["birch"] = models["net-1"] | {"source": "birch"}
    del models["net-0"]["source"]
    models["net-0"] |= {"signature": "net-0.sig", "tap": "logits"}
    config["sampling"] |= {"pixels": 65, "repetitions": 3}
    path = write_zoo(tmp_path, config)
    (tmp_path / "broken.sig").write_bytes(b"PK")
    told = {
        "net-0": (
            'tap is "head" there and "logits" here; pixels is 64 there and 65 here; 2 draws are '
            "there and 3 needed"
        ),
        "net-1": "net-0.sig is the signature of another source side: weights_digest is ",
        "broken": "broken.sig is damaged or no signature",
        "birch": "is of the source data set harbour, not of birch",
        "unkept": "no image matches i/*.png",
    }
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 1, output
    assert "starting Ray" not in output
    failures = pq.read_table(tmp_path / "store/runs/test/failures.parquet").to_pylist()
    for row in failures:
        assert told[row["source_model"]] in row["message"]
        assert row["stage"] == ("census" if row["source_model"] == "unkept" else "load")
    assert {row["source_model"] for row in failures} == told.keys()
    problems, _ = validated(path)
    for text in told.values():
        assert sum(text in problem for problem in problems) == 1, problems


def test_what_was_not_kept_cannot_be_written_to_a_file(tmp_path):
    path = str(write_zoo(tmp_path, zoo_config()))
    signed = ["models.net-0.signature=s"]
    for model, overrides, reason in (
        ("net-0", [], "does not hold the 3 draws of the source side of net-0; run this"),
        ("net-9", [], "no model is called 'net-9'; there are net-"),
        ("net-0", signed, "net-0 takes its source side from .*/s; copy that file"),
    ):
        with pytest.raises(ConfigError, match=reason):
            export_signature(load_config(path, overrides), model, str(tmp_path / "f"))
        assert not (tmp_path / "f").exists()


def test_a_data_set_is_held_against_the_digest_it_is_pinned_to(tmp_path):
    config = zoo_config(models=1)
    config["datasets"]["birch"]["digest"] = "a" * 64
    problems, _ = validated(write_zoo(tmp_path, config))
    [problem] = problems
    assert "data set birch has digest 1988" in problem
    assert f"not the declared {'a' * 64}" in problem
    config["datasets"]["birch"]["digest"] = re.search("[0-9a-f]{64}", problem)[0]
    assert not validated(write_zoo(tmp_path, config))[0]
