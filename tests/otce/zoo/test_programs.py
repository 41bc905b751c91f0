"""Exported programs, ONNX graphs and TorchScript: what they give and what they may do."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.export import Dim

from otce.errors import ModelError, StoreError
from otce.fingerprint import digest
from otce.model_config import ModelConfig, Preprocessing
from otce.zoo import model_identity
from otce.zoo.preprocess import to_input
from tests.zoo_nets import Net, images, loaded, needs, saved, seeded

EXAMPLE = torch.rand(1, 3, 32, 48)
AXES = {"image": {0: "batch", 2: "height", 3: "width"}}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*legacy TorchScript-based ONNX export"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
    # onnx2torch's slices.
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning"),
]


def exported(path, *, is_fixed):
    example, sizes = EXAMPLE, None
    if not is_fixed:
        example, sizes = EXAMPLE.expand(2, -1, -1, -1), ({0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO},)
    program = torch.export.export(seeded(), (example,), dynamic_shapes=sizes)
    torch.export.save(program, path / "net.pt2")
    return f"export:{path / 'net.pt2'}"


def onnx_graph(path, *, is_fixed):
    needs("onnx2torch", "onnx")
    torch.onnx.export(
        seeded(),
        (EXAMPLE,),
        path / "net.onnx",
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        dynamic_axes=None if is_fixed else AXES,
    )
    return f"onnx:{path / 'net.onnx'}"


def wanted(size_px=None):
    network, input_BCHW = seeded(), to_input(images(), Preprocessing(size_px=size_px), "cpu")
    with torch.inference_mode():
        return network.body(input_BCHW), network(input_BCHW)


@pytest.mark.parametrize("make", [exported, onnx_graph])
def test_a_program_for_any_size_gives_the_features_of_its_network(tmp_path, make):
    model = loaded(make(tmp_path, is_fixed=False), trusted=True)
    torch.testing.assert_close(model.features(images())[0], wanted()[0], atol=1e-5, rtol=0)
    assert model.preprocessing == Preprocessing()


@pytest.mark.parametrize("make", [exported, onnx_graph])
def test_images_take_the_size_of_a_program_for_one_size_and_come_one_by_one(tmp_path, make):
    model = loaded(make(tmp_path, is_fixed=True), trusted=True)
    assert model.preprocessing.size_px == (32, 48)
    assert model.one_by_one
    features = model.features(images())[0]
    torch.testing.assert_close(features, wanted((32, 48))[0], atol=1e-5, rtol=0)


def scripted(path):
    torch.jit.save(torch.jit.trace(seeded(), EXAMPLE), path / "net.ts")
    return f"torchscript:{path / 'net.ts'}"


def test_torchscript_gives_logits(tmp_path):
    model = loaded(scripted(tmp_path), trusted=True, tap="logits")
    torch.testing.assert_close(model.features(images())[0], wanted()[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("tap", ["head", "body.0"])
def test_torchscript_gives_nothing_but_logits(tmp_path, tap):
    model = loaded(scripted(tmp_path), trusted=True, tap=tap)
    with pytest.raises(ModelError, match="modules of TorchScript refuse hooks; set tap: logits"):
        model.features(images())[0]


@pytest.mark.parametrize("name", ["export:/absent.pt2", "torchscript:/absent.ts"])
def test_programs_that_can_run_code_are_not_even_read_without_trust(name):
    with pytest.raises(ModelError, match="make sure who wrote it and set trusted: true"):
        loaded(name)
    with pytest.raises(StoreError, match="no such object"):
        loaded(name, trusted=True)


@pytest.mark.parametrize("kind", ["export", "torchscript", "onnx"])
@pytest.mark.parametrize("data", [b"", b"junk", b"PK\3\4", b"\x08\x09" + b"\xff" * 40])
def test_junk_is_refused(tmp_path, kind, data):
    if kind == "onnx":
        needs("onnx2torch", "onnx")
    path = tmp_path / "net.pt2"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=f"model unet: {path} "):
        loaded(f"{kind}:{path}", trusted=True)


def test_a_program_exported_while_training_is_found_out(tmp_path):
    program = torch.export.export(seeded().train(), (EXAMPLE,))
    torch.export.save(program, tmp_path / "net.pt2")
    model = loaded(f"export:{tmp_path / 'net.pt2'}", trusted=True)
    with pytest.raises(ModelError, match=r"one pass changed body.1.running_mean"):
        model.features(images())[0]


@pytest.mark.parametrize("shape", [(4, 3, 32, 48), (1, 1, 32, 48)])
def test_another_batch_or_another_number_of_channels_is_refused(tmp_path, shape):
    class Any(Net):
        def forward(self, image):
            return super().forward(image.expand(-1, 3, -1, -1))

    torch.export.save(torch.export.export(seeded(Any), (torch.rand(shape),)), tmp_path / "n.pt2")
    with pytest.raises(ModelError, match="export it for 3 channels, and for one image or any"):
        loaded(f"export:{tmp_path / 'n.pt2'}", trusted=True)


def test_programs_are_identified_by_several_threads(tmp_path):
    """torch's loader keeps its state in a global and failed in the second of two threads.

    Other tests missed it, for they load one model at a time; a run identifies eight at once.
    """
    reference = exported(tmp_path, is_fixed=False)
    config = ModelConfig(reference=reference, trusted=True, source="bay")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: model_identity(config, []), range(16)))
    assert len({identity.weights_digest for identity in found}) == 1


def test_other_weights_replace_those_of_a_program(tmp_path):
    reference, other = exported(tmp_path, is_fixed=False), Net()
    weights = saved(other, tmp_path / "other.safetensors")
    network = loaded(reference, trusted=True, weights=weights).network
    assert torch.equal(network.head.weight, other.head.weight)


def test_a_program_is_known_by_its_bytes_and_not_by_its_place(tmp_path):
    reference = exported(tmp_path, is_fixed=False)
    data = (tmp_path / "net.pt2").read_bytes()
    (tmp_path / "copy.pt2").write_bytes(data)

    def identity(name, **fields):
        config = ModelConfig(reference=name, trusted=True, source="bay", **fields)
        return model_identity(config, [])

    found = identity(reference)
    assert found.weights_digest == digest(data)
    assert identity(f"export:{tmp_path / 'copy.pt2'}") == found
    weights = saved(Net(), tmp_path / "other.safetensors")
    other = identity(reference, weights=weights)
    assert other.weights_digest != found.weights_digest
    assert other.code_digest != found.code_digest
    with pytest.raises(ModelError, match="not the declared weights_digest"):
        identity(reference, weights_digest="ab" * 32)


@pytest.mark.parametrize("location", ["../../../../../../etc/passwd", "/etc/passwd", "weights.bin"])
def test_onnx_with_tensors_in_other_files_is_refused_without_opening_them(
    tmp_path, monkeypatch, location
):
    """S3: a graph may name any path as the place of its weights."""
    reference = onnx_graph(tmp_path, is_fixed=True)
    onnx = needs("onnx", "onnx")
    graph = onnx.load_model(tmp_path / "net.onnx")
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (tmp_path / "net.onnx").write_bytes(graph.SerializeToString())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(1 << 16))
    os.chmod(tmp_path / "weights.bin", 0)  # noqa: PTH101 - who opens it all the same would fail
    message = r"keeps 1 tensors in other files, such as .*; save it as one file"
    with pytest.raises(ModelError, match=message):
        loaded(reference)


def test_a_program_over_the_limit_is_not_read(tmp_path):
    reference = scripted(tmp_path)
    with pytest.raises(ModelError, match="more than max_weights_bytes 100 allows"):
        loaded(reference, trusted=True, max_weights_bytes=100)
