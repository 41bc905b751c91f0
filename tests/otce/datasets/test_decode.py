"""Bytes become the pixels that were meant, or an error that says what to do."""

import io
import struct
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from otce.datasets.decode import count_values, decode_image, decode_label
from otce.errors import DataError
from tests.folders import raw_png

WHERE = "s3://city/i/a.png"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
PHOTO = np.arange(8 * 16 * 3, dtype=np.uint8).reshape(8, 16, 3)
IDS = (np.arange(8 * 16) % 34).astype(np.uint8).reshape(8, 16)


def image(data, max_px=10**6):
    return decode_image(data, WHERE, max_px=max_px)


def label(data, max_px=10**6):
    return decode_label(data, WHERE, max_px=max_px)


def saved(picture, kind="png", **options):
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def palette_png(ids, colours):
    picture = Image.fromarray(ids, "L")
    picture.putpalette(colours)
    return saved(picture)


def refused(read, data, *says, **limits):
    with pytest.raises(DataError) as caught:
        read(data, **limits)
    message = str(caught.value)
    assert message.startswith(f"{WHERE}: ")
    assert [said for said in says if said not in message] == [], message


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_a_png_photo_is_read_as_it_is(pixels):
    found = image(saved(pixels))
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels)


def test_a_jpeg_photo_is_read_as_pillow_reads_it():
    data = saved(PHOTO, "jpeg", quality=95)
    assert np.array_equal(image(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "png"), ("L", "jpeg"), ("1", "png"), ("P", "png"), ("CMYK", "jpeg")]
)
def test_other_modes_of_a_photo_become_rgb(mode, kind):
    data = saved(Image.fromarray(PHOTO).convert(mode), kind)
    found = image(data)
    assert found.shape == (8, 16, 3)
    assert np.array_equal(found, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_and_not_blended(mode):
    picture = Image.fromarray(PHOTO).convert(mode)
    picture.putalpha(3)
    expected = Image.fromarray(PHOTO).convert(mode[:-1]).convert("RGB")
    assert np.array_equal(image(saved(picture)), np.asarray(expected))


@pytest.mark.parametrize("transparency", [0, bytes(range(256))])
def test_a_transparent_colour_is_dropped_too(transparency):
    picture = Image.fromarray(IDS, "L").convert("P")
    plain, transparent = (saved(picture, **o) for o in ({}, {"transparency": transparency}))
    assert np.array_equal(image(transparent), image(plain))


@pytest.mark.parametrize(("colour", "channels"), [(GREY, 1), (RGB, 3), (GREY_ALPHA, 2), (RGBA, 4)])
def test_a_photo_of_16_bits_is_refused(colour, channels):
    data = raw_png(1, 1, 16, colour, [struct.pack(">H", 300) * channels])
    refused(image, data, "16", "8-bit", "convert it")


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_photo_turned_by_exif_is_refused(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(PHOTO, kind, exif=exif)
    refused(image, data, f"EXIF orientation {orientation}", "save it upright")


def test_an_upright_photo_with_exif_is_read():
    exif = Image.Exif()
    exif[0x0112] = 1
    assert np.array_equal(image(saved(PHOTO, exif=exif)), PHOTO)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_mask_is_its_values(dtype):
    ids = IDS.astype(dtype) * (1 if dtype is np.uint8 else 1000)
    found = label(saved(ids))
    assert found.dtype == dtype
    assert np.array_equal(found, ids)


@given(
    st.sampled_from([("L", np.uint8, 255), ("P", np.uint8, 255), ("I;16", np.uint16, 65_535)]),
    st.data(),
)
def test_counted_values_are_those_of_the_pixels(kind, data):
    mode, dtype, most = kind
    size = st.tuples(st.integers(1, 9), st.integers(1, 9))
    ids = data.draw(arrays.arrays(dtype, size, elements=st.integers(0, most)))
    file = palette_png(ids, list(range(256)) * 3) if mode == "P" else saved(ids)
    size_px, value_px = count_values(file, WHERE, max_px=100)
    assert size_px == ids.shape
    by_hand = {value: int((ids == value).sum()) for value in np.unique(ids).tolist()}
    assert {v: n for v, n in enumerate(value_px.tolist()) if n} == by_hand


def test_values_of_one_bit_are_counted():
    size_px, value_px = count_values(saved(IDS % 3 == 1), WHERE, max_px=1000)
    assert size_px == (8, 16)
    ones = int((IDS % 3 == 1).sum())
    assert value_px.tolist() == [IDS.size - ones, ones]


def test_a_mask_of_one_bit_is_zeros_and_ones():
    assert np.array_equal(label(saved(IDS % 2 == 1)), IDS % 2)


def test_a_palette_mask_is_its_indices_though_its_colours_disagree():
    colours = [(7 * i + 3) % 34 for i in range(256) for _ in range(3)]
    assert np.array_equal(label(palette_png(IDS, colours)), IDS)


@pytest.mark.parametrize(
    ("depth", "row", "ids"), [(1, 0b00110101, 8), (2, 0b00011011, 4), (4, 0x3A, 2), (8, 0x9C, 1)]
)
def test_palette_indices_of_any_depth_are_read(depth, row, ids):
    colours = bytes((5 * i + 1) % 256 for i in range(3 << depth))
    data = raw_png(ids, 1, depth, PALETTE, [bytes([row])], (b"PLTE", colours))
    values = [(row >> (8 - depth * (i + 1))) & (2**depth - 1) for i in range(ids)]
    assert label(data).tolist() == [values]


@pytest.mark.parametrize("depth", [2, 4])
def test_a_grey_mask_whose_values_programs_scale_is_refused(depth):
    data = raw_png(2, 1, depth, GREY, [bytes([0x12])])
    refused(label, data, f"L;{depth}", "grey of 1, 8 or 16 bits, or palette", "save ids")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_colour_map_is_no_mask(mode):
    data = saved(Image.fromarray(PHOTO).convert(mode))
    refused(label, data, f"mode {mode}", "one channel of class ids", "colour map into ids")


def test_a_jpeg_is_no_mask():
    refused(label, saved(IDS, "jpeg"), "JPEG, which changes values", "PNG", "make it anew")


@pytest.mark.parametrize("read", [image, label])
@pytest.mark.parametrize(
    "data",
    [b"", b"no image at all", b"\x89PNG", saved(PHOTO, "eps"), saved(PHOTO, "gif")],
    ids=["empty", "text", "magic", "PostScript", "GIF"],
)
def test_what_is_neither_jpeg_nor_png_is_refused(read, data):
    refused(read, data, f"{len(data)} bytes that are neither a JPEG nor a PNG image", "replace it")


@pytest.mark.parametrize("read", [image, label])
def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(read):
    data = raw_png(50_000, 50_000, 8, GREY, [])
    assert len(data) < 100
    limit = {"max_px": 64_000_000}
    refused(read, data, "50000x50000 pixels", "at most 64000000", "raise max_image_px", **limit)


@pytest.mark.parametrize("read", [image, label])
def test_the_limit_is_on_pixels(read):
    data = saved(IDS)
    assert read(data, max_px=IDS.size).shape[:2] == IDS.shape
    refused(read, data, "16x8 pixels; at most 127 are decoded", max_px=IDS.size - 1)


@pytest.mark.parametrize("pillows_own_px", [100, 40])  # it warns, and from twice its limit refuses
def test_the_configured_limit_stands_above_pillows_own(monkeypatch, pillows_own_px):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_own_px)
    assert np.array_equal(label(saved(IDS)), IDS)


def test_text_that_unpacks_to_a_bomb_is_refused():
    bomb = b"k\0\0" + zlib.compress(bytes(50_000_000))
    refused(image, raw_png(1, 1, 8, GREY, [b"\1"], (b"zTXt", bomb)), "too large", "replace it")


@pytest.mark.parametrize(("read", "kind"), [(image, "jpeg"), (image, "png"), (label, "png")])
def test_every_truncation_is_refused_or_harmless(read, kind):
    data = saved(IDS, kind)
    whole = read(data)
    for length in range(len(data)):
        with suppress(DataError):
            assert np.array_equal(read(data[:length]), whole), length
    refused(read, data[: len(data) // 2], "replace it")


@given(st.data())
def test_damaged_bytes_raise_nothing_else(data):
    kind, read = data.draw(st.sampled_from([("png", image), ("png", label), ("jpeg", image)]))
    damaged = bytearray(saved(IDS, kind))
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=6)):
        damaged[place] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings(), suppress(DataError):
        warnings.simplefilter("ignore")  # Pillow's, on broken EXIF
        assert read(bytes(damaged)).size
