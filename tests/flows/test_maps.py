"""`otce map` writes what adds up to the score, from what a run kept or from images."""

import json
import re
import shutil

import numpy as np
import pytest

from flows.cli import app, guarded
from flows.maps import file_name
from otce import score_pixels
from otce.config_file import load_config
from otce.draw import Draw
from otce.identity import model_signature
from otce.readable import open_readable
from otce.signature import draw_key, encode
from otce.storage.listing import list_paths
from otce.storage.store import Store
from otce.zoo import load_model, model_identity
from tests.drawn_runs import HOSTILE
from tests.folders import mask, photo, png
from tests.zoo import write_zoo, zoo_config


def otce(*arguments):
    """The command in this process; returns its exit code."""
    words = [str(word) for word in arguments]
    return guarded(lambda: app(words, exit_on_error=False, result_action="return_value"))


def tiny(folder, **changes):
    return write_zoo(folder, zoo_config(models=1, targets=1, repetitions=1) | changes)


def described(folder):
    return json.loads((folder / "maps.json").read_text())


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in list_paths(str(folder))}


def test_the_hardest_images_are_mapped_and_every_cut_adds_up_to_the_score(tmp_path, capsys):
    path = tiny(tmp_path)
    assert otce("map", path, "net-0", "birch") == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"otce map {path}")
    folder = tmp_path / "store/runs/test/maps/net-0/birch"
    assert f"maps: {folder}" in printed.out
    told = described(folder)
    for cut in ("classes", "boundary", "frequency"):
        lost = sum(part["lost_nats"] for part in told[cut])
        assert lost == pytest.approx(-told["otce"], rel=1e-12)
        assert sum(part["n_px"] for part in told[cut]) == told["n_target_px"] == 64
    hardest = told["hardest_images"]
    means = [image["mean_nats"] for image in hardest]
    assert means == sorted(means, reverse=True)
    assert sum(image["lost_nats"] for image in hardest) == pytest.approx(-told["otce"])
    assert [image["id"] for image in told["images"]] == [image["id"] for image in hardest[:3]]
    for image in told["images"]:
        arrays = np.load(folder / f"{image['name']}.npz")
        assert arrays["risk"].shape == arrays["served"].shape == (48, 64)
        assert arrays["mask"].sum() == image["scored_px"]
        np.testing.assert_array_equal(np.isnan(arrays["risk"]), ~arrays["mask"])
        assert set(np.unique(arrays["served"])) <= {-1, *arrays["source_classes"].tolist()}
        mean = arrays["risk"][arrays["mask"]].mean(dtype=float)
        assert image["mean_nats"] == pytest.approx(mean)
        assert (folder / f"{image['name']}.png").read_bytes().startswith(b"\x89PNG")
        assert f"{image['id']}: risk {mean:.4f}" in printed.out
    assert len(list_paths(str(folder))) == 7


