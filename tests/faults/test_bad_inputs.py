"""Bad inputs of reliability.md, section 4: refused before a number is taken from them.

| id | covered elsewhere |
| --- | --- |
| B6 | datasets/test_folder_refusals.py, datasets/test_label_rule.py, datasets/test_decode.py (palettes, depths, colours) |
| B8 | datasets/test_folder_refusals.py, datasets/test_layouts.py (sizes, missing files, EXIF, lists), test_config_hostile.py |
| B9 | scores/test_otce_refusals.py (both dimensions are told) |
| B10 | zoo/test_tap.py (close names, ranks, dictionaries), zoo/test_source_model.py |
| B11 | zoo/test_honesty.py (dropout, noise, batch statistics), zoo/test_model.py (evaluation mode) |
| B12 | datasets/test_decode.py (modes, alpha, CMYK, 16 bits) |
| B13 | datasets/test_folder_refusals.py, datasets/test_decode.py (every truncation), flows/test_run.py (left out by a run) |
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
from otce.bad_items import open_readable
from otce.census import count_labels, dataset_digest, draw_pixels, item_digests
from otce.config import FolderDataset, RunConfig
from otce.dataset_config import ImageFiles
from otce.errors import CorruptDataError, DataError, ModelError
from otce.features import extract
from otce.model_config import Preprocessing
from otce.zoo import SourceModel
from tests.folders import CLASSES, HEIGHT_WIDTH, Place, mask, pair, photo, png
from tests.zoo_nets import N_CLASSES, Net, seeded

# Files of an image and of a mask.
CORRUPT = {
    "corrupt JPEG": {"i": png(photo(), kind="jpeg")[:-20]},
    "truncated PNG": {"i": png(photo())[:200], "l": png(mask())[:60]},
    "zero bytes": {"i": b"", "l": b""},
    "text": {"i": b"no image", "l": b"no image"},
}
KINDS = [(kind, f"{side}/b") for kind, sides in CORRUPT.items() for side in sides]
TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.fixture
def place(tmp_path):
    return Place(str(tmp_path / "data"), {})


def folder(place, **fields):
    given = {"images": "i/*.png", "labels": "l/*.png", "classes": CLASSES} | fields
    return FolderDataset(layout=f"folder:{place.uri}", **given)


def readable(place, **fields):
    return open_readable(folder(place, **fields))


def digest(found):
    dataset = found.dataset
    return dataset_digest(dataset, item_digests(dataset, dataset.items))


def said(place, tmp_path, **fields):
    """What validate finds, and what it prints, of one target and no model that loads."""
    data = {"bay": folder(place, **fields).model_dump(), "alder": {"layout": "scenes:alder"}}
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
    assert readable(place, items="list.txt").notes == ()


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

    model(seeded(Watching)).feature_maps([photo()])
    assert set(seen) == {(True, False)}


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 1)])
def test_an_image_smaller_than_the_stride_has_features_at_its_pixels(size):
    """B12."""
    rows, columns = (index.astype(np.int32).ravel() for index in np.indices(size))
    [found] = extract(
        model(seeded(), "head"), ["a"], lambda _: photo(0, size), [(rows, columns)], batch_size=1
    )
    assert found.shape == (size[0] * size[1], 8)
    assert np.isfinite(found).all()


def test_an_image_that_is_too_small_for_a_network_is_refused_with_its_size():
    """B12."""
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.Conv2d(8, N_CLASSES, 1))
    with pytest.raises(ModelError, match=r"fails on images of 1x1 pixels: .*preprocessing.size_px"):
        model(network).feature_maps([photo(0, (1, 1))])


def test_the_readme_says_how_every_kind_of_image_is_read():
    """B12."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("| images | JPEG")]
    for kind in ("grey is repeated", "alpha dropped", "CMYK converted", "16-bit", "EXIF"):
        assert kind in line


def with_bad(place, *names, kind="text"):
    place.write(*(pair(name, seed) for seed, name in enumerate("abcde")))
    return place.write({f"{name}.png": CORRUPT[kind][name[0]] for name in names})


