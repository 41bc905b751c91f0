"""OTCE on pixels: minus the conditional entropy of the target label given the source label.

Tan, Li, Huang, "Transferability Estimation for Semantic Segmentation Task", arXiv 2109.15242.
Convention: nats; `otce` is at most 0 and higher is better; `normalized` is in [0, 1].

Legend: `N` source pixels, `M` target pixels, `D` feature dimensions, `S`, `T` source and target
classes that occur; `joint_ST` = P(Y_s, Y_t), `mass_SM` = plan mass from each source class to each
target pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from otce.recipe import ClassWeights, FeatureScaling, Relaxation, Solver
from otce.scores.pixels import Array, Pixels
from otce.transport import Coupling


@dataclass(frozen=True)
class Score:
    """The score of one repetition, with its explanation and its certificate.

    Attributes:
        otce: -H(Y_t | Y_s) in nats, at most 0, higher is better.
        normalized: 1 - H(Y_t | Y_s) / H(Y_t) in [0, 1], higher is better; 0 when H(Y_t) is 0.
        joint: (S, T) float64, P(Y_s, Y_t), sums to 1.
        source_classes: (S,) label ids of the rows.
        target_classes: (T,) label ids of the columns.
        pixel_risk: (M,) float64 nats, each target pixel's share of H(Y_t | Y_s); sums to -otce.
        transport_cost: <C, plan> in units of the scaled cost, at least 0.
        target_entropy: H(Y_t) in nats under the target weights; otce is at least minus this.
        marginal_error: L1 error of the coupling's marginals (an upper bound with our own solver),
            within the tolerance.
        n_iterations: solver iterations; 0 for solvers without.
        converged: always true; a coupling that is not solved is an error and no score.
        degenerate: `none`, or the side that has a single class, where the score says nothing.
    """

    otce: float
    normalized: float
    joint: NDArray[np.float64]
    source_classes: NDArray[np.int64]
    target_classes: NDArray[np.int64]
    pixel_risk: NDArray[np.float64]
    transport_cost: float
    target_entropy: float
    marginal_error: float
    n_iterations: int
    converged: bool
    degenerate: Literal["none", "source", "target"]


def score_pixels(
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
) -> Score:
    """Score one draw of source and target pixels.

    Args:
        source_features: (N, D) features of labelled source pixels, any floating type.
        source_labels: (N,) integer labels.
        target_features: (M, D) features of labelled target pixels, from the same model.
        target_labels: (M,) integer labels, in a label space of their own or the same.
        epsilon: entropic regularisation in units of the scaled squared distance, positive; far
            larger distances (1e12 epsilons) are refused, with every solver.
        feature_scaling: see `otce.scaling.scale`; `none` is the paper's.
        relaxation: `none` couples with both marginals (the paper); `source` leaves the source
            marginal free, which has a closed form.
        class_weights: `uniform` (the paper); `balanced` gives every class of a side the same
            weight; `balanced_source` on the source side only; `target_prior` gives source classes
            their target shares, for one label space on both sides.
        solver: `auto` (our own) and `pot` are entropic, `emd` is exact transport without epsilon.
        tolerance: largest L1 marginal error of a solved coupling. At 1e-3 the score was within
            1e-3 nats of the converged one in every regime measured (`benchmarks/README.md`).
        max_iterations: passes over all pixels after which an unsolved coupling is an error.
        device: torch device to compute on; by default where the source features are. On a CPU
            the same number of threads gives the same bits; another number moves the last digits.

    Returns:
        The score with its joint, per-pixel risks and certificate.

    Raises:
        DataError: shapes, types or labels that do not fit together.
        TransportError: no certified coupling, features that are not finite, or bad settings.

    Example:
        >>> import numpy as np
        >>> features = np.array([[0.0], [0.1], [5.0], [5.1]])
        >>> score = score_pixels(features, [0, 0, 1, 1], features, [7, 7, 8, 8])
        >>> round(score.otce, 6) == 0, score.joint.round(3).tolist()
        (True, [[0.5, 0.0], [0.0, 0.5]])
    """
    (score,) = score_epsilons(
        source_features,
        source_labels,
        target_features,
        target_labels,
        epsilons=(epsilon,),
        feature_scaling=feature_scaling,
        relaxation=relaxation,
        class_weights=class_weights,
        solver=solver,
        tolerance=tolerance,
        max_iterations=max_iterations,
        device=device,
    )
    return score


def score_epsilons(
    source_features: Array,
    source_labels: Array,
    target_features: Array,
    target_labels: Array,
    *,
    epsilons: Sequence[float],
    feature_scaling: FeatureScaling = "standardize",
    relaxation: Relaxation = "none",
    class_weights: ClassWeights = "uniform",
    solver: Solver = "auto",
    tolerance: float = 1e-3,
    max_iterations: int = 20_000,
    device: str | None = None,
) -> list[Score]:
    """Score one draw at several epsilons: how much the score owes to the choice of epsilon.

    With `solver="auto"` all come from one descent of the temperature, each starting where the one
    before ended. At large epsilon every plan is the product of the weights and the score is
    -H(Y_t); at small epsilon it is exact transport.

    Args:
        source_features: as in `score_pixels`, like all arguments but `epsilons`.
        source_labels: (N,) integer labels.
        target_features: (M, D) features.
        target_labels: (M,) integer labels.
        epsilons: positive regularisations in units of the scaled squared distance.
        feature_scaling: how features are scaled.
        relaxation: which marginal is free.
        class_weights: how pixels are weighted.
        solver: `auto` or `pot`; with `emd` all scores are the same.
        tolerance: largest L1 marginal error, at every epsilon.
        max_iterations: passes for one epsilon.
        device: torch device.

    Returns:
        One score an epsilon, in the given order.

    Raises:
        DataError: shapes, types or labels that do not fit together.
        TransportError: as in `score_pixels`, for any of the epsilons.

    Example:
        >>> import numpy as np
        >>> features = np.array([[0.0], [0.1], [5.0], [5.1]])
        >>> scores = score_epsilons(
        ...     features, [0, 0, 1, 1], features, [7, 7, 8, 8], epsilons=[0.1, 100.0])
        >>> [round(score.otce, 3) for score in scores]
        [-0.0, -0.693]
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
    couplings = pixels.couple(
        epsilons,
        relaxation=relaxation,
        solver=solver,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    return [score_of(pixels, coupling) for coupling in couplings]


def score_of(pixels: Pixels, coupling: Coupling) -> Score:
    """Read the score off a coupling.

    Args:
        pixels: a draw.
        coupling: of these pixels, solved.

    Returns:
        The score with its joint, per-pixel risks and certificate.
    """
    # Labels are one-hot, so the classes of a target pixel sum to its weight but for rounding.
    mass_SM = coupling.mass_SM * (pixels.b_M / coupling.mass_SM.sum(0))
    onehot_MT = pixels.target_onehot
    # P(Y_s, Y_t): plan mass summed over pixels of equal labels.
    joint_ST = mass_SM @ onehot_MT
    total = joint_ST.sum()
    joint_ST = joint_ST / total
    # r_j = - sum_s plan(s, j) log P(y_j | s), so that H(Y_t | Y_s) = sum_j r_j exactly.
    log_conditional_ST = log_conditional(joint_ST)
    risk_M = -(mass_SM / total * log_conditional_ST[:, pixels.target_index_M]).sum(0)
    entropy_nats = max(float(risk_M.sum()), 0.0)
    target_entropy_nats = _entropy(onehot_MT.T @ pixels.b_M)
    return Score(
        otce=0.0 - entropy_nats,
        normalized=_normalized(entropy_nats, target_entropy_nats),
        joint=joint_ST.cpu().numpy(),
        source_classes=pixels.source_classes.cpu().numpy(),
        target_classes=pixels.target_classes.cpu().numpy(),
        pixel_risk=risk_M.cpu().numpy(),
        transport_cost=coupling.cost,
        target_entropy=target_entropy_nats,
        marginal_error=coupling.marginal_error,
        n_iterations=coupling.n_iterations,
        converged=coupling.converged,
        degenerate=_degenerate(len(pixels.source_classes), len(pixels.target_classes)),
    )


def log_conditional(joint_ST: Tensor) -> Tensor:
    """Take log P(Y_t | Y_s) of an (S, T) joint.

    Args:
        joint_ST: (S, T) float64, at least 0.

    Returns:
        (S, T) nats; 0 where the joint has no mass, which then weighs nothing.
    """
    positive = joint_ST > 0
    conditional = torch.where(positive, joint_ST, 1.0) / torch.where(
        positive, joint_ST.sum(1, keepdim=True), 1.0
    )
    return conditional.log()


def _entropy(probabilities: Tensor) -> float:
    # Weights sum to 1 but for rounding, which must not give a single class an entropy.
    p = probabilities / probabilities.sum()
    return max(float(-torch.xlogy(p, p).sum()), 0.0)


def _normalized(entropy_nats: float, target_entropy_nats: float) -> float:
    if target_entropy_nats == 0:
        return 0.0
    # Clipped for rounding only: the target marginal of the joint is exact.
    return min(max(1 - entropy_nats / target_entropy_nats, 0.0), 1.0)


def _degenerate(n_source: int, n_target: int) -> Literal["none", "source", "target"]:
    if n_target == 1:
        return "target"
    return "source" if n_source == 1 else "none"
