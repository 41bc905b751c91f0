"""Weights are read within limits, kept by digest, and parsed without running anything."""

import io
import json
import pickle
import struct
import subprocess
import zipfile
from pathlib import Path

import fsspec
import pytest
import safetensors.torch
import torch

from otce.errors import ModelError
from otce.fingerprint import digest
from otce.model_config import ModelConfig
from otce.storage.files import write_bytes
from otce.zoo import load_model, model_identity
from otce.zoo.weights import fit, parse_state, read_weights
from tests.zoo_nets import Net, seeded

STATE = {"head.weight": torch.arange(4.0).view(2, 2), "head.bias": torch.zeros(2)}
LIMIT = 1 << 20


def packed(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def parsed(data):
    return parse_state(data, "s3://zoo/w.pth", LIMIT)


def refused(data):
    with pytest.raises(ModelError) as caught:
        parsed(data)
    assert str(caught.value).startswith("s3://zoo/w.pth ")
    return str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        safetensors.torch.save(STATE),
        packed(STATE),
        packed(STATE, _use_new_zipfile_serialization=False),
        packed({"state_dict": STATE, "epoch": 3, "best": 0.5}),
        packed({"model_state_dict": STATE, "optimizer": {"lr": 1.0}}),
        packed({f"module.{name}": value for name, value in STATE.items()}),
        packed({"model": {f"module.{name}": value for name, value in STATE.items()}}),
    ],
    ids=["safetensors", "zip", "legacy", "state_dict", "model_state_dict", "module", "both"],
)
def test_state_dicts_are_found_in_what_training_saves(data):
    found = parsed(data)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("length", range(100, 140))
def test_a_safetensors_header_of_any_length_is_recognised(length):
    """A header of 0x80 bytes was taken for the start of a pickle.

    Other tests missed it, for none had a header of just such a length.
    """
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    data = struct.pack("<Q", length) + header.ljust(length) + b"\7"
    assert parsed(data)["a"].tolist() == [7]


class Canary:
    """Runs a command where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return subprocess.check_call, (["touch", str(self.path)],)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["top", "inside", "metadata"])
def test_a_hostile_pickle_is_refused_and_never_run(tmp_path, place, legacy):
    canary = tmp_path / "ran"
    hostile = {
        "top": Canary(canary),
        "inside": {**STATE, "head.extra": Canary(canary)},
        "metadata": {"state_dict": STATE, "config": Canary(canary)},
    }[place]
    data = packed(hostile, _use_new_zipfile_serialization=not legacy)
    assert "is no state dict that can be loaded without running code (Unpickling" in refused(data)
    assert not canary.exists()
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        torch.load(io.BytesIO(data), weights_only=True)


def test_there_is_no_way_to_the_unsafe_loader():
    """S1 and S9: no call that could unpickle freely is written anywhere in the library."""
    code = "".join(path.read_text() for path in Path("otce").rglob("*.py"))
    for unsafe in ("weights_only=False", "import pickle", "trust_remote_code=True", "allow_pickle"):
        assert unsafe not in code
    assert code.replace("safetensors.torch.load(", "").count("torch.load(") == 1


def test_a_pickled_network_is_no_state_dict():
    """Its classes would have to be imported, which is running code."""
    assert "without running code" in refused(packed(Net()))


@pytest.mark.parametrize("value", [torch.zeros(2), [torch.zeros(2)], 3])
def test_other_things_than_state_dicts_are_refused(value):
    assert "save network.state_dict() and nothing else" in refused(packed(value))


@pytest.mark.parametrize("value", [{"epoch": 3, **STATE}, {}, {"state_dict": {"lr": 1.0}}])
def test_a_dict_with_anything_but_tensors_is_refused(value):
    assert "holds no state dict: " in refused(packed(value))


def test_torchscript_is_no_state_dict():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(seeded()), buffer)
    assert "without running code" in refused(buffer.getvalue())


@pytest.mark.parametrize("data", [b"", b"P", b"PK", b"PK\3\4junk", b"\x80\2junk", b"\x80" * 99])
def test_junk_is_refused(data):
    refused(data)


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4000]}}',
        struct.pack("<Q", 67)
        + b'{"a":{"dtype":"F32","shape":[9999999999],"data_offsets":[0,39999999996]}}',
    ],
    ids=["header of a terabyte", "shape beyond its data", "data beyond the file"],
)
def test_a_safetensors_header_that_promises_too_much_is_refused(header):
    assert "is neither a safetensors file" in refused(header)


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data/0", bytes(8 * LIMIT))
    assert len(buffer.getvalue()) < LIMIT / 10
    assert f"takes {8 * LIMIT} bytes, more than max_weights_bytes {LIMIT}" in refused(
        buffer.getvalue()
    )


def test_a_tensor_that_only_claims_to_be_large_is_refused_by_its_shape(tmp_path):
    """Four bytes seen through strides of zero as a petabyte: copying it would be the end."""
    network = seeded()
    state = dict(network.state_dict())
    state["head.weight"] = torch.zeros(1).expand(1 << 25, 1 << 25)
    with pytest.raises(ModelError, match=r"head.weight has shape \(33554432, 33554432\), expected"):
        fit(network, packed(state), "w.pth", ModelConfig(reference="onnx:n", source="bay"))


@pytest.fixture
def remote(monkeypatch, tmp_path):
    """A file system in memory that counts how often a file is opened, and a cache of our own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    system = fsspec.filesystem("memory")
    opened = []
    real = system.cat_file
    monkeypatch.setattr(
        type(system), "cat_file", lambda _, path, **kw: opened.append(path) or real(path, **kw)
    )
    system.pipe_file("/zoo/w", b"weights")
    yield opened
    system.rm("/zoo", recursive=True)


