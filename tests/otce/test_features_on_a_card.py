"""Extraction on a card: the CPU's features, the same twice, fewer images when it is full."""

import numpy as np
import pytest
import torch
from torch import nn

from otce.errors import ModelError
from otce.features import extract, round_alike
from tests.zoo_nets import images

pytestmark = pytest.mark.gpu

PIXELS = np.arange(40) % 24, np.arange(40) % 32


class Convolved:
    """A net of two layers on a device, as `extract` calls models."""

    def __init__(self, device, width=16):
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 8, 3, padding=1)
        ).to(device)
        self.device, self.batches = device, []

    @torch.inference_mode()
    def features(self, batch):
        self.batches.append(len(batch))
        stacked = torch.from_numpy(np.stack(batch)).to(self.device)
        return (self.net(stacked.permute(0, 3, 1, 2).float() / 255),)


def extracted(model, some, batch_size=8):
    rows = extract(
        "net", model.features, range(len(some)), some.__getitem__, [PIXELS] * len(some),
        batch_size=batch_size,
    )  # fmt: skip
    return np.stack([features for (features,) in rows])


@pytest.fixture
def little_memory():
    """A card of which this process may take 300 MB."""
    torch.cuda.empty_cache()
    whole_bytes = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(3e8 / whole_bytes)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_features_are_those_of_the_cpu_and_the_same_twice():
    some = images(6, (24, 32))
    round_alike()
    on_card = [extracted(Convolved("cuda"), some) for _ in range(2)]
    np.testing.assert_array_equal(*on_card)
    np.testing.assert_allclose(on_card[0], extracted(Convolved("cpu"), some), atol=1e-5)


@pytest.mark.usefixtures("little_memory")
def test_a_card_that_is_full_takes_fewer_images_at_once():
    """Of 512 x 512 pixels the first map of one image is 64 MiB: eight are too many, two fit."""
    some = images(8, (512, 512))
    model = Convolved("cuda", width=64)
    found = extracted(model, some)
    assert model.batches[0] == 8
    assert 1 <= model.batches[-1] < 8
    torch.cuda.set_per_process_memory_fraction(1.0)
    np.testing.assert_allclose(found, extracted(Convolved("cuda", width=64), some), atol=1e-5)


@pytest.mark.usefixtures("little_memory")
def test_a_card_too_small_for_one_image_is_an_error_that_names_it():
    model = Convolved("cuda", width=64)
    with pytest.raises(ModelError, match="net: no memory for one image of 1536x1536 pixels"):
        extracted(model, images(2, (1536, 1536)))
