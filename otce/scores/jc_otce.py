"""JC-OTCE: OTCE under a cost that knows the labels of both pixels.

Tan, Zhang, Li, Huang, Zhang, "Transferability-Guided Cross-Domain Cross-Task Transfer Learning",
arXiv 2207.05510: pixels cost g |f - f'|^2 + (1 - g) W(P_y, P_y'), g = 0.5, where W compares the
features of two classes. Here W is the squared 2-Wasserstein distance between Gaussian fits with
diagonal covariances to the scaled features of the source class and of the target class.
Convention: nats, at most 0, higher is better.

That distance, |m - m'|^2 + |s - s'|^2 of means m and deviations s, is Euclidean, so the cost is the
squared distance of features with sqrt(1 - g) (m, s) of their class appended: any solver serves
unchanged, whichever marginal is free. As S + T points span S + T - 1 dimensions, no more columns
are appended.

Legend: `N` source pixels, `M` target pixels, `D` feature dimensions, `S`, `T` source and target
classes that occur, `C` = S + T, `R` appended columns.
"""

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from otce.recipe import ClassWeights, FeatureScaling, Relaxation, Solver
from otce.scores.otce import score_of
from otce.scores.pixels import Array, Pixels

FEATURE_SHARE: Final = 0.5
"""g of the paper."""


def jc_otce(
    source_features: Array,
    source_labels: Array,
    target_features: Array,
    target_labels: Array,
    *,
    epsilon: float = 0.1,
    feature_scaling: FeatureScaling = "standardize",
    relaxation: Relaxation = "none",
    class_weights: ClassWeights = "uniform",
    solver: Solver = "auto",
    tolerance: float = 1e-3,
    max_iterations: int = 20_000,
    device: str | None = None,
) -> float:
    """Score one draw under the label-aware cost.

    Args:
        source_features: as in `otce.score_pixels`, like all arguments.
        source_labels: (N,) integer labels.
        target_features: (M, D) features.
        target_labels: (M,) integer labels.
        epsilon: entropic regularisation in units of the label-aware cost.
        feature_scaling: how features are scaled, before classes are fitted.
        relaxation: which marginal is free.
        class_weights: how pixels are weighted.
        solver: which solver.
        tolerance: largest L1 marginal error.
        max_iterations: passes over all pixels.
        device: torch device.

    Returns:
        -H(Y_t | Y_s) in nats, at most 0, higher is better.

    Raises:
        DataError: shapes, types or labels that do not fit together.
        TransportError: as in `otce.score_pixels`.

    Example:
        >>> import numpy as np
        >>> features = np.array([[0.0], [1.0], [5.0], [6.0]])
        >>> round(jc_otce(features, [0, 0, 1, 1], features, [7, 7, 8, 8]), 3)
        -0.0
    """
    pixels = Pixels.of(
        source_features,
        source_labels,
        target_features,
        target_labels,
        feature_scaling=feature_scaling,
        class_weights=class_weights,
        device=device,
    )
    labelled = label_aware(pixels)
    (coupling,) = labelled.couple(
        (epsilon,),
        relaxation=relaxation,
        solver=solver,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    return score_of(labelled, coupling).otce


def label_aware(pixels: Pixels, feature_share: float = FEATURE_SHARE) -> Pixels:
    """Append to every pixel what makes squared distances the label-aware cost.

    Args:
        pixels: a draw.
        feature_share: g, from 0 to 1.

    Returns:
        The same draw with (N, D + R) and (M, D + R) features; coupled and measured like any other.
        Its influences hold for classes fitted as they are.
    """
    source_index_N = pixels.onehot_NS.argmax(1)
    source_classes, source_index_N = source_index_N.unique(return_inverse=True)
    fits_C = torch.cat(
        [
            _gaussians(pixels.source_ND, source_index_N),
            _gaussians(pixels.target_MD, pixels.target_index_M),
        ]
    )
    point_CR = (1 - feature_share) ** 0.5 * _coordinates(fits_C)
    of_source_SR, of_target_TR = point_CR.tensor_split([len(source_classes)])
    root = feature_share**0.5
    source_NE = torch.cat([root * pixels.source_ND, of_source_SR[source_index_N]], dim=1)
    target_ME = torch.cat([root * pixels.target_MD, of_target_TR[pixels.target_index_M]], dim=1)
    return replace(pixels, source_ND=source_NE, target_MD=target_ME)


def _gaussians(x_nD: Tensor, index_n: Tensor) -> Tensor:
    """Fit the mean and the deviation (ddof 0) of every dimension to each class; (classes, 2 D).

    Pixels of a class weigh the same, whatever classes weigh.
    """
    classes = [x_nD[index_n == index] for index in range(int(index_n.max()) + 1)]
    return torch.stack(
        [torch.cat([x_cD.mean(dim=0), x_cD.std(dim=0, correction=0)]) for x_cD in classes]
    )


def _coordinates(point_CE: Tensor) -> Tensor:
    """Turn points so that few coordinates are not 0; centred, and as far apart as before."""
    point_CE = point_CE - point_CE.mean(dim=0)
    if point_CE.shape[1] < len(point_CE):
        return point_CE
    _, triangle_CE = torch.linalg.qr(point_CE.T)
    turned_CE: Tensor = triangle_CE.T.contiguous()
    return turned_CE
