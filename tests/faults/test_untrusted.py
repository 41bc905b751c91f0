"""Attacks of reliability.md, section 5: refused, and no canary says that anything ran.

| id | covered elsewhere |
| --- | --- |
| S1 | zoo/test_weights.py (hostile pickles, no unsafe loader), zoo/test_model.py, zoo/test_hf_nets.py (.bin) |
| S3 | zoo/test_programs.py (trust, external tensors of initializers), zoo/test_model.py (factories), zoo/test_hf_nets.py |
| S4 | zoo/test_weights.py (terabyte header, shapes, unpacked size, limit before opening) |
| S5 | test_config_hostile.py (objects, bombs, nesting, size), test_config.py (duplicate keys) |
| S6 | faults/test_untrusted_places.py, test_protocols.py (allow-list), test_config.py (run_id, globs), datasets/test_hostile_data.py (links, lists) |
| S7 | datasets/test_decode.py (limits before decoding), datasets/test_hostile_data.py (bytes before reading) |
| S8 | report/test_page.py (HTML), report/test_plots.py (SVG), flows/test_show.py (terminal and logs) |
| S9 | storage/test_store.py (digests, damage) |
"""  # noqa: E501 - a table

import ast
import io
import os
import pickle
import resource
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from otce import tables
from otce.config_file import load_config
from otce.datasets.decode import decode_image
from otce.errors import ConfigError, ModelError, OtceError, StoreError
from otce.model_config import ModelConfig
from otce.storage import table_bytes
from otce.storage.store import Store
from otce.storage.table_bytes import encode_table
from otce.zoo import load_model
from otce.zoo.weights import parse_state
from tests.zoo_nets import N_CLASSES, loaded, needs

ROOT = Path(__file__).parents[2]
CODE = {
    path: path.read_text()
    for package in ("otce", "tasks", "flows")
    for path in (ROOT / package).rglob("*.py")
}


class Canary:
    """Touches a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return subprocess.check_call, (["touch", self.path],)


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


def test_a_pth_needs_no_trust_as_it_is_only_ever_read_with_weights_only(
    tmp_path, monkeypatch, canary
):
    """S1: there is one call of torch.load for it, also after that call refused."""
    nets = needs("monai.networks.nets", "monai")
    given = {"out_channels": N_CLASSES, "channels": [8, 16], "strides": [2]}
    network, path, asked = nets.UNet(2, 3, **given), tmp_path / "net.pth", []
    torch.save(network.state_dict(), path)
    real = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **kw: asked.append(kw) or real(*a, **kw))

    def load():
        return loaded("monai:UNet", weights=str(path), arguments=given, trusted=False).network

    found = load().state_dict()
    assert all(torch.equal(found[name], value) for name, value in network.state_dict().items())
    torch.save({**network.state_dict(), "extra": Canary(canary)}, path)
    with pytest.raises(ModelError, match="can be loaded without running code"):
        load()
    assert [kw["weights_only"] for kw in asked] == [True, True]
    assert not canary.exists()


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "ckpt"])
def test_trust_and_names_open_no_other_way_to_read_a_pickle(tmp_path, canary, suffix):
    """S1: `trusted` is about programs; what a file is called decides nothing."""
    path = tmp_path / f"net.{suffix}"
    path.write_bytes(pickle.dumps(Canary(canary)))
    (tmp_path / "s1_nets.py").write_text("from tests.zoo_nets import Net\n")
    config = ModelConfig(
        reference="python:s1_nets:Net", weights=str(path), trusted=True, source="bay"
    )
    with pytest.raises(ModelError, match="without running code"):
        load_model("net", config, python_path=[str(tmp_path)], n_classes=N_CLASSES)
    assert not canary.exists()


def test_no_variable_of_the_environment_opens_the_unsafe_loader(tmp_path, monkeypatch, canary):
    """S1: torch has one that turns the default of `weights_only` off."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = tmp_path / "net.pth"
    torch.save({"a": Canary(canary)}, path)
    with pytest.raises(ModelError, match="without running code"):
        parse_state(path.read_bytes(), str(path), 1 << 20)
    assert not canary.exists()


