"""Source signatures: what is kept is read back unchanged, or refused with every reason."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from otce import signature
from otce.draw import Draw
from otce.errors import ModelError, StoreError
from otce.fingerprint import digest
from otce.identity import Signature, signature_fingerprint
from otce.model_config import Preprocessing
from otce.signature import (
    Contents,
    decode,
    described,
    draw_key,
    encode,
    read_contents,
    read_whole,
    refuse_other,
)
from otce.storage.files import write_bytes
from otce.storage.store import Store

SIDE = Signature(
    architecture="python:nets:net",
    arguments={"n_classes": 3, "names": ["a", None, 1.5]},
    code_digest="1" * 64,
    weights_digest="2" * 64,
    preprocessing=Preprocessing(size_px=(8, 16)),
    tap="head",
    source="harbour",
    source_digest="3" * 64,
    classes=("water", 'quay "naïve"', "ship"),
    pixels=5,
    too_few_pixels="refuse",
    seed=7,
)
OTHER = {
    "architecture": "python:nets:other",
    "arguments": {"n_classes": 3, "names": ["a", None, 2]},
    "code_digest": "9" * 64,
    "weights_digest": "8" * 64,
    "preprocessing": Preprocessing(size_px=(8, 17)),
    "tap": "logits",
    "source": "port",
    "source_digest": "7" * 64,
    "classes": ("water", "quay"),
    "pixels": 6,
    "too_few_pixels": "shrink",
    "seed": 8,
    "sampling_version": 99,
    "feature_version": 99,
    "format_version": 99,
}
# In a process of its own: what differs between processes must not reach the bytes.
ENCODE = """
import sys
sys.path.insert(0, "tests/otce")
from test_signature import SIDE, draws
from otce.signature import encode
sys.stdout.buffer.write(encode(SIDE, draws(12)))
"""


def draws(repetitions=3, pixels=5, dim=4):
    generator = np.random.default_rng(0)
    return {
        k: Draw(
            generator.normal(size=(pixels, dim)).astype(np.float32),
            generator.integers(0, 3, pixels, np.int32),
            np.sort(generator.integers(0, 40, pixels, np.int32)),
        )
        for k in range(repetitions)
    }


def same(one, other):
    return one.keys() == other.keys() and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for k in one
        for a, b in zip(one[k][:3], other[k][:3], strict=True)
    )


@given(
    st.dictionaries(
        st.integers(0, 99),
        drawn.arrays(np.float32, (4, 3), elements=st.floats(width=32)),
        min_size=1,
        max_size=4,
    )
)
def test_any_float_comes_back_as_it_was(features):
    """Also negative zeros, denormals and payloads of NaN: bits, not values."""
    labels, items = np.array([0, 2, 1, 1], np.int32), np.array([0, 0, 5, 7], np.int32)
    wanted = {k: Draw(found, labels, items) for k, found in features.items()}
    contents, found = decode(encode(SIDE, wanted), "there")
    assert contents == Contents(SIDE, tuple(sorted(features)), 3)
    assert same(found, wanted)


def test_features_of_a_view_are_kept_and_not_their_base():
    features = np.arange(40, dtype=np.float32).reshape(8, 5)[::2].T
    labels = np.arange(10, dtype=np.int32)[::2] % 3
    items = np.arange(10, dtype=np.int32)[1::2]
    _, found = decode(encode(SIDE, {0: Draw(features, labels, items)}), "there")
    for array, kept in zip(found[0][:3], (features, labels, items), strict=True):
        np.testing.assert_array_equal(array, kept)


def test_bytes_are_the_same_in_another_process():
    command = [sys.executable, "-c", ENCODE]
    found = subprocess.run(command, capture_output=True, check=True).stdout
    assert found == encode(SIDE, draws(12))
    assert decode(found, "there")[0].repetitions == tuple(range(12))


@given(st.data())
def test_any_damaged_byte_is_found(data):
    whole = encode(SIDE, draws())
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([data.draw(st.integers(0, 255).filter(lambda b: b != whole[at]))])
    with pytest.raises(StoreError, match=r"^f is damaged or no signature .*export it anew$"):
        decode(whole[:at] + changed + whole[at + 1 :], "f")


@given(st.integers(0, len(encode(SIDE, draws())) - 1))
def test_a_file_cut_short_is_found(size):
    with pytest.raises(StoreError, match="is damaged"):
        decode(encode(SIDE, draws())[:size], "f")


@given(st.binary(max_size=300))
def test_what_is_no_signature_is_refused(data):
    with pytest.raises(StoreError, match="no signature"):
        decode(data, "f")


def with_header(header):
    text = (
        header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    )
    return struct.pack("<Q", len(text)) + text


def header_of(whole):
    return json.loads(whole[8 : 8 + struct.unpack("<Q", whole[:8])[0]])


def test_hostile_headers_are_refused_before_anything_is_allocated():
    text = header_of(encode(SIDE, draws(1)))
    metadata = {"__metadata__": text["__metadata__"]}
    labels = {"dtype": "I32", "shape": [5], "data_offsets": [0, 20]}
    for header, reason in (
        (struct.pack("<Q", 1 << 62), "no header of at most"),
        (with_header(b"[" * 5000), "no JSON"),
        (with_header([1]), "no mapping"),
        (with_header({"__metadata__": 3}), "no otce.signature"),
        (with_header({"__metadata__": {"otce.signature": "0" * 64 + "{}"}}), "architecture"),
        (with_header(metadata), "not the features, labels and items"),
        (with_header(metadata | {"features.0": None, "labels.0": labels}), "not the features"),
        (with_header(text | {"more": labels}), "not the features"),
        (with_header(text | {"labels.0": labels | {"shape": [6]}}), "not the features"),
        (with_header(text | {"labels.0": labels | {"dtype": "I64"}}), "not the features"),
        (with_header(text | {"items.0": labels | {"shape": [6]}}), "not the features"),
    ):
        with pytest.raises(StoreError, match=reason):
            described(header, "f")


def test_arrays_larger_than_the_file_are_refused():
    """The header is consistent and carries the right digest; the arrays are not there."""
    huge = {"dtype": "F32", "shape": [1 << 40, 4], "data_offsets": [0, 1 << 44]}
    text = header_of(encode(SIDE, draws(1)))
    labels = huge | {"dtype": "I32", "shape": [1 << 40], "data_offsets": [1 << 44, 5 << 42]}
    items = labels | {"data_offsets": [5 << 42, 6 << 42]}
    forged = with_header(text | {"features.0": huge, "labels.0": labels, "items.0": items})
    signed = signature._with_digest(forged, digest(signature._with_digest(forged, "0" * 64)))
    with pytest.raises(StoreError, match=r"is damaged.*not fully covered"):
        decode(signed, "f")


@pytest.mark.parametrize(
    ("label", "item", "reason"),
    [
        (-1, 0, "labels outside its 3 classes"),
        (3, 0, "labels outside its 3 classes"),
        (0, -1, "images before the first"),
    ],
)
def test_labels_that_are_no_class_and_images_that_are_none_are_refused(label, item, reason):
    draw = Draw(np.zeros((1, 2), np.float32), np.array([label], np.int32), np.array([item]))
    with pytest.raises(StoreError, match=reason):
        decode(encode(SIDE, {0: draw}), "f")


def test_a_plain_safetensors_file_is_no_signature():
    with pytest.raises(StoreError, match=r"no otce\.signature is among its metadata"):
        decode(safetensors.numpy.save({"features.0": np.zeros((1, 2), np.float32)}), "f")


@pytest.mark.parametrize("name", Signature.model_fields)
def test_every_field_that_differs_is_told_and_names_another_object(name):
    wanted = SIDE.model_copy(update={name: OTHER[name]})
    with pytest.raises(ModelError, match=rf"f is the signature of another .*: {name} is ") as told:
        refuse_other(Contents(SIDE, (0, 1), 4), wanted, range(2), "f")
    assert str(told.value).count(" there and ") == 1
    assert signature_fingerprint(wanted) != signature_fingerprint(SIDE)


def test_all_differences_are_told_together():
    wanted = SIDE.model_copy(update={"tap": "logits", "pixels": 6})
    with pytest.raises(ModelError) as told:
        refuse_other(Contents(SIDE, (0, 1), 4), wanted, range(3), "f")
    for difference in (
        'tap is "head" there and "logits" here',
        "pixels is 5 there and 6 here",
        "2 draws are there and 3 needed",
    ):
        assert difference in str(told.value)
    refuse_other(Contents(SIDE, (0, 1), 4), SIDE, range(2), "f")
    refuse_other(Contents(SIDE, (0, 1, 2), 4), SIDE, range(2), "f")


def test_one_object_a_draw_or_one_file_of_all_hold_the_same(store_uri, store_options):
    """The same on memory, local and S3 stores."""
    store, wanted = Store(store_uri, store_options), draws()
    for k, draw in wanted.items():
        store.put(draw_key(SIDE, k), encode(SIDE, {k: draw}))
    assert store.names("features") == [
        f"{signature_fingerprint(SIDE)}/{k}.safetensors" for k in wanted
    ]
    uris = [f"{store.uri}/{draw_key(SIDE, k)}" for k in wanted]
    contents, found = read_whole(uris, store_options, 1 << 20)
    file = f"{store_uri}/exported/net.safetensors"
    write_bytes(file, encode(SIDE, found), store_options)
    assert read_contents(file, store_options, 1 << 20) == contents == Contents(SIDE, (0, 1, 2), 4)
    assert same(read_whole([file], store_options, 1 << 20)[1], wanted)
    with pytest.raises(ModelError, match="more than max_weights_bytes 100 allows"):
        read_contents(file, store_options, 100)
    with pytest.raises(StoreError, match="at most 100 are read"):
        read_whole([file], store_options, 100)
    other = SIDE.model_copy(update={"tap": "logits"})
    store.put(draw_key(SIDE, 1), encode(other, {1: wanted[1]}))
    with pytest.raises(ModelError, match=r"1\.safetensors is the signature of another"):
        read_whole(uris, store_options, 1 << 20)
    with pytest.raises(StoreError, match="no such object"):
        read_contents(f"{store_uri}/absent", store_options, 1 << 20)


def test_the_beginning_of_a_large_file_is_enough_to_describe_it(tmp_path):
    large = encode(SIDE, draws(2, pixels=5000, dim=64))
    (tmp_path / "net.safetensors").write_bytes(large)
    found = read_contents(str(tmp_path / "net.safetensors"), None, 1 << 30)
    assert found == Contents(SIDE, (0, 1), 64)
    assert described(large[: 1 << 20], "f") == found
