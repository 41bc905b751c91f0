"""Every score that one coupling of a draw gives, with its influences on both sides.

`otce` is -H(Y_t | Y_s), `normalized` 1 - H(Y_t | Y_s) / H(Y_t) and `wasserstein` the negated
transport cost; `otce_robust` is `otce` of another recipe (semi-relaxed, both sides balanced by
class). Higher is better everywhere. Transport costs of models compare only where features are
scaled.

To first order H(Y_t | Y_s) = sum_ij P_ij L_ij with L_ij = -log P(y_j | y_i) moves by sum_ij dP_ij
L_ij alone: it is homogeneous of degree 1 in the joint, so that L contributes nothing. So every
score is a sum over the plan, whose `Derivative` knows how it moves. Influences are derivatives by
the logarithm of a pixel's multiplicity. A uniform weight gives way to the multiplicity of all
pixels of its side; a weight by class only to that of its class, whose total is fixed: its
influences sum to 0 over every class. Features stay as they were scaled.

Legend: `N` source pixels, `M` target pixels, `S`, `T` source and target classes that occur, `C`
either of both, `n` pixels of a side.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from otce.errors import TransportError
from otce.recipe import ClassWeights, FeatureScaling, Relaxation, Solver
from otce.scores.influence import Measured
from otce.scores.otce import Score, log_conditional, score_of
from otce.scores.pixels import Array, Pixels
from otce.transport import Coupling


class Coupled(NamedTuple):
    """What one coupling of a draw says.

    Attributes:
        score: the score with its joint, per-pixel risks and certificate.
        otce: -H(Y_t | Y_s) in nats, at most 0, with influences.
        normalized: 1 - H(Y_t | Y_s) / H(Y_t) in [0, 1]; 0, as all influences, when H(Y_t) is 0.
        wasserstein: -<C, plan> in units of the scaled cost, at most 0.
    """

    score: Score
    otce: Measured
    normalized: Measured
    wasserstein: Measured


def measure_pixels(
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
) -> Coupled:
    """Couple one draw once and take from it all scores with their influences.

    Args:
        source_features: as in `otce.score_pixels`, like all arguments.
        source_labels: (N,) integer labels.
        target_features: (M, D) features.
        target_labels: (M,) integer labels.
        epsilon: entropic regularisation.
        feature_scaling: how features are scaled.
        relaxation: which marginal is free.
        class_weights: how pixels are weighted.
        solver: which solver.
        tolerance: largest L1 marginal error.
        max_iterations: passes over all pixels.
        device: torch device.

    Returns:
        The score, to the bit that of `otce.score_pixels`, and what else the coupling gives.

    Raises:
        DataError: shapes, types or labels that do not fit together.
        TransportError: as in `otce.score_pixels`.

    Example:
        >>> import numpy as np
        >>> source, target = np.array([[0.0], [1.0], [5.0]]), np.array([[0.5], [5.0], [9.0]])
        >>> found = measure_pixels(source, [0, 0, 1], target, [0, 0, 1], epsilon=1.0)
        >>> round(found.otce.value, 3), found.otce.target_influence.round(3).tolist()
        (-0.333, [0.107, 0.011, -0.118])
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
    return couple_and_measure(
        pixels,
        epsilon=epsilon,
        relaxation=relaxation,
        solver=solver,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )


def couple_and_measure(pixels: Pixels, *, epsilon: float, **recipe: Any) -> Coupled:
    """Couple a draw that is ready and take from it all scores with their influences.

    Args:
        pixels: the draw.
        epsilon: entropic regularisation.
        **recipe: the other arguments of `Pixels.couple`.

    Returns:
        All that the coupling gives.

    Raises:
        TransportError: as in `Pixels.couple`.
    """
    (coupling,) = pixels.couple((epsilon,), onehot_MT=pixels.target_onehot, **recipe)
    return measure(pixels, coupling)


