"""Bad inputs of reliability.md, section 4: refused before a number is taken from them.

| id | covered elsewhere |
| --- | --- |
| B6 | datasets/test_folder_refusals.py, datasets/test_label_rule.py, datasets/test_decode.py (palettes, depths, colours) |
| B8 | datasets/test_folder_refusals.py, datasets/test_layouts.py (sizes, missing files, EXIF, lists), test_config_hostile.py |
| B9 | scores/test_otce_refusals.py (both dimensions are told) |
| B10 | zoo/test_tap.py (close names, ranks, dictionaries), zoo/test_source_model.py |
| B11 | zoo/test_honesty.py (dropout, noise, batch statistics), zoo/test_model.py (evaluation mode) |
| B12 | datasets/test_decode.py (modes, alpha, CMYK, 16 bits) |
| B13 | test_readable.py, datasets/test_folder_refusals.py, datasets/test_decode.py (every truncation), flows/test_run.py (left out by a run) |
| B16 | tasks/test_extract.py, tasks/test_census.py (nothing is stored), test_census.py, datasets/test_folder.py |
| B17 | zoo/test_hf_nets.py (a revision that moved), zoo/test_model.py (weights of another digest) |
"""  # noqa: E501 - a table

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from rich.console import Console
from torch import nn

from flows.validate import validate
from otce.census import count_labels, draw_pixels, item_digests
from otce.config import RunConfig
from otce.errors import DataError, ModelError
from otce.features import extract
from otce.model_config import Preprocessing
from otce.zoo import SourceModel
from tests.folders import HEIGHT_WIDTH, Place, mask, pair, photo, png
from tests.zoo_nets import N_CLASSES, Net, seeded

TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.fixture
def place(tmp_path):
    return Place(str(tmp_path / "data"), {})


def five(place):
    return place.write(*(pair(name, seed) for seed, name in enumerate("abcde")))


def said(place, tmp_path, **fields):
    """What validate finds, and what it prints, of one target and no model that loads."""
    data = {"bay": place.config(**fields).model_dump(), "alder": {"layout": "scenes:alder"}}
    net = {"reference": "python:no_such:net", "weights": "/none", "source": "alder"}
    config = RunConfig.model_validate(
        {
            "datasets": data,
            "models": {"net": net},
            "targets": ["bay"],
            "sampling": {"pixels": 50, "repetitions": 2},
            "execution": {"store": str(tmp_path / "store")},
        }
    )
    printed = io.StringIO()
    problems = validate(config, Console(file=printed, width=200))
    return [p for p in problems if "no_such" not in p], printed.getvalue()


def saved(pixels, kind):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (png(np.full(HEIGHT_WIDTH, -1, np.int16).astype(np.uint16)), "label id 65535 (128 pixels)"),
        (png(np.full(HEIGHT_WIDTH, 300, np.uint16)), "label id 300 (128 pixels)"),
        (saved(np.zeros(HEIGHT_WIDTH, np.float32), "tiff"), "neither a JPEG nor a PNG image"),
        (saved(np.full(HEIGHT_WIDTH, -1, np.int32), "tiff"), "neither a JPEG nor a PNG image"),
    ],
    ids=["negative in 16 bits", "16 bits", "float", "negative"],
)
def test_values_that_are_no_class_are_told_with_count_and_item(place, label, says):
    """B6: a PNG holds neither floats nor negative values; -1 in 16 bits is 65535."""
    place.write(pair("a"), pair("b"), {"l/b.png": label})
    assert f"{place.uri}/l/b.png: " in place.refusal()
    assert says in place.refusal()


def test_validate_tells_all_that_is_wrong_with_files_together(place, tmp_path):
    """B8."""
    place.write(*(pair(name) for name in ("good", "size", "turned", "text")))
    place.write({"i/size.png": png(photo(0, (4, 5))), "i/text.png": b"no image"})
    place.write({"i/turned.png": png(photo(), exif=TURNED)})
    [problem], _ = said(place, tmp_path)
    for told in (
        "i/size.png is 5x4 but its label is 16x8; nothing is resized silently",
        "i/turned.png: EXIF orientation 6",
        "i/text.png: 8 bytes that are neither",
    ):
        assert told in problem


