"""OTCE on pixels: minus the conditional entropy of the target label given the source label.

Tan, Li, Huang, "Transferability Estimation for Semantic Segmentation Task", arXiv 2109.15242.
Convention: nats; `otce` is at most 0 and higher is better; `normalized` is in [0, 1].

Legend: `N` source pixels, `M` target pixels, `D` feature dimensions, `S`, `T` source and target
classes that occur; `joint_ST` = P(Y_s, Y_t), `mass_SM` = plan mass from each source class to each
target pixel.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from otce import transport
from otce.errors import DataError, TransportError
from otce.recipe import ClassWeights, FeatureScaling, Relaxation, Solver
from otce.scaling import scale

Array = Any
"""A NumPy array or a torch tensor, on any device."""


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
        marginal_error: L1 error of the coupling's marginals, within the tolerance.
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
        solver: `auto` and `pot` are entropic, `emd` is exact transport without epsilon.
        tolerance: largest L1 marginal error of a solved coupling.
        max_iterations: iterations after which an unsolved coupling is an error.
        device: torch device to compute on; by default where the source features are.

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
    _validate_settings(epsilon, tolerance, max_iterations)
    _validate_words(feature_scaling, relaxation, class_weights, solver)
    source_ND, source_y = _side("source", source_features, source_labels, device)
    target_MD, target_y = _side("target", target_features, target_labels, str(source_ND.device))
    if source_ND.shape[1] != target_MD.shape[1]:
        raise DataError(
            f"source features have {source_ND.shape[1]} dimensions and target features "
            f"{target_MD.shape[1]}; take both from the same model and tap"
        )
    a_N, b_M = _weights(source_y, target_y, class_weights)
    source_classes, source_index = source_y.unique(return_inverse=True)
    target_classes, target_index = target_y.unique(return_inverse=True)
    onehot_NS, onehot_MT = (
        torch.nn.functional.one_hot(i).double() for i in (source_index, target_index)
    )
    source_ND, target_MD = scale(source_ND, target_MD, feature_scaling)
    used = a_N > 0
    coupling = _couple(
        (source_ND[used], a_N[used], onehot_NS[used]),
        (target_MD, b_M),
        epsilon=epsilon,
        relaxation=relaxation,
        solver=solver,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    # P(Y_s, Y_t): plan mass summed over pixels of equal labels.
    joint_ST = coupling.mass_SM @ onehot_MT
    total = joint_ST.sum()
    joint_ST = joint_ST / total
    # r_j = - sum_s plan(s, j) log P(y_j | s), so that H(Y_t | Y_s) = sum_j r_j exactly.
    log_conditional_ST = _log_conditional(joint_ST)
    risk_M = -(coupling.mass_SM / total * log_conditional_ST[:, target_index]).sum(0)
    entropy_nats = max(float(risk_M.sum()), 0.0)
    target_entropy_nats = _entropy(onehot_MT.T @ b_M)
    return Score(
        otce=0.0 - entropy_nats,
        normalized=_normalized(entropy_nats, target_entropy_nats),
        joint=joint_ST.cpu().numpy(),
        source_classes=source_classes.cpu().numpy(),
        target_classes=target_classes.cpu().numpy(),
        pixel_risk=risk_M.cpu().numpy(),
        transport_cost=coupling.cost,
        target_entropy=target_entropy_nats,
        marginal_error=coupling.marginal_error,
        n_iterations=coupling.n_iterations,
        converged=coupling.converged,
        degenerate=_degenerate(len(source_classes), len(target_classes)),
    )


def _validate_settings(epsilon: float, tolerance: float, max_iterations: int) -> None:
    for name, value in (("epsilon", epsilon), ("tolerance", tolerance)):
        if not (np.isfinite(value) and value > 0):
            raise TransportError(f"{name} is {value}; it must be a positive number")
    if max_iterations < 1:
        raise TransportError(f"max_iterations is {max_iterations}; it must be at least 1")


def _validate_words(*chosen: str) -> None:
    for word, words in zip(chosen, (FeatureScaling, Relaxation, ClassWeights, Solver), strict=True):
        if word not in get_args(words):
            raise TransportError(f"{word!r} is none of {', '.join(get_args(words))}; use one")


def _side(side: str, features: Array, labels: Array, device: str | None) -> tuple[Tensor, Tensor]:
    """Check one side's arrays and move them to float64 and int64 on one device."""
    try:
        x_ND, y_N = (torch.as_tensor(values).detach() for values in (features, labels))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{side} features or labels are no array of numbers ({error})") from error
    if x_ND.dim() != 2 or y_N.dim() != 1 or len(x_ND) != len(y_N) or not x_ND.numel():  # noqa: PLR2004
        raise DataError(
            f"{side} features have shape {tuple(x_ND.shape)} and labels {tuple(y_N.shape)}; "
            "expected (N, D) and (N,) with at least one pixel"
        )
    if y_N.is_floating_point() or y_N.is_complex() or y_N.dtype == torch.bool:
        raise DataError(f"{side} labels are {y_N.dtype}; expected integers")
    if x_ND.is_complex():
        raise DataError(f"{side} features are {x_ND.dtype}; expected real numbers")
    chosen = torch.device(device) if device is not None else x_ND.device
    return x_ND.to(chosen, torch.float64), y_N.to(chosen, torch.int64)


