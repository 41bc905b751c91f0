"""Images enter a network with the size, channel order and normalisation that it wants."""

import numpy as np
import pytest
import torch

from otce.errors import ModelError
from otce.model_config import Preprocessing, PreprocessingChoice
from otce.zoo.preprocess import checked, chosen, described, input_size, to_input

PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


def entered(images, **fields):
    return to_input(images, Preprocessing(**fields), torch.device("cpu"))


def test_images_are_normalised_by_channel():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 1] = [255, 51, 102]
    found = entered([image], mean=(0.5, 0.1, 0.2), std=(0.5, 0.1, 0.4))
    assert found.shape == (1, 3, 2, 2)
    torch.testing.assert_close(found[0, :, 0, 1], torch.tensor([1.0, 1.0, 0.5]))
    torch.testing.assert_close(found[0, :, 1, 1], torch.tensor([-1.0, -1.0, -0.5]))


def test_bgr_turns_the_channels_before_they_are_normalised():
    image = np.full((1, 1, 3), [255, 51, 102], np.uint8)
    found = entered([image], channel_order="bgr", mean=(0.4, 0.1, 0.5), std=(1, 0.1, 0.25))
    torch.testing.assert_close(found.flatten(), torch.tensor([0.0, 1.0, 2.0]))


def test_images_keep_their_size_or_take_the_one_asked_for():
    generator = np.random.default_rng(1)
    images = list(generator.integers(0, 256, (3, 12, 16, 3), dtype=np.uint8))
    assert entered(images).shape == (3, 3, 12, 16)
    assert torch.equal(entered(images, size_px=(12, 16)), entered(images))
    halved = entered(images, size_px=(6, 8), **PLAIN)
    assert halved.shape == (3, 3, 6, 8)
    torch.testing.assert_close(halved.mean(), entered(images, **PLAIN).mean(), atol=0.02, rtol=0)


def test_resizing_is_antialiased():
    """Thin stripes become their mean, where plain bilinear sampling would miss them all."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[::4] = 255
    found = entered([stripes], size_px=(4, 4), **PLAIN)
    torch.testing.assert_close(found[:, :, 1:3], torch.full((1, 3, 2, 4), 0.25))


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, (100, 150)),
        ({"size_px": (40, 50)}, (40, 50)),
        ({"shortest_px": 50}, (50, 75)),
        ({"multiple_px": 32}, (128, 160)),
        ({"shortest_px": 64, "multiple_px": 32}, (64, 96)),
        ({"size_px": (40, 64), "multiple_px": 32}, (64, 64)),
    ],
)
def test_an_image_enters_in_the_size_that_the_network_takes(fields, wanted):
    assert input_size(100, 150, Preprocessing(**fields)) == wanted
    image = np.zeros((100, 150, 3), np.uint8)
    assert entered([image], **fields).shape[2:] == wanted
    turned = input_size(150, 100, Preprocessing(**fields))
    assert "size_px" in fields or turned == wanted[::-1]


@pytest.mark.parametrize(
    ("stated", "size_px", "shortest_px"),
    [
        ({}, (8, 8), None),
        ({"size_px": (4, 6)}, (4, 6), None),
        ({"size_px": "image"}, None, None),
        ({"shortest_px": 5}, None, 5),
    ],
)
def test_the_configuration_has_the_last_word_on_size(stated, size_px, shortest_px):
    found = chosen(PreprocessingChoice(**stated), Preprocessing(size_px=(8, 8), multiple_px=4))
    assert (found.size_px, found.shortest_px, found.multiple_px) == (size_px, shortest_px, 4)


def test_what_is_not_stated_is_left_to_the_library():
    known = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1), channel_order="bgr")
    assert chosen(PreprocessingChoice(), known) == known
    found = chosen(PreprocessingChoice(std=(2, 2, 2), channel_order="rgb"), known)
    assert (found.mean, found.std, found.channel_order) == ((0, 0, 0), (2, 2, 2), "rgb")


def test_what_is_done_is_told_in_a_line():
    assert described(Preprocessing()) == "rgb, ImageNet mean and std"
    told = described(Preprocessing(size_px=(8, 9), multiple_px=4, mean=(0, 0, 0.5), std=(1, 1, 1)))
    assert told == "resize to 8x9, stretch to multiples of 4, rgb, mean 0 0 0.5, std 1 1 1"
    assert described(Preprocessing(shortest_px=520)).startswith("resize shorter side to 520, rgb")


@pytest.mark.parametrize(
    "known", [{"std": [0, 1, 1]}, {"mean": [0.5]}, {"size_px": [0, 8]}, {"std": ["x", 1, 1]}]
)
def test_a_library_that_says_what_cannot_be_is_refused(known):
    with pytest.raises(ModelError, match=r"^a card comes with .*; set preprocessing$"):
        checked(known, "a card")
