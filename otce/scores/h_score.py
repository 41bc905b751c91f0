"""H-score on pixels: how much of the features' spread lies between the classes.

Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP
2019, definition 2: tr(cov(f)^-1 cov(E[f | y])). Shrunk: Ibrahim, Ponomareva, Mazumder, "Newer is
not always better", arXiv 2110.06893, with the shrinkage of Ledoit and Wolf, "A well-conditioned
estimator for large-dimensional covariance matrices", 2004. Convention: between 0 and the smaller
of T - 1 and D, higher is better.

All covariances are divided by n. Public code divides that of class means by n - 1 in the shrunk
score alone, which is n / (n - 1) times ours. Where the covariance is singular its pseudo-inverse is
taken after every dimension was scaled to a range of 1 (both for the plain score, which no such
scaling changes); eigenvalues up to max(n, D) times the rounding of the largest count as 0, where
public code takes 1e-15 of the largest, which is within rounding.

Legend: `n` target pixels, `D` feature dimensions, `T` target classes.
"""

from typing import Final

import torch
from torch import Tensor

from otce.scores.labelled import centred, class_sums, first_order, labelled, second_moments
from otce.scores.pixels import Array

_SOLVABLE: Final = 1e-10
"""Smallest squared pivot, relative to the largest, with which Cholesky factors are trusted."""


def h_score(features: Array, labels: Array) -> float:
    """Take the H-score, which no invertible affine map of the features changes.

    It rises to T - 1 for any features once there are as many dimensions as pixels; use
    `h_score_shrunk` there.

    Args:
        features: (n, D) features at labelled target pixels.
        labels: (n,) their integer labels.

    Returns:
        Between 0 and min(T - 1, D), higher is better; 0 for features that are constant.

    Raises:
        DataError: see `otce.scores.labelled.labelled`.

    Example:
        >>> h_score([[1.0], [0.9], [-1.0], [-0.8]], [0, 0, 1, 1])
        0.99...
    """
    features_nD, index_n = labelled(features, labels)
    with torch.no_grad():
        weight_n = torch.ones(len(index_n), dtype=torch.float64)
        return float(weighted_h_score(features_nD, index_n, weight_n))


def weighted_h_score(features_nD: Tensor, index_n: Tensor, weight_n: Tensor) -> Tensor:
    """H-score of pixels that count differently; a pixel of weight 2 is that pixel twice.

    Args:
        features_nD: (n, D) float64 features.
        index_n: (n,) classes 0 .. T-1, all of which occur.
        weight_n: (n,) float64 positive weights; their scale does not matter.

    Returns:
        Scalar, differentiable by `weight_n`.
    """
    share_n = weight_n / weight_n.sum()
    x_nD = centred(features_nD, share_n.detach())
    x_nD /= _or_one(_range(x_nD))
    nothing = torch.zeros((), dtype=torch.float64)
    covariance_DD = second_moments(x_nD, share_n.detach())
    return _between(x_nD, index_n, share_n, covariance_DD, nothing, nothing)


def h_score_shrunk(features: Array, labels: Array) -> float:
    """Take the H-score of a covariance shrunk towards a multiple of the identity.

    Neither rotations nor shifts nor the scale of all features change it.

    Args:
        features: (n, D) features at labelled target pixels.
        labels: (n,) their integer labels.

    Returns:
        Between 0 and min(T - 1, D), higher is better; 0 for features that are constant, or that
        are shrunk altogether.

    Raises:
        DataError: see `otce.scores.labelled.labelled`.

    Example:
        >>> h_score_shrunk([[1.0, 0.0], [0.9, 0.2], [-1.0, 0.1], [-0.8, 0.0]], [0, 0, 1, 1])
        0.98...
    """
    features_nD, index_n = labelled(features, labels)
    with torch.no_grad():
        weight_n = torch.ones(len(index_n), dtype=torch.float64)
        return float(weighted_h_score_shrunk(features_nD, index_n, weight_n))


def weighted_h_score_shrunk(features_nD: Tensor, index_n: Tensor, weight_n: Tensor) -> Tensor:
    """Shrunk H-score of pixels that count differently, as many in total as there are.

    The shrinkage moves with the weights, too.

    Args:
        features_nD: (n, D) float64 features.
        index_n: (n,) classes 0 .. T-1, all of which occur.
        weight_n: (n,) float64 positive weights; their scale does not matter.

    Returns:
        Scalar, differentiable by `weight_n`.
    """
    share_n = weight_n / weight_n.sum()
    x_nD = centred(features_nD, share_n.detach())
    x_nD /= _or_one(_range(x_nD).max())
    covariance_DD = second_moments(x_nD, share_n.detach())
    shrinkage, variance = _ledoit_wolf(x_nD, share_n, covariance_DD)
    return _between(x_nD, index_n, share_n, covariance_DD, shrinkage, variance)