def _weights(
    source_y: Tensor, target_y: Tensor, class_weights: ClassWeights
) -> tuple[Tensor, Tensor]:
    """Weigh the pixels of both sides; each sums to 1."""
    a_N, b_M = _uniform(source_y), _uniform(target_y)
    match class_weights:
        case "uniform":
            pass
        case "balanced":
            a_N, b_M = _balanced(source_y), _balanced(target_y)
        case "balanced_source":
            a_N = _balanced(source_y)
        case "target_prior":
            share = (source_y[:, None] == target_y.unique()[None, :]).double()
            classes, counts = target_y.unique(return_counts=True)
            a_N = _balanced(source_y) * (share @ (counts / len(target_y)).double())
            if not bool(a_N.any()):
                raise DataError(
                    f"target_prior needs a common label space, but no target class of "
                    f"{classes.tolist()} occurs among the source labels; use other class_weights"
                )
            a_N = a_N / a_N.sum()
    return a_N, b_M


def _uniform(labels: Tensor) -> Tensor:
    return torch.full((len(labels),), 1 / len(labels), dtype=torch.float64, device=labels.device)


def _balanced(labels: Tensor) -> Tensor:
    _, index, counts = labels.unique(return_inverse=True, return_counts=True)
    weights: Tensor = 1 / (counts[index].double() * len(counts))
    return weights


def _couple(
    source: tuple[Tensor, Tensor, Tensor],
    target: tuple[Tensor, Tensor],
    *,
    epsilon: float,
    relaxation: Relaxation,
    solver: Solver,
    tolerance: float,
    max_iterations: int,
) -> transport.Coupling:
    """Couple both sides and refuse what is not certified."""
    (source_ND, a_N, onehot_NS), (target_MD, b_M) = source, target
    if relaxation == "source":
        coupling = transport.semi_relaxed(
            source_ND, target_MD, a_N, b_M, onehot_NS, epsilon=epsilon
        )
    else:
        cost_NM = transport.squared_distances(source_ND, target_MD, epsilon=epsilon)
        coupling = (
            transport.exact(cost_NM, a_N, b_M, onehot_NS)
            if solver == "emd"
            else transport.balanced(
                cost_NM,
                a_N,
                b_M,
                onehot_NS,
                epsilon=epsilon,
                tolerance=tolerance,
                max_iterations=max_iterations,
            )
        )
    if not (coupling.converged and coupling.marginal_error <= tolerance):
        raise TransportError(
            f"the coupling of {len(a_N)} x {len(b_M)} pixels is not solved: L1 marginal error "
            f"{coupling.marginal_error:.3g} after {coupling.n_iterations} iterations, allowed "
            f"{tolerance:.3g} (solver {solver}, epsilon {epsilon:g}); raise max_iterations or "
            "epsilon, scale the features, or use solver: emd"
        )
    return coupling


def _log_conditional(joint_ST: Tensor) -> Tensor:
    """Take log P(Y_t | Y_s); 0 where the joint has no mass, which then weighs nothing."""
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
