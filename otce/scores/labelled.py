"""Features of labelled target pixels: the check that all scores of them share.

Scores of target features and labels ask for no source images. Each has a plain function for arrays,
which checks them here, and a `weighted_` one of pixels that count differently, which
`otce.scores.influence` differentiates. No derivative runs back through a decomposition: what a
score maximises or minimises over (weights of a linear model, an inverse matrix, axes) is held fixed
at its best, which leaves the derivative exact (the envelope theorem).

Legend: `n` target pixels, `D` feature dimensions, `T` target classes that occur.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor

from otce.errors import DataError
from otce.scores.pixels import Array, side

_LARGEST: Final = 1e100
"""Magnitude up to which sums of squares of features stay in the range of float64."""

_ROWS: Final = 1000
"""Pixels that are weighted at a time, so that all of them are never copied."""


def finite(features: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """Check that features and labels of target pixels are numbers that fit together.

    Args:
        features: (n, D) real numbers, NumPy or torch.
        labels: (n,) integers, any ids.

    Returns:
        (n, D) float64 features and (n,) int64 labels, on the CPU.

    Raises:
        DataError: shapes or types that do not fit, or features that are not finite.

    Example:
        >>> finite([[0.5], [1.0]], [7, 4])[1].tolist()
        [7, 4]
    """
    features_nD, labels_n = side("target", features, labels, "cpu")
    if not math.isfinite(float(magnitude(features_nD))):
        bad = int(features_nD.numel() - features_nD.isfinite().sum())
        raise DataError(
            f"{bad} of {features_nD.numel()} target feature values are not finite; check the "
            "model's weights and its preprocessing"
        )
    return features_nD, labels_n


def labelled(features: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """Check features and labels of target pixels and name the classes 0 .. T-1.

    Args:
        features: (n, D) real numbers, NumPy or torch.
        labels: (n,) integers, any ids.

    Returns:
        features_nD: (n, D) float64 on the CPU.
        index_n: (n,) int64, the position of each label among the T label ids that occur, ascending.

    Raises:
        DataError: shapes or types that do not fit, values that are not finite or too large to be
            squared, a single class, or no class with two pixels.

    Example:
        >>> features_nD, index_n = labelled([[0.5], [1.0], [2.0]], [7, 4, 7])
        >>> features_nD.dtype, index_n.tolist()
        (torch.float64, [1, 0, 1])
    """
    features_nD, labels_n = finite(features, labels)
    largest = float(magnitude(features_nD))
    if largest > _LARGEST:
        raise DataError(
            f"a target feature has the magnitude {largest:.3g}, at most {_LARGEST:g} can be "
            "squared and summed; scale the features"
        )
    classes, index_n = labels_n.unique(return_inverse=True)
    if len(classes) == 1:
        raise DataError(
            f"all {len(labels_n)} target pixels have the label {int(classes[0])}; features are "
            "scored by how they tell classes apart: draw pixels of at least two"
        )
    if len(classes) == len(labels_n):
        raise DataError(
            f"{len(labels_n)} target pixels have {len(classes)} labels; at least one class must "
            "have two pixels: draw more"
        )
    return features_nD, index_n


def magnitude(values: Tensor) -> Tensor:
    """Find the largest magnitude, in one pass without a copy.

    Args:
        values: at least one number.

    Returns:
        Scalar, at least 0.

    Example:
        >>> float(magnitude(torch.tensor([1.0, -3.0])))
        3.0
    """
    low, high = values.aminmax()
    return torch.maximum(-low, high)


def centred(features_nD: Tensor, share_n: Tensor) -> Tensor:
    """Take out the mean, so that a constant dimension becomes exactly 0.

    Args:
        features_nD: (n, D) float64 features.
        share_n: (n,) float64 weights, which sum to 1.

    Returns:
        (n, D) features of weighted mean 0.

    Example:
        >>> share_n = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
        >>> centred(torch.tensor([[1.0], [3.0], [3.0]], dtype=torch.float64), share_n).tolist()
        [[-1.0], [1.0], [1.0]]
    """
    # The mean of a constant is not exactly that constant in floating point; that of zeros is.
    from_least_nD = features_nD - features_nD.amin(dim=0)
    from_least_nD -= share_n @ from_least_nD
    return from_least_nD


def second_moments(x_nD: Tensor, share_n: Tensor) -> Tensor:
    """Sum share_i x_i x_i'.

    Args:
        x_nD: (n, D) float64.
        share_n: (n,) float64 weights, not differentiated.

    Returns:
        (D, D) float64, exactly symmetric.

    Example:
        >>> ones_n = torch.ones(2, dtype=torch.float64)
        >>> second_moments(torch.tensor([[1.0, 2.0], [0.0, 1.0]]).double(), ones_n).tolist()
        [[1.0, 2.0], [2.0, 5.0]]
    """
    total_DD = np.zeros((x_nD.shape[1],) * 2)
    for part_nD, root_n in zip(x_nD.split(_ROWS), share_n.sqrt().split(_ROWS), strict=True):
        rows_nD = (root_n[:, None] * part_nD).numpy()
        # NumPy sees that both factors are one and takes half the products; torch does not.
        total_DD += rows_nD.T @ rows_nD
    return torch.from_numpy(total_DD)


def class_sums(x_nD: Tensor, index_n: Tensor, share_n: Tensor) -> tuple[Tensor, Tensor]:
    """Sum weighted pixels, and weights, by class.

    Args:
        x_nD: (n, D) float64.
        index_n: (n,) classes 0 .. T-1, all of which occur.
        share_n: (n,) float64 weights.

    Returns:
        (T, D) sums of share_i x_i, and (T,) sums of share_i.

    Example:
        >>> x_nD, index_n = torch.tensor([[1.0], [2.0], [4.0]]).double(), torch.tensor([0, 1, 0])
        >>> class_sums(x_nD, index_n, torch.ones(3).double())[0].tolist()
        [[5.0], [2.0]]
    """
    classes = int(index_n.max()) + 1
    # A product runs at the speed of the arithmetic; adding rows one by one does not.
    share_Tn = torch.nn.functional.one_hot(index_n, classes).T.to(share_n) * share_n
    return share_Tn @ x_nD, share_Tn.sum(dim=1)


def first_order(share_n: Tensor, slope_n: Callable[[], Tensor]) -> Tensor:
    """Give a score its derivative: a scalar of value 0 whose derivative by the weights is known.

    Args:
        share_n: (n,) weights.
        slope_n: gives the (n,) derivative; called only if one is asked for.

    Returns:
        Scalar to be added to the score's value.

    Example:
        >>> share_n = torch.ones(2, requires_grad=True)
        >>> value = 3.0 + first_order(share_n, lambda: torch.tensor([0.5, -0.5]))
        >>> value.item(), torch.autograd.grad(value, share_n)[0].tolist()
        (3.0, [0.5, -0.5])
    """
    if not share_n.requires_grad:
        return share_n.new_zeros(())
    return (share_n - share_n.detach()) @ slope_n().detach()
