"""Corrupt items are errors, or left out as far as the configuration lets them be (B13)."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from otce.census import count_labels
from otce.dataset_config import ImageFiles
from otce.errors import CorruptDataError, DataError
from otce.readable import open_readable
from tests.folders import Place, mask, pair, photo, png

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


def readable(place, **fields):
    return open_readable("folder", place.config(**fields))


def with_bad(place, *names, kind="text"):
    place.write(*(pair(name, seed) for seed, name in enumerate("abcde")))
    return place.write({f"{name}.png": CORRUPT[kind][name[0]] for name in names})


@pytest.mark.parametrize(("kind", "bad"), KINDS)
def test_a_corrupt_item_is_an_error_unless_it_may_be_left_out(place, kind, bad):
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
    """What is wrong with labels or sizes is wrong with the configuration, or the data set."""
    with_bad(place)
    place.write(files)
    dataset = readable(place, max_bad_items=9).dataset
    assert len(dataset.items) == 5
    with pytest.raises(DataError) as caught:
        count_labels(dataset, dataset.items)
    assert not isinstance(caught.value, CorruptDataError)


def test_what_is_left_out_names_every_object(place):
    """The data set is the one that never had the item, and no other."""
    with_bad(place)
    whole = readable(place).digest
    assert readable(place, max_bad_items=5).digest == whole
    with_bad(place, "i/b")
    without_b = readable(place, max_bad_items=1).digest
    with_bad(place, "l/c")
    without_c = readable(place, max_bad_items=1).digest
    assert len({whole, without_b, without_c}) == 3
    for name in ("i/c.png", "l/c.png"):
        Path(f"{place.uri}/{name}").unlink()
    assert readable(place).digest == without_c


def test_nothing_is_decoded_where_nothing_may_be_left_out(place, monkeypatch):
    with_bad(place, "i/b")
    monkeypatch.setattr("otce.datasets.image_files.decode_image", None)
    monkeypatch.setattr("otce.datasets.image_files.count_values", None)
    assert len(readable(place).dataset.items) == 5


def test_every_layout_of_files_has_the_limit():
    assert ImageFiles.model_fields["max_bad_items"].default == 0