def test_the_floor_of_torch_closes_the_known_ways_around_weights_only():
    """S2: CVE-2025-32434 was fixed in 2.6.0, CVE-2026-24747 in 2.10.0."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    [floor] = [wanted.partition(">=")[2] for wanted in needed if wanted.startswith("torch>=")]
    known, installed = (
        tuple(int(part) for part in text.split("+")[0].split(".")[:2])
        for text in (floor, version("torch"))
    )
    assert (2, 10) <= known <= installed


def test_safetensors_are_named_before_pickles():
    """S2: in the documentation of the field and of the models."""
    described = ModelConfig.model_fields["weights"].description
    models = (ROOT / "README.md").read_text().partition("## Models")[2]
    for text in (described, models):
        assert text.index("safetensors") < text.index("torch")


@pytest.mark.parametrize("place", ["initializer", "constant", "inner graph", "sparse", "function"])
def test_no_place_of_an_onnx_graph_may_name_another_file(tmp_path, place):
    """S3: tensors stand in more places than initializers."""
    onnx = needs("onnx", "onnx")
    needs("onnx2torch", "onnx")
    h = onnx.helper
    outside = h.make_tensor("secret", onnx.TensorProto.FLOAT, [1], [0.0])
    outside.ClearField("float_data")
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../../etc/passwd")
    values = [h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    constant = h.make_node("Constant", [], ["c"], value=outside)
    inner = h.make_graph([constant], "inner", [], [values[1]])
    nodes = {
        "constant": [constant],
        "inner graph": [h.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)],
    }.get(place, [h.make_node("Identity", ["x"], ["y"])])
    graph = h.make_graph(nodes, "g", values[:1], values[1:])
    if place == "initializer":
        graph.initializer.append(outside)
    if place == "sparse":
        graph.sparse_initializer.add().values.CopyFrom(outside)
    model = h.make_model(graph)
    if place == "function":
        opset = [h.make_opsetid("", 17)]
        model.functions.append(h.make_function("d", "f", [], ["c"], [constant], opset))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"keeps [12] tensors in other files"):
        loaded(f"onnx:{tmp_path / 'net.onnx'}")


def test_a_configuration_of_100_mb_is_refused_before_it_is_read(tmp_path):
    """S5: a file with a hole, so that only a reader would pay for it."""
    path = tmp_path / "run.yaml"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match=f"run.yaml has {100 << 20} bytes; at most 1048576"):
        load_config(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def png_of(width, height):
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def test_an_image_of_which_pillow_only_warns_is_refused():
    """S7: between 89 and 179 million pixels Pillow decodes and warns; the limit is ours."""
    data = png_of(12_500, 12_000)
    assert len(data) < 40_000
    with pytest.raises(OtceError, match="12500x12000 pixels; at most 64000000 are decoded"):
        decode_image(data, "a.png", max_px=64_000_000)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_a_small_table_that_unpacks_to_a_bomb_is_refused(tmp_path, monkeypatch, compression):
    """S7: whoever writes to the bucket may not fill our memory; runs of one value take no room."""
    monkeypatch.setattr(table_bytes, "_MOST_DECODED_BYTES", 1 << 20)
    rows = 1 << 18
    bomb = pa.table({f.name: _constant(f.type, rows) for f in tables.COUNTS}, tables.COUNTS)
    store = Store(str(tmp_path))
    monkeypatch.setattr(
        pq, "write_table", _with(pq.write_table, compression=compression, use_dictionary=True)
    )
    store.put("bomb", encode_table(bomb))
    with pytest.raises(StoreError, match="unpack to more than 1048576; delete it"):
        store.get_table("bomb", tables.COUNTS)
    store.put("small", encode_table(bomb.slice(0, 8)))
    assert store.get_table("small", tables.COUNTS).num_rows == 8


def _with(write, **forced):
    return lambda *args, **kw: write(*args, **kw | forced)


def _constant(kind, rows):
    value = [1] if pa.types.is_list(kind) else "x" if pa.types.is_string(kind) else 1
    return pa.array([value] * rows, kind)


def test_no_table_is_written_as_csv():
    """S8: a cell =cmd() has no spreadsheet to run in: tables are Parquet and JSON."""
    assert not [path for path, text in CODE.items() if "write_csv" in text or "to_csv" in text]
    assert not [path for path, text in CODE.items() if "import csv" in text]


UNPICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "numpy.load"}


def _imported(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_nothing_that_reads_the_store_can_unpickle():
    """S9: not by import, and NumPy's files are read nowhere."""
    assert ROOT / "otce/storage/store.py" in CODE
    for path, text in CODE.items():
        assert not {name.partition(".")[0] for name in _imported(text)} & UNPICKLERS, path
        assert "np.load(" not in text, path


def test_the_linter_watches_for_unpickling():
    """S9: bandit's rules (S) are on, S301 among them, and no line of the packages is exempt."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    exempt = [*lint["ignore"]]
    for pattern, rules in lint["per-file-ignores"].items():
        exempt += rules if pattern.startswith(("otce", "tasks", "flows")) else []
    assert not [rule for rule in exempt if rule == "S" or rule.startswith("S30")]
    assert not [path for path, text in CODE.items() if "noqa: S301" in text]


@pytest.mark.parametrize("object_", ["pickle", "torch", "arrow"])
def test_a_pickle_in_the_store_is_damage_and_is_not_run(tmp_path, canary, object_):
    store, poison = Store(str(tmp_path / "store")), Canary(canary)
    if object_ == "arrow":
        # An extension type of Arrow is named by the file, and may bring a pickle along.
        kind = {b"ARROW:extension:name": b"arrow.py_extension_type"}
        kind[b"ARROW:extension:metadata"] = pickle.dumps(poison)
        fields = [f.with_metadata(kind) for f in tables.COUNTS]
        empty = [pa.array([], f.type) for f in fields]
        data = encode_table(pa.table(empty, schema=pa.schema(fields)))
    elif object_ == "torch":
        torch.save(poison, buffer := io.BytesIO())
        data = buffer.getvalue()
    else:
        data = pickle.dumps(poison)
    store.put("object", data)
    if object_ != "arrow":
        with pytest.raises(StoreError, match="is damaged"):
            store.get_table("object", tables.COUNTS)
    else:
        assert store.get_table("object", tables.COUNTS).num_rows == 0
    assert not canary.exists()
    assert os.listdir(tmp_path / "store") == ["object"]  # noqa: PTH208


def test_the_canary_would_be_seen(canary):
    pickle.loads(pickle.dumps(Canary(canary)))  # noqa: S301 - that it can sing
    assert canary.exists()