def test_equal_commands_give_equal_bytes_wherever_they_write(tmp_path):
    path = tiny(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        assert otce("map", path, "net-0", "birch", "--out", folder) == 0
    assert bytes_of(first) == bytes_of(second)
    assert not (tmp_path / "store/runs").exists()


def test_images_are_chosen_by_id_and_patches_stand_beside_them(tmp_path):
    path, folder = tiny(tmp_path), tmp_path / "out"
    chosen = ["birch/000004", "birch/000001"]
    arguments = ["map", path, "net-0", "birch", "--patches", "--out", folder]
    arguments += ["--set", "score.relaxation=source"]
    assert otce(*arguments, "--images", *chosen) == 0
    told = described(folder)
    assert [image["id"] for image in told["images"]] == chosen
    for image in told["images"]:
        arrays = np.load(folder / f"{image['name']}.npz")
        assert list(arrays["patch_risk"].shape) == image["patches"] == [15, 20]
        scored = np.isfinite(arrays["patch_risk"])
        assert scored.any()
        assert (arrays["patch_risk"][scored] >= 0).all()


def test_a_kept_source_side_gives_the_same_map_without_source_images(tmp_path, capsys):
    """Its draw is that of a run: extracted anew in this test, and scored by `score_pixels`."""
    for name in "abcd":
        for side, pixels in (("i", photo(seed=ord(name))), ("l", mask(seed=ord(name)))):
            file = tmp_path / f"data/{side}/{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(pixels))
    config = zoo_config(models=1, targets=1, repetitions=1)
    config["datasets"]["alder"] = {
        "layout": "folder:data",
        "images": "i/*.png",
        "labels": "l/*.png",
        "classes": [f"class-{i}" for i in range(8)],
    }
    run = load_config(str(write_zoo(tmp_path, config)))
    found = open_readable("alder", run.datasets["alder"])
    config["datasets"]["alder"]["digest"] = found.digest
    path = write_zoo(tmp_path, config)
    images, kept = tmp_path / "from images", tmp_path / "kept"
    assert otce("map", path, "net-0", "birch", "--out", images) == 0
    source = _source_draw(run, found)
    store = Store(run.execution.store)
    store.put(draw_key(source[0], 0), encode(source[0], {0: source[1]}))
    shutil.rmtree(tmp_path / "data")
    assert otce("map", path, "net-0", "birch", "--out", kept) == 0
    assert described(images)["source_was_kept"] is False
    assert described(kept) == described(images) | {"source_was_kept": True}
    for name in list_paths(str(images)):
        if name != "maps.json":
            assert (kept / name).read_bytes() == (images / name).read_bytes()
    capsys.readouterr()
    assert otce("map", path, "net-0", "birch", "--patches", "--out", kept) != 0
    assert "no image matches i/*.png" in capsys.readouterr().err


def _source_draw(run, found):
    from flows.draws import _drawn  # noqa: PLC0415
    from otce.features import extract  # noqa: PLC0415

    model = run.models["net-0"]
    side = model_signature(
        run,
        "net-0",
        model=model_identity(model, run.execution.python_path),
        source="alder",
        source_digest=found.digest,
        classes=found.dataset.classes,
    )
    loaded = load_model("net-0", model, python_path=run.execution.python_path)
    sample = _drawn(found, "alder", run, Store(run.execution.store))
    pixels = [(sample.y_px[sample.item == n], sample.x_px[sample.item == n]) for n in range(4)]
    images = found.dataset.items, found.dataset.image
    rows = extract("net-0", loaded.features, *images, pixels, batch_size=1)
    features = np.concatenate([features for (features,) in rows])
    return side, Draw(features, sample.label, sample.item)


def test_the_score_is_that_of_the_first_draw(tmp_path):
    from flows.draws import first_draw  # noqa: PLC0415
    from flows.progress import Console, Progress  # noqa: PLC0415

    path, folder = tiny(tmp_path), tmp_path / "out"
    assert otce("map", path, "net-0", "birch", "--out", folder) == 0
    run = load_config(str(path))
    draw = first_draw(run, "net-0", "birch", Progress(Console(stderr=True)))
    score = score_pixels(*draw.source[:2], draw.features, draw.sample.label)
    assert described(folder)["otce"] == pytest.approx(score.otce, abs=1e-9)
    assert described(folder)["normalized"] == pytest.approx(score.normalized, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["net-9", "birch"], "no model is called 'net-9'; there are net-0"),
        (["net-0", "bitch"], "no target is called 'bitch'; there are birch"),
        (["net-0", "alder"], "no target is called 'alder'"),
        (["net-0", "birch", "--images", "birch/000099"], "the target has no image 'birch/000099'"),
        (["net-0", "birch", "--set", "score.solver=emd"], "solver emd leaves no potentials"),
        (["net-0"], "--target requires an argument"),
    ],
)
def test_what_cannot_be_mapped_is_told_with_exit_code_2(tmp_path, capsys, arguments, told):
    path = tiny(tmp_path)
    assert otce("map", path, *arguments) == 2
    printed = capsys.readouterr()
    assert told in re.sub(r"\s+", " ", printed.err + printed.out)


def test_hostile_ids_write_safe_names_inside_the_folder_only(tmp_path, capsys):
    names = ["a b", "'; rm -rf ~", "<script>", "名前", "-o", "x" * 180]
    for position, name in enumerate(names):
        for side, pixels in (("i", photo(seed=position)), ("l", mask(seed=position))):
            file = tmp_path / f"data/{side}/{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(pixels))
    config = zoo_config(models=1, targets=1, repetitions=1)
    config["datasets"]["birch"] = {
        "layout": "folder:data",
        "images": "i/*.png",
        "labels": "l/*.png",
        "classes": [f"class-{i}" for i in range(8)],
    }
    config["models"]["<b>net"] = config["models"].pop("net-0")
    path = write_zoo(tmp_path, config)
    chosen = [name for name in names if name != "-o"]
    assert otce("map", path, "<b>net", "birch", "--images", *chosen) == 0, capsys.readouterr()
    (folder,) = (tmp_path / "store/runs/test/maps").glob("*/birch")
    written = list_paths(str(folder))
    assert len(written) == 2 * len(chosen) + 1
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name) for name in written)
    assert re.fullmatch(r"[a-z0-9-]+", folder.parent.name)
    assert {image["id"] for image in described(folder)["images"]} == set(chosen)


def test_two_ids_never_share_a_file_name():
    ids = [*HOSTILE, "a/b", "a-b", "a b", "", ".", "..", "a\udcff", "a" * 64, "a" * 65]
    names = {file_name(id_) for id_ in ids}
    assert len(names) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", name) for name in names)
