"""Networks of the libraries, with small random weights: heads, features and input are right."""

from pathlib import Path

import pytest
import torch

from otce.errors import ModelError
from otce.model_config import ModelConfig
from otce.zoo import model_identity
from otce.zoo.preprocess import input_size, to_input
from tests.zoo_nets import N_CLASSES, images, loaded, needs, saved, seeded

STATED = {"mean": [0.5] * 3, "std": [0.25] * 3}


def check(model, head, dim, stride, size=(64, 96)):
    """Features are those that, through the head and resized, are the logits: found by name here."""
    features = model.features(images(1, size))[0]
    assert model._resolved.path == head
    entered_px = input_size(*size, model.preprocessing)
    assert features.shape[1] == dim
    assert tuple(features.shape[2:]) == tuple(side // stride for side in entered_px)
    heard = []
    module = model.network.get_submodule(head)
    handle = module.register_forward_hook(lambda _, inputs, __: heard.append(inputs[0]))
    with torch.inference_mode():
        model.network(to_input(images(1, size), model.preprocessing, model.device))
    handle.remove()
    torch.testing.assert_close(features, heard[0], atol=1e-5, rtol=1e-5)


@pytest.fixture
def torchvision():
    needs("torchvision", "torchvision")
    return needs("torchvision.models.segmentation", "torchvision")


def test_torchvision(torchvision, tmp_path):
    """The auxiliary head runs after the main one and has as many classes."""
    arguments = {"num_classes": N_CLASSES, "aux_loss": True}
    network = seeded(
        torchvision.deeplabv3_mobilenet_v3_large, weights=None, weights_backbone=None, **arguments
    )
    model = loaded(
        "torchvision:deeplabv3_mobilenet_v3_large",
        weights=saved(network, tmp_path / "w"),
        arguments=arguments,
    )
    check(model, "classifier.4", 256, 16)
    assert model.preprocessing.size_px is model.preprocessing.shortest_px is None


def test_lraspp_has_two_halves_and_no_head(torchvision, tmp_path):
    network = seeded(
        torchvision.lraspp_mobilenet_v3_large,
        weights=None,
        weights_backbone=None,
        num_classes=N_CLASSES,
    )
    given = {
        "weights": saved(network, tmp_path / "w"),
        "arguments": {"num_classes": N_CLASSES},
    }
    reference = "torchvision:lraspp_mobilenet_v3_large"
    with pytest.raises(ModelError) as caught:
        loaded(reference, **given).features(images(1))[0]
    assert "classifier.low_classifier (0." in str(caught.value)
    assert "feature map, such as classifier.cbr (128 at 4x6)" in str(caught.value)
    named = loaded(reference, tap="classifier.cbr", **given)
    assert named.features(images(1))[0].shape == (1, 128, 4, 6)


def test_named_weights_of_torchvision_bring_classes_and_transforms(
    torchvision, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = seeded(
        torchvision.lraspp_mobilenet_v3_large, weights=None, weights_backbone=None, num_classes=21
    )
    path = tmp_path / "hub/checkpoints/lraspp_mobilenet_v3_large-d234d4ea.pth"
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    model = loaded("torchvision:lraspp_mobilenet_v3_large/DEFAULT", n_classes=21, tap="logits")
    assert torch.equal(
        model.network.classifier.low_classifier.weight, network.classifier.low_classifier.weight
    )
    assert model.preprocessing.shortest_px == 520
    assert input_size(360, 480, model.preprocessing) == (520, 693)
    wide = {"preprocessing": {"size_px": "image"}}
    kept = loaded("torchvision:lraspp_mobilenet_v3_large/DEFAULT", n_classes=21, **wide)
    assert input_size(360, 480, kept.preprocessing) == (360, 480)


@pytest.mark.parametrize(
    ("name", "head", "dim", "stride"),
    [
        ("unet/mobilenet_v2", "segmentation_head.0", 16, 1),
        ("fpn/mobilenet_v2", "segmentation_head.0", 128, 4),
        ("pspnet/mobilenet_v2", "segmentation_head.0", 512, 8),
        ("deeplabv3plus/mobilenet_v2", "segmentation_head.0", 256, 4),
        ("segformer/mit_b0", "segmentation_head.0", 256, 4),
        ("linknet/tu-mobilenetv3_small_050", "segmentation_head.0", 32, 1),
    ],
)
def test_smp(tmp_path, name, head, dim, stride):
    smp = needs("segmentation_models_pytorch", "smp")
    network = seeded(smp.create_model, *name.split("/"), encoder_weights=None, classes=N_CLASSES)
    model = loaded(
        f"smp:{name}",
        weights=saved(network, tmp_path / "w"),
        arguments={"classes": N_CLASSES},
        preprocessing=STATED,
    )
    check(model, head, dim, stride)
    assert input_size(50, 70, model.preprocessing) == (64, 96)
    assert model.features(images(1, (50, 70)))[0].shape[2:] == (64 // stride, 96 // stride)


def test_what_an_encoder_of_smp_wants_is_asked_of_smp(monkeypatch, tmp_path):
    smp = needs("segmentation_models_pytorch", "smp")
    needs("timm", "smp")
    weights = saved(torch.nn.Conv2d(3, 5, 1), tmp_path / "w")

    def wanted(encoder, **fields):
        reference = f"smp:dpt/{encoder}" if "vit" in encoder else f"smp:unet/{encoder}"
        config = ModelConfig(reference=reference, weights=weights, source="bay", **fields)
        return model_identity(config, []).preprocessing

    assert wanted("tu-mobilenetv3_small_050").mean == (0.485, 0.456, 0.406)
    transformer = wanted("tu-vit_tiny_patch16_224")
    assert (transformer.size_px, transformer.mean) == ((224, 224), (0.5, 0.5, 0.5))
    card = {"input_space": "BGR", "input_range": [0, 255], "mean": [51, 102, 153], "std": [51] * 3}
    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", lambda _: card)
    found = wanted("vgg16")
    assert (found.channel_order, found.mean, found.std) == ("bgr", (0.2, 0.4, 0.6), (0.2,) * 3)
    assert wanted("vgg16", preprocessing={"std": [1, 1, 1]}).std == (1, 1, 1)

    def unreachable(_):
        raise OSError("no network")

    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", unreachable)
    with pytest.raises(ModelError, match=r"set preprocessing.mean and preprocessing.std"):
        wanted("vgg16")
    assert wanted("vgg16", preprocessing=STATED).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "arguments", "head", "dim", "stride"),
    [
        ("UNet", {"channels": [8, 16], "strides": [2]}, "model.2.conv", 24, 2),
        ("BasicUNet", {"features": [8, 8, 8, 8, 8, 6]}, "final_conv", 6, 1),
        ("SegResNet", {"init_filters": 8}, "conv_final.2.conv", 8, 1),
        ("AttentionUnet", {"channels": [8, 16], "strides": [2]}, "model.2.conv", 8, 1),
        ("UNETR", {"img_size": [32, 64], "feature_size": 8, "hidden_size": 24, "mlp_dim": 24,
                   "num_heads": 2}, "out.conv.conv", 8, 1),
    ],
)  # fmt: skip
def test_monai(tmp_path, name, arguments, head, dim, stride):
    """The head of `UNet` is a transposed convolution: its input has half the logits' size."""
    nets = needs("monai.networks.nets", "monai")
    given = {"in_channels": 3, "out_channels": N_CLASSES} | arguments
    network = seeded(getattr(nets, name), spatial_dims=2, **given)
    model = loaded(
        f"monai:{name}",
        weights=saved(network, tmp_path / "w"),
        arguments={"out_channels": N_CLASSES} | arguments,
    )
    check(model, head, dim, stride)
    if "img_size" in arguments:
        assert model.preprocessing.size_px == (32, 64)


def test_arguments_that_a_network_does_not_take_are_refused(tmp_path):
    needs("monai", "monai")
    weights = saved(torch.nn.Conv2d(3, 5, 1), tmp_path / "w")
    with pytest.raises(ModelError, match=r"cannot be built: TypeError: .*out_chanels.*mend"):
        loaded("monai:UNet", weights=weights, arguments={"out_chanels": 5})
    with pytest.raises(ModelError, match=r"w does not fit monai:SegResNet: .* is missing"):
        loaded("monai:SegResNet", weights=weights, arguments={"out_channels": 5})


def test_the_identity_holds_library_version_and_preprocessing(tmp_path, monkeypatch):
    needs("monai", "monai")
    weights = saved(torch.nn.Conv2d(3, 5, 1), Path(tmp_path / "w"))

    def identity(**fields):
        config = ModelConfig(reference="monai:UNet", weights=weights, source="bay", **fields)
        return model_identity(config, [])

    before = identity()
    assert identity(preprocessing={"multiple_px": 32}) == before
    assert identity(preprocessing={"multiple_px": 16}) != before
    monkeypatch.setattr("otce.zoo.libraries.version", lambda _: "0.0")
    assert identity().code_digest != before.code_digest
