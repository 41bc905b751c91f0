"""Networks of transformers: folders and revisions read as data; code in them never looked at."""

import json
import pickle
import subprocess

import fsspec
import pytest
import torch

from otce.errors import ModelError
from otce.fingerprint import digest
from otce.model_config import ModelConfig
from otce.zoo import model_identity
from otce.zoo.preprocess import input_size
from tests.zoo_nets import N_CLASSES, images, loaded, needs, saved, seeded

VIT = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
SWIN = {
    "model_type": "swin",
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 1, 1],
    "window_size": 4,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
SEGFORMER = {
    "hidden_sizes": [8, 8, 8, 8],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 1, 1],
    "decoder_hidden_size": 12,
}


@pytest.fixture
def transformers():
    return needs("transformers", "hf")


def described(model_type, class_name, **entries):
    labels = {str(i): f"class {i}" for i in range(N_CLASSES)}
    return {
        "model_type": model_type,
        "architectures": [class_name],
        "id2label": labels,
        "label2id": {name: int(i) for i, name in labels.items()},
    } | entries


def written(transformers, folder, card, processor=None):
    """A folder as the hub has it; returns the network."""
    config = transformers.CONFIG_MAPPING[card["model_type"]].from_dict(dict(card))
    network = seeded(getattr(transformers, card["architectures"][0]), config)
    folder.mkdir(parents=True, exist_ok=True)
    saved(network, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(card))
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return network


def segformer(transformers, folder, processor=None):
    card = described("segformer", "SegformerForSemanticSegmentation", **SEGFORMER)
    return written(transformers, folder, card, processor)


