"""Images to network input, as the model's preprocessing says."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from otce.config import Preprocessing


def to_input(
    images: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing, device: torch.device
) -> Tensor:
    """Stack, resize and normalise images.

    Args:
        images: B images of one size, (H, W, 3) uint8 RGB.
        preprocessing: what the model wants.
        device: where the network is.

    Returns:
        (B, 3, h, w) float32.
    """
    stacked = torch.from_numpy(np.stack(images)).to(device)
    pixels_BCHW = stacked.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    if preprocessing.size_px is not None and preprocessing.size_px != pixels_BCHW.shape[2:]:
        pixels_BCHW = functional.interpolate(
            pixels_BCHW, size=preprocessing.size_px, mode="bilinear", antialias=True
        )
    if preprocessing.channel_order == "bgr":
        pixels_BCHW = pixels_BCHW.flip(1)
    mean, std = (
        torch.tensor(values, device=device).view(1, 3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return pixels_BCHW.sub_(mean).div_(std).contiguous()
