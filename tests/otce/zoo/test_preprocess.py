"""Images enter a network with the size, channel order and normalisation that it wants."""

import numpy as np
import torch

from otce.model_config import Preprocessing
from otce.zoo.preprocess import to_input

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
