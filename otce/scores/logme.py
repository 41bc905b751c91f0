"""LogME on pixels: the evidence of linear models that tell each class from features.

You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021,
and "Ranking and Tuning Pre-trained Models", JMLR 2022, section 4. Convention: nats a pixel, mean
over classes with equal weights as published, higher is better, unbounded on both sides.

Of a class with one-hot labels y: weights m ~ N(0, I/alpha), y ~ N(F m, I/beta), both precisions
those of the largest evidence. With t = alpha/beta the best beta is n/q, and what remains is

    evidence / n = -1/2 log(2 pi e q/n) - 1/(2n) sum_k log(1 + sigma_k/t),
    q(t) = min_m |y - F m|^2 + t |m|^2,

with sigma_k the eigenvalues of F'F. Its only stationary points are the published fixed points;
here the largest over t in n * 1e-12 .. n * 1e12 (features scaled to a mean square of 1) is
taken, which public code reaches to about three digits of t, in at most eleven steps, and shifts by
1e-5 in its denominators. The bounds make perfect features score high instead of infinitely high.
Features are not centred and the models have no intercept, as published.

Legend: `n` target pixels, `D` feature dimensions, `R` axes with an eigenvalue above 0, `T` target
classes, `G` values of t.
"""

import math
from typing import Final

import torch
from torch import Tensor

from otce.scores.labelled import class_sums, first_order, labelled, magnitude, second_moments
from otce.scores.moments import SUMMED_PX, Moments, occurring
from otce.scores.pixels import Array

_LARGEST_LOG_T: Final = math.log(1e12)
_GRID: Final = 100
_HALVINGS: Final = 30
"""Of a bracket of two steps of the grid, about 1 wide: log t to nine digits."""


def logme(features: Array, labels: Array) -> float:
    """Average over classes the log evidence of a linear model of the class from the features.

    Only classes that occur count; neither rotations nor the scale of the features matter, but
    their origin does. Pixels count as independent: twice the same pixels score higher.

    Args:
        features: (n, D) features at labelled target pixels.
        labels: (n,) their integer labels.

    Returns:
        Nats a pixel, higher is better.

    Raises:
        DataError: see `otce.scores.labelled.labelled`.

    Example:
        >>> telling, silent = [[1.0], [0.9], [-1.0], [-0.8]], [[1.0], [-0.9], [-1.0], [0.8]]
        >>> logme(telling, [0, 0, 1, 1]), logme(silent, [0, 0, 1, 1])
        (-1.008..., -1.072...)
    """
    features_nD, index_n = labelled(features, labels)
    with torch.no_grad():
        weight_n = torch.ones(len(index_n), dtype=torch.float64)
        return float(weighted_logme(features_nD, index_n, weight_n))


def weighted_logme(features_nD: Tensor, index_n: Tensor, weight_n: Tensor) -> Tensor:
    """LogME of pixels that count differently, as many in total as there are.

    The derivative is exact: t and m maximise the evidence, so they may be held fixed, and so may
    the eigenvectors, along which eigenvalues move to first order (those of equal eigenvalues
    count alike here).

    Args:
        features_nD: (n, D) float64 features.
        index_n: (n,) classes 0 .. T-1, all of which occur.
        weight_n: (n,) float64 positive weights; their scale does not matter.

    Returns:
        Scalar, nats a pixel, differentiable by `weight_n`.
    """
    n_pixels = len(index_n)
    weight_n = weight_n * (n_pixels / weight_n.sum())
    fixed_n = weight_n.detach()
    x_nD = _mean_square_one(features_nD)
    sums_TD, count_T = class_sums(x_nD, index_n, fixed_n)
    sigma_R1, axes_DR = _spectrum(second_moments(x_nD, fixed_n), n_pixels)
    projection_RT = axes_DR.T @ sums_TD.T
    t_T, q_T = _best_t(sigma_R1, projection_RT, count_T, n_pixels)
    evidence_T = _evidence(sigma_R1, t_T, q_T, n_pixels)

    def slope_n() -> Tensor:
        turned_nR = x_nD @ axes_DR
        error_nT = turned_nR @ (projection_RT / (t_T + sigma_R1))
        error_nT[torch.arange(n_pixels), index_n] -= 1
        # d log q / d weight, and d log(1 + sigma / t) / d weight, averaged over classes.
        misfit_n = error_nT.square() @ (1 / q_T) / len(q_T)
        leverage_n = turned_nR.square_() @ (1 / (t_T + sigma_R1)).mean(dim=1)
        slope: Tensor = -(misfit_n + leverage_n / n_pixels) / 2
        return slope

    return evidence_T.mean() + first_order(weight_n, slope_n)


