import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

PATH = Path(__file__).parents[2] / "examples" / "nets.py"
N_CLASSES = 7
BUILDERS = ("depthwise", "unet", "pyramid")


def load_nets():
    spec = importlib.util.spec_from_file_location("examples_nets", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=BUILDERS)
def net(request):
    torch.manual_seed(0)
    return getattr(load_nets(), request.param)(N_CLASSES).eval()


def classifiers(net):
    return [part for part in net.modules() if getattr(part, "out_channels", None) == N_CLASSES]


@pytest.mark.parametrize("size_px", [(32, 48), (33, 47), (101, 75), (180, 240)])
@torch.no_grad()
def test_logits_have_the_size_of_the_image(net, size_px):
    logits = net(torch.rand(2, 3, *size_px))
    assert logits.shape == (2, N_CLASSES, *size_px)
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("builder", "fewest", "most"),
    [("depthwise", 30_000, 60_000), ("unet", 60_000, 90_000), ("pyramid", 90_000, 120_000)],
)
def test_nets_are_small(builder, fewest, most):
    net = getattr(load_nets(), builder)(11)
    assert fewest <= sum(weights.numel() for weights in net.parameters()) <= most


@torch.no_grad()
def test_the_logits_are_the_resized_output_of_the_only_classifier(net):
    [classifier] = classifiers(net)
    assert isinstance(classifier, nn.Conv2d)
    assert classifier.kernel_size == (1, 1)
    outputs = []
    classifier.register_forward_hook(lambda *call: outputs.append(call[2]))
    logits = net(torch.rand(1, 3, 61, 83))
    resized = interpolate(outputs[0], (61, 83), mode="bilinear", align_corners=False)
    assert torch.equal(logits, resized)


@pytest.mark.parametrize(
    ("builder", "n_features", "stride"), [("depthwise", 64, 4), ("unet", 32, 2)]
)
@torch.no_grad()
def test_features_are_what_the_description_says(builder, n_features, stride):
    net = getattr(load_nets(), builder)(N_CLASSES).eval()
    [classifier] = classifiers(net)
    inputs = []
    classifier.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    net(torch.rand(1, 3, 64, 96))
    assert inputs[0].shape == (1, n_features, 64 // stride, 96 // stride)