@pytest.mark.parametrize(
    ("model_type", "name", "entries", "head", "dim", "stride"),
    [
        ("segformer", "Segformer", SEGFORMER, "decode_head.classifier", 12, 4),
        ("beit", "Beit", VIT | {"out_indices": [1, 2, 3, 4]}, "decode_head.classifier", 16, 2),
        ("dpt", "DPT", VIT | {"neck_hidden_sizes": [4, 4, 4, 4], "fusion_hidden_size": 8,
         "backbone_out_indices": [0, 1, 2, 3]}, "head.head.4", 8, 1),
        ("upernet", "UperNet", {"backbone_config": SWIN, "hidden_size": 12, "pool_scales": [1, 2],
         "auxiliary_channels": 8, "auxiliary_in_channels": 32}, "decode_head.classifier", 12, 4),
        ("mobilevit", "MobileViT", {"hidden_sizes": [4, 4, 4], "num_attention_heads": 1,
         "neck_hidden_sizes": [4, 4, 4, 4, 4, 4, 8], "aspp_out_channels": 8, "image_size": 64},
         "segmentation_head.classifier.convolution", 8, 32),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_heads_are_found_though_auxiliary_ones_run_last(
    transformers, tmp_path, model_type, name, entries, head, dim, stride
):
    card = described(model_type, f"{name}ForSemanticSegmentation", **entries)
    network = written(transformers, tmp_path / "net", card)
    model = loaded(f"hf:{tmp_path / 'net'}")
    features = model.features(images(1))[0]
    assert (model._resolved.path, features.shape[1]) == (head, dim)
    entered = input_size(64, 96, model.preprocessing)
    assert tuple(features.shape[2:]) == tuple(side // stride for side in entered)
    state = network.state_dict()
    assert all(torch.equal(found, state[key]) for key, found in model.network.state_dict().items())


@pytest.mark.parametrize(
    ("model_type", "name", "entries", "tap"),
    [
        ("mask2former", "Mask2FormerForUniversalSegmentation",
         {"backbone_config": SWIN, "feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32,
          "encoder_feedforward_dim": 8, "dim_feedforward": 8, "num_attention_heads": 2,
          "encoder_layers": 1, "decoder_layers": 2, "num_queries": 4},
         "model.pixel_level_module.decoder.mask_projection (32 at 16x24)"),
        ("maskformer", "MaskFormerForInstanceSegmentation",
         {"backbone_config": SWIN, "fpn_feature_size": 32, "mask_feature_size": 32,
          "decoder_config": {"model_type": "detr", "d_model": 8, "encoder_layers": 1,
          "decoder_layers": 1, "encoder_attention_heads": 1, "decoder_attention_heads": 1,
          "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "num_queries": 4}},
         "model.pixel_level_module.decoder.mask_projection (32 at 16x24)"),
        ("eomt", "EomtForUniversalSegmentation",
         {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 3,
          "num_attention_heads": 2, "num_blocks": 1, "num_queries": 4},
         "embeddings.patch_embeddings.projection (16 at 4x4)"),
    ],
    ids=["mask2former", "maskformer", "eomt"],
)  # fmt: skip
def test_mask_classifiers_have_no_head_and_say_what_to_name(
    transformers, tmp_path, model_type, name, entries, tap
):
    written(transformers, tmp_path / "net", described(model_type, name, **entries))
    with pytest.raises(ModelError) as caught:
        loaded(f"hf:{tmp_path / 'net'}").features(images(1))[0]
    assert "without logits of pixels, so it has no head; name as tap" in str(caught.value)
    assert tap in str(caught.value)
    model = loaded(f"hf:{tmp_path / 'net'}", tap=tap.partition(" ")[0])
    assert model.features(images(1))[0].dim() == 4


SIZED = {"do_resize": True, "size": {"height": 48, "width": 64}}
NORMAL = {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.5]}


@pytest.mark.parametrize(
    ("processor", "wanted"),
    [
        (SIZED | NORMAL, {"size_px": (48, 64), "mean": (0.5, 0.4, 0.3), "std": (0.5, 0.25, 0.5)}),
        (NORMAL | {"do_resize": False, "size": 48}, {"size_px": None}),
        (NORMAL | {"size": 48}, {"size_px": (48, 48)}),
        (NORMAL | {"size": {"shortest_edge": 40}}, {"size_px": None, "shortest_px": 40}),
        (
            {"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": {"height": 32,
             "width": 48}, "do_flip_channel_order": True},
            {"size_px": (32, 48), "channel_order": "bgr", "mean": (0, 0, 0), "std": (1, 1, 1)},
        ),
        (SIZED | NORMAL | {"ensure_multiple_of": 32}, {"multiple_px": 32}),
        (SIZED | {"do_normalize": True, "do_rescale": False, "image_mean": [51, 51, 51],
                  "image_std": [255, 255, 255]}, {"mean": (0.2,) * 3, "std": (1, 1, 1)}),
    ],
    ids=["plain", "no resize", "int", "shortest", "crop and bgr", "multiple", "no rescale"],
)  # fmt: skip
def test_the_image_processor_says_what_is_done(transformers, tmp_path, processor, wanted):
    segformer(transformers, tmp_path / "net", processor)
    found = loaded(f"hf:{tmp_path / 'net'}").preprocessing
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_a_processor_that_makes_no_sense_is_refused(transformers, tmp_path):
    segformer(transformers, tmp_path / "net", SIZED | NORMAL | {"image_std": [0, 1, 1]})
    with pytest.raises(ModelError, match=r"comes with std.0 0.0: .*; set preprocessing"):
        loaded(f"hf:{tmp_path / 'net'}")


def test_a_processor_is_part_of_the_identity(transformers, tmp_path):
    def identity():
        return model_identity(ModelConfig(reference=f"hf:{tmp_path / 'net'}", source="bay"), [])

    segformer(transformers, tmp_path / "net", SIZED | NORMAL)
    before = identity()
    assert before.weights_digest == digest((tmp_path / "net/model.safetensors").read_bytes())
    segformer(transformers, tmp_path / "net", SIZED | NORMAL | {"size": 64})
    assert identity().preprocessing.size_px == (64, 64)
    assert identity().weights_digest == before.weights_digest


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"model_type": "made-up", "auto_map": {"AutoModel": "modeling.Net"}}, "code of a repos"),
        ({"architectures": ["os.system"]}, "transformers has no network os.system"),
        ({"architectures": ["pipeline"]}, "transformers has no network pipeline"),
        ({"architectures": []}, "code of a repository is never run"),
        ({"architectures": ["A", "B"]}, "code of a repository is never run"),
    ],
)
def test_code_that_a_repository_brings_is_never_run(transformers, tmp_path, entries, message):
    canary, folder = tmp_path / "ran", tmp_path / "net"
    segformer(transformers, folder)
    (folder / "modeling.py").write_text(f"open({str(canary)!r}, 'w')")
    card = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(card | entries))
    with pytest.raises(ModelError, match=message):
        loaded(f"hf:{folder}")
    assert not canary.exists()


