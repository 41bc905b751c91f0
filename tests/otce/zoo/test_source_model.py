"""A source model gives the features at its tap; whatever fails in it names it."""

import numpy as np
import pytest
import torch
from torch import nn

from otce.errors import ModelError
from otce.model_config import Preprocessing
from otce.zoo import SourceModel
from otce.zoo.preprocess import to_input

CPU = torch.device("cpu")


def tapped(tap):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)
    )
    return SourceModel("unet", network.eval(), Preprocessing(), tap, CPU)


def images_of(seed, n=2, size=(6, 8)):
    return list(np.random.default_rng(seed).integers(0, 256, (n, *size, 3), dtype=np.uint8))


def test_feature_maps_are_what_the_head_sees():
    model, images = tapped("head"), images_of(0)
    maps = model.features(images)[0]
    with torch.inference_mode():
        wanted = model.network[:3](to_input(images, Preprocessing(), CPU))
    assert torch.equal(maps, wanted)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(model.features(images[1:])[0], maps[1:])


def test_logits_and_modules_are_taps():
    assert tapped("logits").features(images_of(0))[0].shape == (2, 2, 6, 8)
    assert tapped("1").features(images_of(0))[0].shape == (2, 4, 6, 8)


@pytest.mark.parametrize(
    ("tap", "message"),
    [("encoder", "model unet: tap 'encoder' is no module"), ("head", "model unet: 0 convolutions")],
)
def test_a_tap_that_is_not_found_names_the_model(tap, message):
    model = tapped(tap)
    model.network = nn.Identity()
    with pytest.raises(ModelError, match=message):
        model.features(images_of(0))[0]


def test_a_tap_that_gives_no_map_names_the_model():
    model = tapped("3")
    model.network[3] = nn.Flatten()
    with pytest.raises(ModelError, match="model unet: tap '3' gives"):
        model.features(images_of(0))[0]


def test_a_network_that_fails_names_the_model_and_the_size():
    """It was a bare RuntimeError, which named neither."""
    model = tapped("head")
    model.network[0] = nn.Conv2d(3, 4, 9)
    message = r"model unet: fails on images of 8x6 pixels: RuntimeError: .*; mend it or set"
    with pytest.raises(ModelError, match=message):
        model.features(images_of(0))[0]


def test_a_device_without_memory_is_left_to_the_caller(monkeypatch):
    model = tapped("head")

    def forward(_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(model.network[0], "forward", forward)
    with pytest.raises(torch.OutOfMemoryError):
        model.features(images_of(0))[0]
