"""TransRate on pixels: how many nats a pixel's features take, less those within its class.

Huang et al., "Frustratingly Easy Transferability Estimation", ICML 2022, eq. 3 and 4:
R(Z) - sum_c (n_c / n) R(Z_c), R(Z) = 1/2 log det(I + Z'Z / (n e)), with features centred over all
classes and e = 1e-4. Convention: nats, at least 0 and at most R(Z), higher is better.

Public code averages the rates of classes with equal weights 1/T. That is no rate distortion: on
unequal classes it can fall below 0, and rare classes count as much as common ones. Here they
weigh n_c / n, as in the paper's definition, which log det's concavity keeps at 0 or above; on
classes of equal size both are one. The distortion e is fixed, so that the score grows with the
scale of the features: compare models whose features have a common scale.

Legend: `n` pixels, `D` feature dimensions.
"""

from typing import Final

import torch
from torch import Tensor

from otce.errors import DataError
from otce.scores.labelled import centred, first_order, labelled, second_moments
from otce.scores.pixels import Array

_DISTORTION: Final = 1e-4
_LARGEST_VARIANCE: Final = 1e8
"""Of features whose rounding, squared, stays small against the distortion."""


def transrate(features: Array, labels: Array) -> float:
    """Estimate the mutual information of features and labels by their coding rates.

    Neither rotations nor shifts of the features change it; their scale does. It knows classes by
    their second moments about the common mean: two that lie opposite each other look alike to it.

    Args:
        features: (n, D) features at labelled target pixels.
        labels: (n,) their integer labels.

    Returns:
        Nats, at least 0, higher is better.

    Raises:
        DataError: see `otce.scores.labelled.labelled`; features so large that their rounding
            exceeds the distortion.

    Example:
        >>> square = [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]
        >>> transrate(square, [0, 0, 1, 1]), transrate(square, [0, 1, 0, 1])
        (4.258..., 0.0)
    """
    features_nD, index_n = labelled(features, labels)
    with torch.no_grad():
        weight_n = torch.ones(len(index_n), dtype=torch.float64)
        return float(weighted_transrate(features_nD, index_n, weight_n))


def weighted_transrate(features_nD: Tensor, index_n: Tensor, weight_n: Tensor) -> Tensor:
    """TransRate of pixels that count differently; a pixel of weight 2 is that pixel twice.

    Args:
        features_nD: (n, D) float64 features.
        index_n: (n,) classes 0 .. T-1, all of which occur.
        weight_n: (n,) float64 positive weights; their scale does not matter.

    Returns:
        Scalar in nats, differentiable by `weight_n`.

    Raises:
        DataError: features so large that their rounding exceeds the distortion.
    """
    share_n = weight_n / weight_n.sum()
    x_nD = centred(features_nD, share_n.detach())
    variance = float(share_n.detach() @ torch.einsum("nd,nd->n", x_nD, x_nD))
    if variance > _LARGEST_VARIANCE:
        raise DataError(
            f"the variances of the target features sum to {variance:.3g}, beside which a "
            f"distortion of {_DISTORTION:g} is rounding; at most {_LARGEST_VARIANCE:g} is "
            "allowed: scale the features"
        )
    # 0 in value: only how the mean moves with the weights.
    shift_D = share_n @ x_nD
    score = _rate(x_nD, share_n, shift_D)
    for c in range(int(index_n.max()) + 1):
        of_class = index_n == c
        class_share = share_n[of_class].sum()
        within = _rate(x_nD[of_class], share_n[of_class] / class_share, shift_D)
        score = score - class_share * within
    return score


def _rate(x_nD: Tensor, share_n: Tensor, shift_D: Tensor) -> Tensor:
    """Take 1/2 log det A, A = I + sum_i share_i (x_i - shift)(x_i - shift)' / e, shift being 0.

    log det A moves by tr(A^-1 dA); A^-1 is that of the given shares. Both are taken in the smaller
    of the two spaces: A is D x D, and I + X X' / e of weighted rows X is n x n.
    """
    fixed_n = share_n.detach() / _DISTORTION
    if x_nD.shape[0] < x_nD.shape[1]:
        rows_nD = fixed_n.sqrt()[:, None] * x_nD
        factor = _factor(rows_nD @ rows_nD.T)
        pull_D = rows_nD.T @ torch.cholesky_solve(fixed_n.sqrt()[:, None], factor)[:, 0]
    else:
        factor = _factor(second_moments(x_nD, fixed_n))
        pull_D = torch.cholesky_solve((fixed_n @ x_nD)[:, None], factor)[:, 0]

    def slope_n() -> Tensor:
        if len(factor) < x_nD.shape[1]:
            left_n = torch.cholesky_inverse(factor).diagonal()
            return (1 - left_n) / (2 * _DISTORTION * fixed_n)
        slope: Tensor = torch.einsum("nd,nd->n", x_nD @ torch.cholesky_inverse(factor), x_nD)
        return slope / (2 * _DISTORTION)

    return factor.diagonal().log().sum() + first_order(share_n, slope_n) - shift_D @ pull_D


def _factor(gram: Tensor) -> Tensor:
    factor: Tensor = torch.linalg.cholesky(gram + torch.eye(len(gram), dtype=torch.float64))
    return factor