def read(**fields):
    config = ModelConfig(
        reference="python:nets:net", weights="memory://zoo/w", source="bay", **fields
    )
    return read_weights("memory://zoo/w", config, None)


def test_a_file_over_the_limit_is_not_opened(remote):
    with pytest.raises(ModelError, match="takes 7 bytes, more than max_weights_bytes 6 allows"):
        read(max_weights_bytes=6)
    assert remote == []
    assert read(max_weights_bytes=7) == b"weights"


def test_remote_weights_of_a_known_digest_are_read_once(remote, tmp_path):
    name = digest(b"weights")
    assert [read(), read(weights_digest=name), read(weights_digest=name)] == [b"weights"] * 3
    assert len(remote) == 1
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [name]


def test_a_kept_file_that_was_changed_is_read_again(remote, tmp_path):
    name = digest(b"weights")
    read()
    (tmp_path / "otce/weights" / name).write_bytes(b"poison!")
    assert read(weights_digest=name) == b"weights"
    assert len(remote) == 2
    assert (tmp_path / "otce/weights" / name).read_bytes() == b"weights"


def test_a_remote_file_of_another_digest_is_refused_and_not_kept(remote, tmp_path):
    with pytest.raises(ModelError, match="not the declared weights_digest"):
        read(weights_digest="ab" * 32)
    assert not list(tmp_path.rglob("*"))


def test_weights_and_programs_come_from_object_storage(s3_server, s3_bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = {"s3": {"endpoint_url": s3_server}}
    network, place = seeded(), f"s3://{s3_bucket}/zoo"
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(network), buffer)
    write_bytes(f"{place}/net.ts", buffer.getvalue(), options)
    write_bytes(f"{place}/net.pth", packed(Net().state_dict()), options)
    given = {"reference": f"torchscript:{place}/net.ts", "trusted": True, "source": "bay"}
    found = {}
    for weights in (None, f"{place}/net.pth"):
        config = ModelConfig(**given, weights=weights)
        identity = model_identity(config, [], options)
        pinned = config.model_copy(update={"weights_digest": identity.weights_digest})
        found[weights] = load_model("unet", pinned, python_path=[], options=options).network
        assert (tmp_path / "otce/weights" / identity.weights_digest).exists()
    assert torch.equal(found[None].head.weight, network.head.weight)
    assert not torch.equal(found[f"{place}/net.pth"].head.weight, network.head.weight)