def test_an_auto_map_beside_a_known_architecture_is_ignored(transformers, tmp_path):
    canary, folder = tmp_path / "ran", tmp_path / "net"
    segformer(transformers, folder)
    (folder / "modeling.py").write_text(f"open({str(canary)!r}, 'w')")
    card = json.loads((folder / "config.json").read_text())
    auto_map = {"AutoModelForSemanticSegmentation": "modeling.Net", "AutoConfig": "modeling.Card"}
    (folder / "config.json").write_text(json.dumps(card | {"auto_map": auto_map}))
    assert type(loaded(f"hf:{folder}").network).__module__.startswith("transformers.")
    assert not canary.exists()


class Canary:
    """Runs a command where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return subprocess.check_call, (["touch", str(self.path)],)


def test_a_bin_file_is_read_as_tensors_or_not_at_all(transformers, tmp_path):
    network, folder = segformer(transformers, tmp_path / "net"), tmp_path / "net"
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"neither model.safetensors nor pytorch_model.bin"):
        loaded(f"hf:{folder}")
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    assert loaded(f"hf:{folder}").features(images(1))[0].shape[1] == 12
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Canary(tmp_path / "ran")}))
    with pytest.raises(ModelError, match="loaded without running code"):
        loaded(f"hf:{folder}")
    assert not (tmp_path / "ran").exists()


def test_weights_that_do_not_fit_are_refused(transformers, tmp_path):
    network, folder = segformer(transformers, tmp_path / "net"), tmp_path / "net"
    state = network.state_dict()
    for name, change, message in [
        ("decode_head.classifier.bias", None, "decode_head.classifier.bias is missing"),
        ("made.up", torch.zeros(1), "made.up is unknown"),
        ("decode_head.classifier.bias", torch.zeros(9), "does not fit"),
    ]:
        changed = {k: v for k, v in {**state, name: change}.items() if v is not None}
        torch.save(changed, tmp_path / "w.pth")
        with pytest.raises(ModelError, match=message):
            loaded(f"hf:{folder}", weights=str(tmp_path / "w.pth"))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"a": ' + " " * (1 << 20) + "1}"])
def test_a_card_that_is_none_is_refused(transformers, tmp_path, text):
    segformer(transformers, tmp_path / "net")
    (tmp_path / "net/config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config.json (is no JSON|holds a|takes \d+ bytes)"):
        loaded(f"hf:{tmp_path / 'net'}")


def test_a_folder_may_lie_on_any_file_system(transformers, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    segformer(transformers, tmp_path / "net", SIZED | NORMAL)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "net"), "/zoo/net", recursive=True)
    try:
        local, remote = loaded(f"hf:{tmp_path / 'net'}"), loaded("hf:memory://zoo/net")
    finally:
        memory.rm("/zoo", recursive=True)
    assert torch.equal(local.features(images(1))[0], remote.features(images(1))[0])


def test_a_revision_comes_from_the_hub_or_its_cache(transformers, tmp_path, monkeypatch):
    """The hub is stood in for by its own cache, which is all that an offline machine has."""
    hub = needs("huggingface_hub", "hf")
    commit = "0123456789abcdef0123456789abcdef01234567"
    root = tmp_path / "models--org--net"
    segformer(transformers, root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs/main").write_text(commit)
    real = hub.snapshot_download
    monkeypatch.setattr(
        hub,
        "snapshot_download",
        lambda *args, **kw: real(*args, **kw, cache_dir=tmp_path, local_files_only=True),
    )
    assert loaded("hf:org/net@main").features(images(1))[0].shape[1] == 12
    pinned = digest((root / "snapshots" / commit / "model.safetensors").read_bytes())
    assert loaded(f"hf:org/net@{commit}", weights_digest=pinned).id == "unet"
    with pytest.raises(ModelError, match=r"cannot be fetched .*check name, revision and network"):
        loaded("hf:org/net@other")


def test_a_revision_that_moved_is_refused_with_both_digests(transformers, tmp_path):
    segformer(transformers, tmp_path / "net")
    found = digest((tmp_path / "net/model.safetensors").read_bytes())
    with pytest.raises(ModelError, match=f"has SHA-256 {found}, not the declared .* {'ab' * 32}"):
        loaded(f"hf:{tmp_path / 'net'}", weights_digest="ab" * 32)