def test_validate_names_labels_that_no_image_has(place, tmp_path):
    """B8: an extra label is no error, as many releases have some, and is not passed over."""
    place.write(pair("a"), {"l/spare.png": b"", "l/other.png": b"", "l/notes.txt": b""})
    problems, printed = said(place, tmp_path)
    assert problems == []
    assert "bay: 2 labels without an image left out: l/other.png, l/spare.png" in printed
    place.write({"list.txt": b"a"})
    assert place.open(items="list.txt").notes == ()


def model(network, tap="logits"):
    return SourceModel(
        "unet", network.eval(), Preprocessing(), tap, torch.device("cpu"), n_classes=N_CLASSES
    )


def test_networks_run_without_gradients():
    """B11."""
    seen = []

    class Watching(Net):
        def forward(self, image):
            seen.append((torch.is_inference_mode_enabled(), self.training))
            return super().forward(image)

    model(seeded(Watching)).features([photo()])[0]
    assert set(seen) == {(True, False)}


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 1)])
def test_an_image_smaller_than_the_stride_has_features_at_its_pixels(size):
    """B12."""
    rows, columns = (index.astype(np.int32).ravel() for index in np.indices(size))
    maps = model(seeded(), "head").features
    [(found,)] = extract(
        "net", maps, ["a"], lambda _: photo(0, size), [(rows, columns)], batch_size=1
    )
    assert found.shape == (size[0] * size[1], 8)
    assert np.isfinite(found).all()


def test_an_image_that_is_too_small_for_a_network_is_refused_with_its_size():
    """B12."""
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.Conv2d(8, N_CLASSES, 1))
    with pytest.raises(ModelError, match=r"fails on images of 1x1 pixels: .*preprocessing.size_px"):
        model(network).features([photo(0, (1, 1))])[0]


def test_the_readme_says_how_every_kind_of_image_is_read():
    """B12."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("| images | JPEG")]
    for kind in ("grey is repeated", "alpha dropped", "CMYK converted", "16-bit", "EXIF"):
        assert kind in line


def test_validate_counts_and_names_what_is_left_out(place, tmp_path):
    """B13."""
    five(place).write({"i/b.png": b"no image", "l/d.png": b"no image"})
    problems, printed = said(place, tmp_path, max_bad_items=2)
    assert problems == []
    assert "bay: 2 corrupt items left out: b, d" in printed
    assert f"bay: {place.uri}/l/d.png: 8 bytes that are neither" in printed
    [problem], _ = said(place, tmp_path, max_bad_items=1)
    assert "2 of 5 items are corrupt and max_bad_items is 1" in problem


def test_half_an_image_is_never_taken_for_a_whole(place):
    """B13: Pillow would fill the rest with grey, were it asked to."""
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    for package in ("otce", "tasks", "flows"):
        for path in (Path(__file__).parents[2] / package).rglob("*.py"):
            assert "LOAD_TRUNCATED" not in path.read_text(), path


@pytest.mark.parametrize("changed", ["i/b.png", "l/b.png"])
def test_a_file_that_changed_after_the_listing_is_not_counted_under_its_old_name(place, changed):
    """B16: counts are kept by the digest of what was listed, and would be served for ever."""
    five(place)
    dataset = place.open()
    digests = item_digests(dataset, dataset.items)
    other = png(photo(9)) if changed.startswith("i") else png(mask(9))
    place.write({changed: other})
    with pytest.raises(DataError, match=f"{changed}: changed since the data set was listed"):
        count_labels(dataset, dataset.items, digests)
    fresh = item_digests(dataset, dataset.items)
    assert count_labels(dataset, dataset.items, fresh).shape == (5, 3)


def test_a_mask_that_changed_but_not_in_its_counts_is_not_drawn_from(place):
    """B16: a mask turned over has as many pixels of every class, at other places."""
    five(place)
    dataset = place.open()
    digests = item_digests(dataset, dataset.items)
    counts = count_labels(dataset, dataset.items, digests)
    place.write({"l/b.png": png(np.ascontiguousarray(mask(1)[::-1]))})
    assert (count_labels(dataset, dataset.items) == counts).all()

    def drawn(**known):
        return draw_pixels(
            dataset,
            range(5),
            counts.sum(axis=1),
            pixels=200,
            repetitions=1,
            seed=0,
            digest_of_dataset="0" * 64,
            **known,
        )

    with pytest.raises(DataError, match=r"l/b\.png: changed since the data set was listed"):
        drawn(label_digests=[label for _, label in digests])
    assert len(drawn(label_digests=[d for _, d in item_digests(dataset, dataset.items)]).item)
