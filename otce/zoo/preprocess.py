"""Images to network input, as the model's preprocessing says."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from otce.errors import ModelError
from otce.model_config import Preprocessing, PreprocessingChoice


def checked(known: Mapping[str, Any], where: str) -> Preprocessing:
    """Hold what a library says of the input against what is possible.

    Args:
        known: fields of `Preprocessing`.
        where: who says so, for errors.

    Returns:
        The preprocessing, defaults filled in.

    Raises:
        ModelError: a value is none.
    """
    try:
        return Preprocessing.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"{where} comes with {place} {first['input']!r}: {first['msg']}; set preprocessing"
        ) from error


def chosen(choice: PreprocessingChoice, known: Preprocessing) -> Preprocessing:
    """Let the configuration have the last word over the library.

    Args:
        choice: what the configuration says.
        known: what the library says.

    Returns:
        The preprocessing that is done.
    """
    stated = {name: value for name, value in choice if value is not None}
    if {"size_px", "shortest_px"} & stated.keys():
        stated = {"size_px": None, "shortest_px": None} | stated
    if choice.size_px == "image":
        stated["size_px"] = None
    return known.model_copy(update=stated)


def described(preprocessing: Preprocessing) -> str:
    """Tell what is done to an image, for people.

    Args:
        preprocessing: of a model.

    Returns:
        One line.
    """
    parts = []
    if preprocessing.size_px is not None:
        height_px, width_px = preprocessing.size_px
        parts.append(f"resize to {height_px}x{width_px}")
    elif preprocessing.shortest_px is not None:
        parts.append(f"resize shorter side to {preprocessing.shortest_px}")
    if preprocessing.multiple_px > 1:
        parts.append(f"stretch to multiples of {preprocessing.multiple_px}")
    parts.append(preprocessing.channel_order)
    usual = Preprocessing()
    if (preprocessing.mean, preprocessing.std) == (usual.mean, usual.std):
        return ", ".join([*parts, "ImageNet mean and std"])
    mean, std = (
        " ".join(f"{value:.4g}" for value in values)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return ", ".join([*parts, f"mean {mean}", f"std {std}"])


def input_size(height_px: int, width_px: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Say how large an image enters the network.

    Args:
        height_px: of the image.
        width_px: of the image.
        preprocessing: what the model wants.

    Returns:
        Height and width.

    Example:
        >>> input_size(360, 480, Preprocessing(shortest_px=520, multiple_px=32))
        (544, 704)
    """
    if preprocessing.size_px is not None:
        height_px, width_px = preprocessing.size_px
    elif preprocessing.shortest_px is not None:
        shorter = min(height_px, width_px)
        height_px, width_px = (
            preprocessing.shortest_px * side // shorter for side in (height_px, width_px)
        )
    multiple = preprocessing.multiple_px
    # Stretched and not padded: a map then covers the image, whole and alone.
    return math.ceil(height_px / multiple) * multiple, math.ceil(width_px / multiple) * multiple


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
    size_px = input_size(images[0].shape[0], images[0].shape[1], preprocessing)
    if size_px != pixels_BCHW.shape[2:]:
        pixels_BCHW = functional.interpolate(
            pixels_BCHW, size=size_px, mode="bilinear", antialias=True
        )
    if preprocessing.channel_order == "bgr":
        pixels_BCHW = pixels_BCHW.flip(1)
    mean, std = (
        torch.tensor(values, device=device).view(1, 3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return pixels_BCHW.sub_(mean).div_(std).contiguous()
