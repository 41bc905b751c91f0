"""Whatever is unclear about a folder is refused with the item, the finding and the remedy."""

import numpy as np
import pytest
from PIL import Image

from otce.census import count_labels
from otce.errors import DataError, OtceError, StoreError
from otce.sampling import pixels_to_draw
from tests.folders import HEIGHT_WIDTH, Place, mask, pair, photo, png, raw_png

TURNED = Image.Exif()
TURNED[0x0112] = 6
STRANGE = mask().astype(np.uint8)
STRANGE[0] = 3
# Bytes of the image or the mask of one item, and what its error must say.
BAD_IMAGES = {
    "corrupt JPEG": (png(photo(), kind="jpeg")[:-20], ["is corrupt", "replace it"]),
    "truncated PNG": (png(photo())[:200], ["is corrupt", "replace it"]),
    "zero bytes": (b"", ["0 bytes that are neither a JPEG nor a PNG", "replace it"]),
    "text": (b"no image", ["8 bytes that are neither a JPEG nor a PNG", "replace it"]),
    "other size": (png(photo(0, (4, 5))), ["is 5x4 but its label is 16x8", "give both one size"]),
    "turned": (png(photo(), kind="jpeg", exif=TURNED), ["EXIF orientation 6", "save it upright"]),
    "16 bits": (png(photo()[:, :, 0].astype(np.uint16)), ["I;16", "8-bit", "convert it"]),
    "huge": (raw_png(50_000, 50_000, 8, 2, []), ["50000x50000", "64000000", "max_image_px"]),
}
BAD_LABELS = {
    "truncated PNG": (png(mask())[:60], ["is corrupt", "replace it"]),
    "zero bytes": (b"", ["0 bytes that are neither a JPEG nor a PNG", "replace it"]),
    "text": (b"no image", ["8 bytes that are neither a JPEG nor a PNG", "replace it"]),
    "colour map": (png(photo()), ["mode RGB", "one channel of class ids", "colour map into ids"]),
    "JPEG": (png(mask(), kind="jpeg"), ["JPEG, which changes values", "masks are PNG files"]),
    "id outside": (png(STRANGE), ["label id 3 (16 pixels)", "0..2", "label_map or to ignore"]),
    "huge": (raw_png(50_000, 50_000, 8, 0, []), ["50000x50000", "64000000", "max_image_px"]),
}


@pytest.fixture
def place(store_uri, store_options):
    return Place(store_uri, store_options)


@pytest.fixture
def local(tmp_path):
    return Place(str(tmp_path / "data"), {})


def refused(message, *says):
    assert [said for said in says if said not in message] == [], message


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_told_with_its_place(local, name):
    data, says = BAD_IMAGES[name]
    local.write(pair("a"), pair("bad"), {"i/bad.png": data})
    refused(local.refusal(), f"{local.uri}/i/bad.png", *says)


@pytest.mark.parametrize("name", BAD_LABELS)
def test_a_bad_mask_is_told_with_its_place(local, name):
    data, says = BAD_LABELS[name]
    local.write(pair("a"), pair("bad"), {"l/bad.png": data})
    refused(local.refusal(), f"{local.uri}/l/bad.png", *says)


def test_bad_items_are_told_together(place):
    place.write(pair("good"), pair("bad-1"), pair("bad-2"), pair("bad-3"))
    place.write({"i/bad-1.png": b"", "l/bad-2.png": png(photo()), "l/bad-3.png": png(STRANGE)})
    refused(place.refusal(), *(f"{place.uri}/{n}" for n in ("i/bad-1", "l/bad-2", "l/bad-3")))


def test_one_frame_with_every_pixel_ignored_is_counted_and_only_all_are_refused(place):
    void = png(np.full(HEIGHT_WIDTH, 255, np.uint8))
    counts = place.write(pair("a"), pair("void"), {"l/void.png": void}).counts()
    assert counts[1].tolist() == [0, 0, 0]
    assert pixels_to_draw(int(counts.sum()), 5, shrink=False, where="data set city") == 5
    place.write({"l/a.png": void})
    with pytest.raises(DataError) as caught:
        pixels_to_draw(int(place.counts().sum()), 5, shrink=True, where="data set city")
    refused(str(caught.value), "data set city: every pixel is ignored", "ignore and label_map")


def test_fewer_pixels_than_asked_for_are_refused_with_both_numbers():
    with pytest.raises(DataError) as caught:
        pixels_to_draw(99, 100, shrink=False, where="data set city")
    refused(str(caught.value), "data set city: 99 labelled pixels", "the 100 asked", "shrink")


def test_files_that_are_missing_are_told_together(place):
    place.write(pair("a"), {"i/b.png": b"", "i/c.png": b"", "l/d.png": b""})
    refused(place.refusal(), "2 of 3 items lack a file: b (label), c (label)")
    place.write({"list.txt": b"a\nb\nd\ne\n"})
    says = f"{place.uri}: 3 of 4 items lack a file: b (label), d (image), e (image)"
    refused(place.refusal(items="list.txt"), says, "i/*.png", "l/*.png", "add the files or take")


def test_a_folder_without_images_is_told(place):
    refused(place.refusal(), f"{place.uri}: no image matches i/*.png", "the one * of the pattern")
    place.write({"other/a.png": b""})
    refused(place.refusal(), f"{place.uri}: no image matches i/*.png", "the one * of the pattern")


def test_a_bucket_that_does_not_exist_is_told(s3_server):
    place = Place("s3://otce-no-such-bucket/data", {"s3": {"endpoint_url": s3_server}})
    assert "otce-no-such-bucket" in place.refusal(OtceError)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "the list is empty; write one item id a line"),
        (b" \n\n", "the list is empty"),
        (b"a\nb\na\n", "listed twice: a; list every item once"),
        (b"i/a.png l/a.png\ni/a.png l/b.png", "listed twice: i/a; list every item once"),
        (b"i/a.png l/a.png 3", "a line of 3 words (i/a.png, l/a.png, 3); write an item id, or"),
        (b"\xff\xfea", "no text in UTF-8"),
        (b"none", "1 of 1 items lack a file: none (image)"),
        (b"../outside", "1 of 1 items lack a file: ../outside (image)"),
        (b"../i/a.png /etc/passwd", "1 of 1 items lack a file: ../i/a (image)"),
        (b"i/a.png ../l/a.png", "1 of 1 items lack a file: i/a (label)"),
    ],
)
def test_a_bad_list_is_told(local, text, says):
    Place(f"{local.uri}/..", {}).write(pair("a"))
    local.write(pair("a"), pair("b"), {"list.txt": text})
    refused(local.refusal(items="list.txt"), local.uri, says)


def test_a_list_that_does_not_exist_is_told(place):
    place.write(pair("a"))
    refused(place.refusal(StoreError, items="none.txt"), f"{place.uri}/none.txt: no such object")


def test_a_long_list_is_read_in_no_time(local):
    names = [f"{n:05d}" for n in range(30_000)]
    local.write(pair(names[0]), {"list.txt": "\n".join(names).encode()})
    assert "29999 of 30000 items lack a file" in local.refusal(items="list.txt")


def test_an_image_that_vanished_is_told(place):
    dataset = place.write(pair("a")).open()
    other = Place(f"{place.uri}/none", place.options).open()
    [item] = dataset.items
    gone = type(item)(id="a", image=f"{place.uri}/none/i/a.png", label=item.label)
    with pytest.raises(StoreError, match=r"none/i/a\.png: no such object"):
        count_labels(other, [gone])
