"""Checks of what metrics of target pixels are given; what passes can be scored without NaN.

Legend: `n` target pixels, `D` feature dimensions, `Z` source classes, `T` target classes that
occur.
"""

from typing import Final

import torch
from torch import Tensor

from otce.errors import DataError
from otce.scores.labelled import finite, magnitude
from otce.scores.pixels import Array

_SUM_ERROR: Final = 1e-3


def probabilities(source_probabilities: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """Check a model's softmax at labelled pixels.

    Args:
        source_probabilities: (n, Z) rows that sum to 1.
        labels: (n,) integers.

    Returns:
        (n, Z) float64 probabilities and (n,) labels, on the CPU.

    Raises:
        DataError: shapes or types that do not fit, values that are no probabilities.
    """
    theta_nZ = torch.as_tensor(source_probabilities).detach().double().cpu()
    labels_n = torch.as_tensor(labels).detach().cpu()
    if theta_nZ.ndim != 2 or labels_n.shape != theta_nZ.shape[:1] or not theta_nZ.numel():  # noqa: PLR2004
        raise DataError(
            f"probabilities of shape {tuple(theta_nZ.shape)} and labels of shape "
            f"{tuple(labels_n.shape)}; give (n, Z) and (n,) with at least one pixel"
        )
    _refuse_no_integers("labels", labels_n)
    error = float((theta_nZ.sum(dim=1) - 1).abs().max())
    if not error <= _SUM_ERROR or float(theta_nZ.min()) < 0:
        raise DataError(
            f"rows are no probabilities (a sum is off by {error:.3g}, the smallest value is "
            f"{float(theta_nZ.min()):.3g}); apply a softmax to logits"
        )
    return theta_nZ, labels_n


def features(values: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """Check features of labelled pixels and bring them into a range where squares are finite.

    Args:
        values: (n, D) real numbers.
        labels: (n,) integers.

    Returns:
        (n, D) float64 features over the largest magnitude among them, which no metric here can
        tell, and (n,) positions of the labels among the classes that occur, on the CPU.

    Raises:
        DataError: shapes or types that do not fit, features that are not finite.
    """
    x_nD, labels_n = finite(values, labels)
    largest = magnitude(x_nD)
    return x_nD / torch.where(largest > 0, largest, 1.0), labels_n.unique(return_inverse=True)[1]


def images_of(images: Array, pixels: int) -> Tensor:
    """Check the images that pixels come from.

    Args:
        images: (n,) integer position of each pixel's image.
        pixels: n.

    Returns:
        (n,) positions among the images that occur, on the CPU.

    Raises:
        DataError: another shape, no integers, or fewer than two images.
    """
    images_n = torch.as_tensor(images).detach().cpu()
    if images_n.shape != (pixels,):
        raise DataError(
            f"images of shape {tuple(images_n.shape)} for {pixels} pixels; give one image a pixel"
        )
    _refuse_no_integers("images", images_n)
    index_n: Tensor
    found, index_n = images_n.unique(return_inverse=True)
    if len(found) == 1:
        raise DataError(
            f"all {pixels} pixels come from image {found.item()}; this metric compares images: "
            "give pixels of at least two"
        )
    return index_n


def counts(weight_n: Tensor, pixels: int) -> Tensor:
    """Check pixel weights and take out their common scale.

    Args:
        weight_n: (n,) float64, positive.
        pixels: n.

    Returns:
        Weights over the largest: exactly 1 where all are equal. The largest is a constant to
        the derivative, which is right for a score that a common scale does not change.

    Raises:
        DataError: another shape or type, or weights that are not positive and finite.
    """
    if weight_n.shape != (pixels,) or weight_n.dtype != torch.float64:
        raise DataError(
            f"weights of shape {tuple(weight_n.shape)} and type {weight_n.dtype} for {pixels} "
            "pixels; give one float64 weight a pixel"
        )
    if not bool(((weight_n > 0) & weight_n.isfinite()).all()):
        raise DataError("some weights are not positive and finite; leave pixels without weight out")
    count_n: Tensor = weight_n / weight_n.detach().max()
    return count_n


def equal_weights(labels: Array) -> Tensor:
    """Let every labelled pixel count alike.

    Args:
        labels: (n,) labels, not checked.

    Returns:
        (n,) float64 ones.
    """
    return torch.ones(torch.as_tensor(labels).numel(), dtype=torch.float64)


def _refuse_no_integers(what: str, values_n: Tensor) -> None:
    if values_n.is_floating_point() or values_n.is_complex():
        raise DataError(f"{what} of type {values_n.dtype}; {what} are integers")
