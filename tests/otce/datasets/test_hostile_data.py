"""Names in data never become paths, and nothing large is read before its size is known."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from otce.datasets import image_files
from otce.datasets.lists import read_split_mat, read_text_list
from otce.errors import DataError, OtceError, StoreError
from otce.storage.files import write_bytes
from tests.folders import Place, mask, pair, photo, png
from tests.layouts import LAYOUTS, LayoutPlace, split_mat

MAT = split_mat(trainIds=range(1, 300))


@pytest.fixture
def place(store_uri, store_options):
    return Place(store_uri, store_options)


@pytest.fixture
def local(tmp_path):
    return Place(str(tmp_path / "data"), {})


def link(at, target):
    Path(at).symlink_to(target)


def refused(message, *says):
    assert [said for said in says if said not in message] == [], message


@pytest.mark.parametrize("linked", ["i/b.png", "l/b.png"])
def test_a_link_out_of_the_root_is_refused(local, linked):
    local.write(pair("a"), pair("b"))
    outside = Place(f"{local.uri}-outside", {}).write(pair("b"))
    Path(f"{local.uri}/{linked}").unlink()
    link(f"{local.uri}/{linked}", f"{outside.uri}/{linked}")
    refused(local.refusal(), f"{local.uri}: links that lead out of it: {linked}", "copy the files")


def test_a_linked_folder_out_of_the_root_is_refused(local):
    outside = Place(f"{local.uri}-outside", {}).write(pair("a"))
    Path(local.uri).mkdir()
    link(f"{local.uri}/i", f"{outside.uri}/i")
    link(f"{local.uri}/l", f"{outside.uri}/l")
    refused(local.refusal(), "links that lead out of it: i/a.png, l/a.png")


def test_links_within_the_root_and_to_the_root_are_followed(local):
    local.write(pair("a"), {"kept/x": png(photo(1)), "kept/y": png(mask(1))})
    link(f"{local.uri}/i/b.png", f"{local.uri}/kept/x")
    link(f"{local.uri}/l/b.png", "../kept/y")
    link(f"{local.uri}-link", local.uri)
    dataset = Place(f"{local.uri}-link", {}).open()
    assert [item.id for item in dataset.items] == ["a", "b"]
    assert np.array_equal(dataset.image(dataset.items[1]), photo(1))


def test_a_link_to_nothing_is_told(local):
    local.write(pair("a"))
    link(f"{local.uri}/i/b.png", f"{local.uri}/none")
    refused(local.refusal(), "1 of 2 items lack a file: b (label)")


@pytest.mark.parametrize("name", ["a::file:secret", "a::memory:x", "::"])
def test_a_name_that_fsspec_would_take_for_a_chain_is_refused(local, name):
    local.write(pair("a"))
    for folder, data in (("i", png(photo())), ("l", png(mask()))):
        Path(f"{local.uri}/{folder}/{name}.png").write_bytes(data)
    refused(local.refusal(), f"would be read as other paths: i/{name}.png", "rename the files")


def test_a_key_with_dots_in_a_bucket_is_refused(s3_bucket, s3_server):
    place = Place(f"s3://{s3_bucket}/data", {"s3": {"endpoint_url": s3_server}})
    place.write(pair("a"), {"secret.png": png(photo())})
    place.write({f"{folder}/../secret.png": png(photo()) for folder in "il"})
    refused(place.refusal(), "would be read as other paths: i/../secret.png, l/../secret.png")


@pytest.mark.parametrize(
    "line",
    [
        "../secret",
        "/etc/passwd",
        "file:///etc/passwd",
        "s3://bucket/key",
        "a::file:///etc/passwd",
        "i/a.png file:///etc/passwd",
        "i/../i/a.png l/a.png",
        "~/a",
        "*",
    ],
)
def test_a_line_of_a_list_is_no_address(place, line):
    place.write(pair("a"), {"list.txt": line.encode()})
    refused(place.refusal(items="list.txt"), "1 of 1 items lack a file")


def test_a_file_that_is_too_large_for_any_image_is_refused_before_it_is_read(place, monkeypatch):
    place.write(pair("a"), pair("b"), {"i/b.png": bytes(1_100_000)})
    dataset = place.open(max_image_px=128)

    def opened(*_):
        raise AssertionError("a file was read")

    monkeypatch.setattr(image_files, "read_bytes", opened)
    with pytest.raises(DataError, match=r"larger than 1049088 bytes: i/b\.png; .*max_image_px"):
        _ = dataset.items


def test_a_list_that_is_too_large_is_refused_before_it_is_read(local):
    local.write(pair("a"))
    with Path(f"{local.uri}/list.txt").open("wb") as file:
        file.truncate(1 << 40)
    says = f"list.txt has {1 << 40} bytes; at most {1 << 24} are read"
    refused(local.refusal(StoreError, items="list.txt"), says)


@pytest.fixture
def frames(tmp_path):
    drawn = LAYOUTS["gta5"]
    return LayoutPlace(str(tmp_path), {}, drawn).write(drawn.files())


def mat(**variables):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables, do_compression=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no MATLAB file can be read"),
        (b"1\n2\n", "no MATLAB file can be read"),
        (MAT[:-40], "no MATLAB file can be read"),
        (mat(other=[1]), "found other (1, 1)"),
        (mat(trainIds=np.zeros((4_000, 4_000), np.uint8)), "found trainIds (4000, 4000)"),
        (mat(trainIds=[0, 1]), "other values than frame numbers"),
        (mat(trainIds=[1.5]), "other values than frame numbers"),
        (mat(trainIds=[float("nan")]), "other values than frame numbers"),
        (mat(trainIds=["../../etc/passwd"]), "other values than frame numbers"),
        (mat(trainIds=np.array([[{"a": 1}]], object)), "other values than frame numbers"),
        (mat(trainIds=np.zeros((0, 1))), "other values than frame numbers"),
        (mat(trainIds=[3, 1, 3]), "listed twice: 00003"),
    ],
)
def test_a_split_mat_of_another_kind_is_told(frames, data, says):
    frames.write({"split.mat": data})
    refused(frames.refusal(split="train"), f"{frames.uri}/split.mat: ", says)


def test_a_small_split_mat_that_unpacks_to_a_bomb_is_refused_by_its_shape(frames):
    bomb = mat(trainIds=np.zeros((20_000, 5_000), np.uint8))
    assert len(bomb) < 200_000
    frames.write({"split.mat": bomb})
    refused(frames.refusal(split="train"), "at most 1000000 frames; found trainIds (20000, 5000)")


@given(st.data())
def test_damaged_lists_raise_nothing_else(data):
    damaged = bytearray(MAT)
    # The header says which reader it is; beyond it is what the reader parses.
    for at in data.draw(st.lists(st.integers(124, len(MAT) - 1), min_size=1, max_size=6)):
        damaged[at] = data.draw(st.integers(0, 255))
    with suppress(DataError):
        assert read_split_mat("split.mat", "train").parse(bytes(damaged), "split.mat")


@given(st.binary(max_size=40))
def test_bytes_that_are_no_list_raise_nothing_else(data):
    for parse in (read_text_list("x").parse, read_split_mat("x", "val").parse):
        with suppress(DataError):
            assert parse(data, "x")


def test_a_city_cannot_be_a_path(tmp_path):
    drawn = LAYOUTS["cityscapes"]
    place = LayoutPlace(str(tmp_path), {}, drawn)
    for name in ("../val", "a/b", "*", "", "a b", "."):
        with pytest.raises(ValueError, match="pattern"):
            place.config(cities=[name])
    for split in ("../val", "train/x", ""):
        with pytest.raises(ValueError, match="split"):
            place.config(split=split)
        with pytest.raises(ValueError, match="split"):
            LayoutPlace(str(tmp_path), {}, LAYOUTS["voc"]).config(split=split)


def test_what_is_written_elsewhere_meanwhile_is_no_item(place):
    place.write(pair("a"))
    write_bytes(f"{place.uri}/i/.b.png", b"half", place.options)
    assert [item.id for item in place.open().items] == ["a"]
    with pytest.raises(OtceError):
        place.open(items="none.txt").items  # noqa: B018 - listed when asked for