def measure(pixels: Pixels, coupling: Coupling) -> Coupled:
    """Read all scores with their influences off a coupling.

    Args:
        pixels: a draw.
        coupling: of these pixels, solved with their one-hot target labels as one-hot target labels.

    Returns:
        All that the coupling gives.

    Raises:
        TransportError: a coupling without a derivative.
    """
    if coupling.derivative is None:
        raise TransportError(
            "the coupling has no derivative, so no influences; solve it with "
            "onehot_MT=pixels.target_onehot, and of several epsilons measure the smallest"
        )
    score = score_of(pixels, coupling)
    surprise_ST = -log_conditional(torch.as_tensor(score.joint).to(pixels.a_N.device))
    of_class_NT = surprise_ST[pixels.onehot_NS.argmax(1)]
    paid = coupling.derivative
    row_NQ = torch.column_stack([(of_class_NT * paid.mass_NT).sum(1), paid.cost_N])
    risk_M = torch.as_tensor(score.pixel_risk).to(pixels.b_M.device)
    column_MQ = torch.column_stack([risk_M, paid.cost_M])
    source_NQ, target_MQ = (-by_weight for by_weight in paid.gradient(row_NQ, column_MQ))
    otce = _measured(pixels, score.otce, source_NQ[:, 0], target_MQ[:, 0])
    return Coupled(
        score=score,
        otce=otce,
        normalized=_normalized(pixels, score, source_NQ[:, 0], target_MQ[:, 0]),
        wasserstein=_measured(pixels, -score.transport_cost, source_NQ[:, 1], target_MQ[:, 1]),
    )


def _normalized(pixels: Pixels, score: Score, source_N: Tensor, target_M: Tensor) -> Measured:
    """Differentiate 1 + otce / H(Y_t) by the quotient rule."""
    entropy_nats = score.target_entropy
    if entropy_nats == 0:
        none_N, none_M = torch.zeros_like(source_N), torch.zeros_like(target_M)
        return _measured(pixels, score.normalized, none_N, none_M)
    share_T = pixels.b_M @ pixels.target_onehot
    # Up to a multiple of the weights, H(Y_t) changes by -b_j log P(y_j).
    entropy_M = -pixels.b_M * share_T.log()[pixels.target_index_M]
    target_M = target_M / entropy_nats - score.otce / entropy_nats**2 * entropy_M
    return _measured(pixels, score.normalized, source_N / entropy_nats, target_M)


def _measured(pixels: Pixels, value: float, source_N: Tensor, target_M: Tensor) -> Measured:
    """Turn gradients by log weights into influences of multiplicities.

    Args:
        pixels: the draw, which knows how its weights were made.
        value: the score.
        source_N: gradient by log a, up to a multiple of a.
        target_M: gradient by log b, up to a multiple of b.

    Returns:
        The score with influences of all pixels of the draw, 0 for those without weight.
    """
    of_class_MT, of_class_NS = pixels.target_onehot, pixels.onehot_NS
    source_N = source_N - pixels.a_N * (source_N.sum() / pixels.a_N.sum())
    of_prior_M = torch.zeros_like(target_M)
    if pixels.class_weights == "target_prior":
        # A target pixel that counts more makes source pixels of its class weigh more, too.
        is_same_ST = pixels.source_classes[:, None] == pixels.target_classes[None, :]
        moved_T = (source_N @ of_class_NS) @ is_same_ST.double() / of_class_MT.sum(0)
        of_prior_M = moved_T[pixels.target_index_M]
    if pixels.class_weights != "uniform":
        source_N = _within_classes(source_N, pixels.a_N, of_class_NS)
    if pixels.class_weights == "balanced":
        target_M = _within_classes(target_M, pixels.b_M, of_class_MT)
    target_M = target_M - pixels.b_M * (target_M.sum() / pixels.b_M.sum()) + of_prior_M
    source = source_N.new_zeros(len(pixels.used))
    source[pixels.used] = source_N
    return Measured(value, target_M.cpu().numpy(), source.cpu().numpy())


def _within_classes(by_weight_n: Tensor, weight_n: Tensor, onehot_nC: Tensor) -> Tensor:
    """Take out what pixels of a class gain together: their total weight is fixed."""
    occurs_C = onehot_nC.sum(0) > 0
    onehot_nC = onehot_nC[:, occurs_C]
    level_C = (by_weight_n @ onehot_nC) / (weight_n @ onehot_nC)
    return by_weight_n - weight_n * (onehot_nC @ level_C)
