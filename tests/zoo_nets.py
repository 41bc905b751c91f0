"""A small network, its weights on disk, and models made of references to it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.functional import interpolate

from otce.model_config import ModelConfig
from otce.zoo import load_model
from otce.zoo.libraries import library

N_CLASSES = 5


class Net(nn.Module):
    """Eight features at stride 2; dropout and batch normalisation, which evaluation turns off."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout()
        )
        self.head = nn.Conv2d(8, N_CLASSES, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits of the image's size."""
        return interpolate(self.head(self.body(image)), image.shape[2:], mode="bilinear")


def seeded(make=Net, *args, **kwargs):
    """A network with weights that are the same every time, in evaluation mode."""
    torch.manual_seed(0)
    return make(*args, **kwargs).eval()


def saved(network: nn.Module, path: Path) -> str:
    """Write a network's state dict as safetensors; returns the path."""
    state = {name: value.clone().contiguous() for name, value in network.state_dict().items()}
    path.write_bytes(safetensors.torch.save(state))
    return str(path)


def loaded(reference: str, n_classes: int | None = N_CLASSES, **fields):
    """The model of a reference."""
    config = ModelConfig(reference=reference, **{"source": "bay"} | fields)
    return load_model("unet", config, python_path=[], n_classes=n_classes)


def images(n=2, size=(64, 96)):
    """Noise."""
    return list(np.random.default_rng(0).integers(0, 256, (n, *size, 3), dtype=np.uint8))


def needs(module: str, extra: str):
    """An optional library, imported as the product imports it; the test is skipped without."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"needs the {extra} extra: pip install 'otce[{extra}]'")
    return library(module, extra)