def _range(x_nD: Tensor) -> Tensor:
    return x_nD.amax(dim=0) - x_nD.amin(dim=0)


def _or_one(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, 1.0)


def _ledoit_wolf(x_nD: Tensor, share_n: Tensor, covariance_DD: Tensor) -> tuple[Tensor, Tensor]:
    """Find how far, and to which multiple of the identity, the covariance is to be shrunk.

    Lemma 3.2 and section 3.3 of the paper of 2004, with |A|^2 the sum of squares: the multiple is
    the mean variance, and the share min(1, (E|x x' - S|^2 / n) / |S - variance I|^2).
    """
    n_pixels, n_dims = x_nD.shape
    # 0 in value: only how the mean moves with the weights.
    shift_D = share_n @ x_nD
    squared_n = torch.einsum("nd,nd->n", x_nD, x_nD) - 2 * (x_nD @ shift_D)
    variance = share_n @ squared_n / n_dims
    uneven_DD = covariance_DD - variance.detach() * torch.eye(n_dims, dtype=torch.float64)
    # |A|^2 moves by 2 tr(A dA).
    distance = uneven_DD.square().sum() + first_order(
        share_n, lambda: 2 * torch.einsum("nd,nd->n", x_nD @ uneven_DD, x_nD)
    )
    noise = (share_n @ squared_n.square() - distance - n_dims * variance.square()) / n_pixels
    # A single dimension has a single variance and leaves nothing to shrink.
    if n_dims == 1 or not noise > 0:
        return torch.zeros_like(variance), variance
    if noise >= distance:
        return torch.ones_like(variance), variance
    return noise / distance, variance


def _between(
    x_nD: Tensor,
    index_n: Tensor,
    share_n: Tensor,
    covariance_DD: Tensor,
    shrinkage: Tensor,
    variance: Tensor,
) -> Tensor:
    """Take (1 - a) tr(C^-1 cov(E[x | y])) of the shrunk covariance C = (1 - a) S + a variance I.

    d' C^-1 d = max_v 2 v'd - v'C v for the mean d of every class; the best v is held fixed, so
    that the derivative asks for no more than the features along T directions.
    """
    sums_TD, share_T = class_sums(x_nD, index_n, share_n.detach())
    means_TD = sums_TD / share_T[:, None]
    a, variance_0 = shrinkage.detach(), variance.detach()
    identity_DD = torch.eye(x_nD.shape[1], dtype=torch.float64)
    shrunk_DD = (1 - a) * covariance_DD + a * variance_0 * identity_DD
    v_DT = solved(shrunk_DD, means_TD.T, len(x_nD))
    spread_T = (v_DT * (covariance_DD @ v_DT)).sum(dim=0)
    size_T = v_DT.square().sum(dim=0)

    def slope_n() -> Tensor:
        along_nT = x_nD @ v_DT
        # The common mean, too, moves with the weights, but the best v sum to 0 over pixels.
        own_n = along_nT.gather(1, index_n[:, None])[:, 0]
        kept_T = (1 - a) * spread_T + a * variance_0 * size_T
        return 2 * own_n - kept_T[index_n] - (1 - a) * (along_nT.square() @ share_T)

    reached = share_T @ (means_TD.T * v_DT).sum(dim=0)
    kept = (1 - shrinkage) * (share_T @ spread_T) + shrinkage * variance * (share_T @ size_T)
    return (1 - shrinkage) * (2 * reached - kept + first_order(share_n, slope_n))


def solved(matrix_DD: Tensor, right_DT: Tensor, n_pixels: int) -> Tensor:
    """Solve with a symmetric matrix that has no negative eigenvalues, or its pseudo-inverse."""
    factor_DD, failed = torch.linalg.cholesky_ex(matrix_DD)
    pivot_D = factor_DD.diagonal().square()
    if not failed and bool(pivot_D.min() > _SOLVABLE * pivot_D.max()):
        return torch.cholesky_solve(right_DT, factor_DD)
    spectrum_D, axes_DD = torch.linalg.eigh(matrix_DD)
    rounding = max(n_pixels, len(matrix_DD)) * torch.finfo(torch.float64).eps
    used_D = spectrum_D > rounding * spectrum_D[-1]
    axes_DD = axes_DD[:, used_D]
    solution_DT: Tensor = axes_DD @ ((axes_DD.T @ right_DT) / spectrum_D[used_D, None])
    return solution_DT