def logme_of_moments(moments: Moments) -> float:
    """Take LogME of pixels of which only sums are kept.

    Args:
        moments: of at least two classes.

    Returns:
        Nats a pixel, higher is better: what `logme` gives of the same pixels.

    Raises:
        DataError: see `otce.scores.moments.occurring`.

    Example:
        >>> import numpy as np
        >>> from otce.scores.moments import pixels_moments
        >>> pixels = np.array([[1.0], [0.9], [-1.0], [-0.8]]), np.array([0, 0, 1, 1])
        >>> logme_of_moments(pixels_moments(*pixels, 2))
        -1.008...
    """
    known = occurring(moments)
    n_pixels = known.n_pixels
    mean_D, count_T = torch.from_numpy(known.mean_D), torch.from_numpy(known.count_T)
    # The model has no intercept: these are sums about 0.
    gram_DD = torch.from_numpy(known.scatter_DD) + n_pixels * torch.outer(mean_D, mean_D)
    sums_TD = torch.from_numpy(known.sums_TD) + count_T[:, None] * mean_D
    square = float(gram_DD.trace()) / (n_pixels * len(mean_D))
    scale = 1 / square if square > 0 else 1.0
    sigma_R1, axes_DR = _spectrum(scale * gram_DD, min(n_pixels, SUMMED_PX))
    projection_RT = axes_DR.T @ (scale**0.5 * sums_TD).T
    t_T, q_T = _best_t(sigma_R1, projection_RT, count_T, n_pixels)
    return float(_evidence(sigma_R1, t_T, q_T, n_pixels).mean())


def _evidence(sigma_R1: Tensor, t_T: Tensor, q_T: Tensor, n_pixels: float) -> Tensor:
    volume_T = torch.log1p(sigma_R1 / t_T).sum(dim=0)
    return -((2 * math.pi * math.e / n_pixels) * q_T).log() / 2 - volume_T / (2 * n_pixels)


def _mean_square_one(features_nD: Tensor) -> Tensor:
    largest = magnitude(features_nD)
    x_nD = features_nD / torch.where(largest > 0, largest, 1.0)
    root = torch.linalg.vector_norm(x_nD) / x_nD.numel() ** 0.5
    x_nD /= torch.where(root > 0, root, 1.0)
    return x_nD


def _spectrum(gram_DD: Tensor, n_pixels: float) -> tuple[Tensor, Tensor]:
    """Take (R, 1) eigenvalues and (D, R) axes, without those that are 0 but for rounding."""
    spectrum_D, axes_DD = torch.linalg.eigh(gram_DD)
    rounding = max(n_pixels, len(spectrum_D)) * torch.finfo(torch.float64).eps
    used_D = spectrum_D > rounding * spectrum_D[-1]
    return spectrum_D[used_D, None], axes_DD[:, used_D]


def _best_t(
    sigma_R1: Tensor, projection_RT: Tensor, count_T: Tensor, n_pixels: float
) -> tuple[Tensor, Tensor]:
    """Find the t of the largest evidence, and q there, for every class: best of a grid, halved.

    With r = |y|^2 - sum_k z_k^2 / sigma_k, what no linear model explains, and z the projections,
    q(t) = r + sum_k z_k^2 / sigma_k * t / (t + sigma_k): nothing cancels where t is small.
    """
    explained_RT = projection_RT.square() / sigma_R1
    # As many axes as pixels explain all; what subtraction leaves would be rounding.
    r_T = (count_T - explained_RT.sum(dim=0)).clamp(min=0) if len(sigma_R1) < n_pixels else 0
    log_t_G = math.log(n_pixels) + torch.linspace(
        -_LARGEST_LOG_T, _LARGEST_LOG_T, _GRID, dtype=torch.float64
    )
    ratio_GR = sigma_R1.T / log_t_G.exp()[:, None]
    q_GT = r_T + (1 / (1 + ratio_GR)) @ explained_RT
    best_T = (n_pixels * q_GT.log() + ratio_GR.log1p().sum(dim=1, keepdim=True)).argmin(dim=0)
    low_T = log_t_G[(best_T - 1).clamp(min=0)]
    high_T = log_t_G[(best_T + 1).clamp(max=_GRID - 1)]
    for _ in range(_HALVINGS):
        middle_T = (low_T + high_T) / 2
        t_T = middle_T.exp()
        shrinking_RT = t_T / (t_T + sigma_R1)
        q_T = r_T + (shrinking_RT * explained_RT).sum(dim=0)
        gamma_T = (1 - shrinking_RT).sum(dim=0)
        # The evidence rises with log t while alpha |m|^2 < gamma: MacKay's fixed point.
        t_m_T = (shrinking_RT * (1 - shrinking_RT) * explained_RT).sum(dim=0)
        rises_T = gamma_T * q_T > n_pixels * t_m_T
        low_T = torch.where(rises_T, middle_T, low_T)
        high_T = torch.where(rises_T, high_T, middle_T)
    t_T = ((low_T + high_T) / 2).exp()
    return t_T, r_T + (t_T / (t_T + sigma_R1) * explained_RT).sum(dim=0)
