"""A folder of images and masks, on every kind of store."""

import io

import numpy as np
import pytest
from PIL import Image

from otce.census import item_digests
from otce.errors import DataError
from tests.folders import HEIGHT_WIDTH, Place, mask, pair, photo, png


@pytest.fixture
def place(store_uri, store_options):
    return Place(store_uri, store_options)


def ids(dataset):
    return [item.id for item in dataset.items]


def test_images_and_masks_are_paired_by_id_and_read_as_drawn(place):
    dataset = place.write(pair("b", 1), pair("a", 2)).open()
    assert ids(dataset) == ["a", "b"]
    for item, seed in zip(dataset.items, (2, 1), strict=True):
        assert np.array_equal(dataset.image(item), photo(seed))
        drawn = mask(seed).astype(np.int16)
        assert np.array_equal(dataset.label(item), np.where(drawn == 255, -1, drawn))


def test_the_star_may_span_folders(place):
    stem = "aachen/aachen_000000_000019"
    ulm = "ulm/ulm_000003_000019"
    files = {}
    for name in (stem, ulm):
        files[f"leftImg8bit/train/{name}_leftImg8bit.png"] = png(photo())
        files[f"gtFine/train/{name}_gtFine_labelIds.png"] = png(mask())
        files[f"gtFine/train/{name}_gtFine_color.png"] = png(photo())
    files["leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png"] = png(photo())
    dataset = place.write(files).open(
        images="leftImg8bit/train/*_leftImg8bit.png", labels="gtFine/train/*_gtFine_labelIds.png"
    )
    assert ids(dataset) == [stem, ulm]
    assert np.array_equal(dataset.image(dataset.items[1]), photo())


def test_jpeg_photos_and_palette_masks_are_read(place):
    palette = Image.fromarray(mask(), "L")
    palette.putpalette([(7 * i + 3) % 256 for i in range(768)])
    buffer = io.BytesIO()
    palette.save(buffer, "png")
    place.write({"i/a.jpg": png(photo(), kind="jpeg"), "l/a.png": buffer.getvalue()})
    dataset = place.open(images="i/*.jpg")
    expected = np.where(mask() == 255, -1, mask().astype(np.int16))
    assert np.array_equal(dataset.label(dataset.items[0]), expected)
    assert dataset.image(dataset.items[0]).shape == (*HEIGHT_WIDTH, 3)


def test_files_that_no_pattern_means_are_left_out(place):
    other = {
        "i/a.txt": b"",
        "i/.a.png": b"half",
        "l/a_color.png": b"",
        "l/z.png": b"",
        "x.png": b"",
    }
    assert ids(place.write(pair("a"), other).open()) == ["a"]


@pytest.mark.parametrize("lines", ["b\na\n", "a\r\nb", "\ufeffa\n\n  b  \n"])
def test_a_list_of_ids_chooses_the_items(place, lines):
    place.write(pair("a"), pair("b", 1), pair("c", 2), {"list.txt": lines.encode()})
    assert ids(place.open(items="list.txt")) == ["a", "b"]


def test_a_list_of_two_columns_names_the_files(place):
    place.write(pair("a"), {"i/city/b": png(photo(1)), "l/c.png": png(mask(1))})
    place.write({"list.txt": b"i/a.png l/c.png\ni/city/b\tl/a.png\n"})
    dataset = place.open(images="i/*", items="list.txt")
    assert [(item.id, item.label.rpartition("/")[2]) for item in dataset.items] == [
        ("i/a", "c.png"),
        ("i/city/b", "a.png"),
    ]
    assert np.array_equal(dataset.image(dataset.items[1]), photo(1))


def test_the_digest_is_of_items_and_bytes_and_not_of_places_and_order(place):
    files = {**pair("a"), **pair("b", 1), "ab.txt": b"a\nb\n", "ba.txt": b"b\na\n"}
    digest = place.write(files).digest()
    moved = Place(f"{place.uri}-moved", place.options).write(files)
    assert moved.digest() == digest
    assert place.digest(items="ab.txt") == place.digest(items="ba.txt") == digest
    assert place.digest(max_image_px=200) == digest


def test_the_digest_changes_with_every_byte_item_and_rule(place):
    place.write(pair("a"), pair("b", 1), {"a.txt": b"a"})
    digests = [
        place.digest(),
        place.digest(items="a.txt"),
        place.digest(classes=("road", "sky", "sea")),
        place.digest(ignore={250, 255}),
        place.digest(label_map={0: 1, 1: 0, 2: 2}),
        place.write({"i/a.png": png(photo(3))}).digest(),
        place.write({"l/a.png": png(mask(3))}).digest(),
        place.write(pair("c", 4)).digest(),
    ]
    assert len(set(digests)) == len(digests)


def test_labels_are_counted_by_class_and_ignored_ones_left_out(place):
    raw = np.zeros(HEIGHT_WIDTH, np.uint8)
    raw[0], raw[1], raw[2], raw[3, :5] = 7, 250, 255, 8
    place.write({"i/a.png": png(photo()), "l/a.png": png(raw)})
    rules = {"label_map": {0: 1, 7: 2, 8: 250}, "ignore": {250, 255}}
    assert place.counts(**rules).tolist() == [[0, 128 - 48 - 5, 16]]


def test_an_image_that_changed_since_the_census_is_refused(place):
    dataset = place.write(pair("a")).open()
    [item] = dataset.items
    [(digest, _)] = item_digests(dataset, [item])
    assert np.array_equal(dataset.image(item, digest), photo())
    place.write({"i/a.png": png(photo(1))})
    with pytest.raises(DataError, match=r"i/a\.png: changed since.*run again"):
        dataset.image(item, digest)