@pytest.mark.parametrize(("kind", "bad"), KINDS)
def test_a_corrupt_item_is_an_error_unless_it_may_be_left_out(place, kind, bad):
    """B13."""
    with_bad(place, bad, kind=kind)
    dataset = readable(place).dataset
    with pytest.raises(DataError, match=rf"{bad}\.png: "):
        count_labels(dataset, dataset.items)
    found = readable(place, max_bad_items=1)
    assert [item.id for item in found.dataset.items] == list("acde")
    assert found.notes == ("1 corrupt items left out: b",)
    assert found.left_out.keys() == {"b"}
    assert f"{place.uri}/{bad}.png: " in found.left_out["b"]
    assert len(count_labels(found.dataset, found.dataset.items)) == 4


def test_more_bad_items_than_allowed_are_an_error_that_names_them(place):
    """B13."""
    with_bad(place, "i/b", "l/c", "i/e")
    for most in (1, 2):
        with pytest.raises(DataError) as caught:
            readable(place, max_bad_items=most)
        message = str(caught.value)
        assert f"3 of 5 items are corrupt and max_bad_items is {most}: b, c, e; " in message
        assert f"{place.uri}/l/c.png: 8 bytes that are neither" in message
    assert len(readable(place, max_bad_items=3).dataset.items) == 2
    with_bad(place, *(f"i/{name}" for name in "abcde"))
    with pytest.raises(DataError, match="5 of 5 items are corrupt"):
        readable(place, max_bad_items=9)


@pytest.mark.parametrize(
    "files",
    [
        {"i/b.png": png(photo(0, (4, 5)))},
        {"i/b.png": png(photo(), exif=TURNED)},
        {"l/b.png": png(photo())},
        {"l/b.png": png(mask().astype(np.uint16) + 300)},
    ],
    ids=["size", "turned", "colour map", "unknown ids"],
)
def test_only_corrupt_items_are_left_out(place, files):
    """B13: what is wrong with labels or sizes is wrong with the configuration, or the data set."""
    with_bad(place)
    place.write(files)
    dataset = readable(place, max_bad_items=9).dataset
    assert len(dataset.items) == 5
    with pytest.raises(DataError) as caught:
        count_labels(dataset, dataset.items)
    assert not isinstance(caught.value, CorruptDataError)


def test_what_is_left_out_names_every_object(place):
    """B13: the data set is the one that never had the item, and no other."""
    with_bad(place)
    whole = digest(readable(place))
    assert digest(readable(place, max_bad_items=5)) == whole
    with_bad(place, "i/b")
    without_b = digest(readable(place, max_bad_items=1))
    with_bad(place, "l/c")
    without_c = digest(readable(place, max_bad_items=1))
    assert len({whole, without_b, without_c}) == 3
    for name in ("i/c.png", "l/c.png"):
        Path(f"{place.uri}/{name}").unlink()
    assert digest(readable(place)) == without_c


def test_nothing_is_decoded_where_nothing_may_be_left_out(place, monkeypatch):
    with_bad(place, "i/b")
    monkeypatch.setattr("otce.datasets.image_files.decode_image", None)
    monkeypatch.setattr("otce.datasets.image_files.count_values", None)
    assert len(readable(place).dataset.items) == 5


def test_validate_counts_and_names_what_is_left_out(place, tmp_path):
    """B13."""
    with_bad(place, "i/b", "l/d")
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


def test_every_layout_of_files_has_the_limit():
    assert ImageFiles.model_fields["max_bad_items"].default == 0


@pytest.mark.parametrize("changed", ["i/b.png", "l/b.png"])
def test_a_file_that_changed_after_the_listing_is_not_counted_under_its_old_name(place, changed):
    """B16: counts are kept by the digest of what was listed, and would be served for ever."""
    with_bad(place)
    dataset = readable(place).dataset
    digests = item_digests(dataset, dataset.items)
    other = png(photo(9)) if changed.startswith("i") else png(mask(9))
    place.write({changed: other})
    with pytest.raises(DataError, match=f"{changed}: changed since the data set was listed"):
        count_labels(dataset, dataset.items, digests)
    fresh = item_digests(dataset, dataset.items)
    assert count_labels(dataset, dataset.items, fresh).shape == (5, 3)


def test_a_mask_that_changed_but_not_in_its_counts_is_not_drawn_from(place):
    """B16: a mask turned over has as many pixels of every class, at other places."""
    with_bad(place)
    dataset = readable(place).dataset
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
