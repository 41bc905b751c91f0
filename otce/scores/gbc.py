"""GBC on pixels: how far the classes, each taken for a Gaussian, overlap.

Pandy et al., "Transferability Estimation using Bhattacharyya Class Separability", CVPR 2022, eq. 4
to 6: minus the sum over ordered pairs of classes of exp(-D_B), D_B the Bhattacharyya distance.
Convention: between -T (T - 1) and 0, higher is better.

As published for segmentation: features on at most 64 principal axes, diagonal Gaussians with
variances divided by the pixels of the class and at least 1e-4. That floor is in units of squared
features: the score depends on their scale once variances come near it. The axes are those of all
pixels counted alike, found by an exact eigendecomposition: equal pixels give equal scores, no seed
takes part. They are always taken, even of fewer than 64 dimensions, so that no rotation of the
features changes the score (but where two principal variances are equal, and the axes ambiguous).

Legend: `n` target pixels, `D` feature dimensions, `P` principal axes, `T` target classes.
"""

from typing import Final

import scipy.linalg
import torch
from torch import Tensor

from otce.scores.labelled import centred, class_sums, labelled, magnitude, second_moments
from otce.scores.pixels import Array

_AXES: Final = 64
_LEAST_VARIANCE: Final = 1e-4


def gbc(features: Array, labels: Array) -> float:
    """Add up how far every two classes overlap, and take it negative.

    Args:
        features: (n, D) features at labelled target pixels.
        labels: (n,) their integer labels.

    Returns:
        Between -T (T - 1), all classes alike, and 0, no overlap; higher is better.

    Raises:
        DataError: see `otce.scores.labelled.labelled`.

    Example:
        >>> gbc([[1.0], [0.0], [2.0], [1.0]], [0, 0, 1, 1])
        -1.21...
        >>> gbc([[1.0], [0.0], [1.0], [0.0]], [0, 0, 1, 1])
        -2.0
    """
    features_nD, index_n = labelled(features, labels)
    with torch.no_grad():
        weight_n = torch.ones(len(index_n), dtype=torch.float64)
        return float(weighted_gbc(features_nD, index_n, weight_n))


def weighted_gbc(features_nD: Tensor, index_n: Tensor, weight_n: Tensor) -> Tensor:
    """GBC of pixels that count differently; their principal axes are those of all counted alike.

    The axes are part of the features: no weight turns them, and so they have no part in the
    derivative. Along given axes a pixel of weight 2 is that pixel twice.

    Args:
        features_nD: (n, D) float64 features.
        index_n: (n,) classes 0 .. T-1, all of which occur.
        weight_n: (n,) float64 positive weights; their scale does not matter.

    Returns:
        Scalar, differentiable by `weight_n` (a variance at its floor does not move).
    """
    return _minus_overlap(_principal(features_nD), index_n, weight_n)


def _principal(features_nD: Tensor) -> Tensor:
    """Turn features onto their principal axes, at most 64 of them."""
    n_pixels, n_dims = features_nD.shape
    alike_n = torch.full((n_pixels,), 1 / n_pixels, dtype=torch.float64)
    x_nD = centred(features_nD, alike_n)
    largest = magnitude(x_nD)
    x_nD /= torch.where(largest > 0, largest, 1.0)
    _, axes_DP = scipy.linalg.eigh(
        second_moments(x_nD, alike_n).numpy(),
        subset_by_index=[max(n_dims - _AXES, 0), n_dims - 1],
    )
    return largest * (x_nD @ torch.from_numpy(axes_DP))


def _minus_overlap(x_nP: Tensor, index_n: Tensor, weight_n: Tensor) -> Tensor:
    sums_TP, weight_T = class_sums(x_nP, index_n, weight_n)
    mean_TP = sums_TP / weight_T[:, None]
    # Moments about the class mean, which is a constant here: to first order they do not move
    # with it.
    from_mean_nP = x_nP - mean_TP.detach()[index_n]
    squares_TP, _ = class_sums(from_mean_nP.square(), index_n, weight_n)
    variance_TP = (squares_TP / weight_T[:, None]).clamp(min=_LEAST_VARIANCE)
    total = -torch.zeros((), dtype=torch.float64)
    for c in range(len(mean_TP) - 1):
        middle_TP = (variance_TP[c] + variance_TP[c + 1 :]) / 2
        apart_T = ((mean_TP[c] - mean_TP[c + 1 :]).square() / middle_TP).sum(dim=1) / 8
        ratio_TP = middle_TP.log() - (variance_TP[c].log() + variance_TP[c + 1 :].log()) / 2
        # Twice: both orders of the pair.
        total = total - 2 * (-apart_T - ratio_TP.sum(dim=1) / 2).exp().sum()
    return total
