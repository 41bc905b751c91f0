"""One draw of labelled pixels, checked, weighed, scaled and coupled: what every score rests on.

Legend: `N` source pixels, `M` target pixels, `D` feature dimensions, `S`, `T` source and target
classes that occur.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from otce import transport
from otce.errors import DataError, TransportError
from otce.recipe import ClassWeights, FeatureScaling, Relaxation, Solver
from otce.scaling import Scaler, scaled
from otce.transport import pot

Array = Any
"""A NumPy array or a torch tensor, on any device."""


@dataclass(frozen=True)
class Pixels:
    """Both sides of a draw, ready to be coupled.

    Attributes:
        source_ND: (N, D) float64 scaled features of the source pixels that have weight.
        target_MD: (M, D) float64 scaled target features.
        a_N: (N,) float64 source weights, positive, sum 1.
        b_M: (M,) float64 target weights, positive, sum 1.
        onehot_NS: (N, S) float64 source labels.
        used: which of all source pixels given have weight, bool.
        class_weights: what the weights were made by.
        target_index_M: (M,) int64 positions of the target labels in `target_classes`.
        source_classes: (S,) int64 label ids.
        target_classes: (T,) int64 label ids.
        scaler: scales further features as these were.
    """

    source_ND: Tensor
    target_MD: Tensor
    a_N: Tensor
    b_M: Tensor
    onehot_NS: Tensor
    target_index_M: Tensor
    source_classes: Tensor
    target_classes: Tensor
    scaler: Scaler
    used: Tensor
    class_weights: ClassWeights

    @property
    def target_onehot(self) -> Tensor:
        """(M, T) float64 target labels."""
        return torch.nn.functional.one_hot(self.target_index_M, len(self.target_classes)).double()

    @classmethod
    def of(
        cls,
        source_features: Array,
        source_labels: Array,
        target_features: Array,
        target_labels: Array,
        *,
        feature_scaling: FeatureScaling,
        class_weights: ClassWeights,
        device: str | None,
    ) -> "Pixels":
        """Check, weigh and scale a draw; see `otce.score_pixels` for the arguments.

        Raises:
            DataError: shapes, types or labels that do not fit together.
            TransportError: features that are not finite, or a word that is no setting.
        """
        _validate_word(feature_scaling, FeatureScaling)
        _validate_word(class_weights, ClassWeights)
        source_ND, source_y = side("source", source_features, source_labels, device)
        target_MD, target_y = side("target", target_features, target_labels, str(source_ND.device))
        if source_ND.shape[1] != target_MD.shape[1]:
            raise DataError(
                f"source features have {source_ND.shape[1]} dimensions and target features "
                f"{target_MD.shape[1]}; take both from the same model and tap"
            )
        a_N, b_M = _weights(source_y, target_y, class_weights)
        source_classes, source_index = source_y.unique(return_inverse=True)
        target_classes, target_index_M = target_y.unique(return_inverse=True)
        onehot_NS = torch.nn.functional.one_hot(source_index).double()
        source_ND, target_MD, scaler = scaled(source_ND, target_MD, feature_scaling)
        used = a_N > 0
        return cls(
            source_ND=source_ND[used],
            target_MD=target_MD,
            a_N=a_N[used],
            b_M=b_M,
            onehot_NS=onehot_NS[used],
            target_index_M=target_index_M,
            source_classes=source_classes,
            target_classes=target_classes,
            scaler=scaler,
            used=used,
            class_weights=class_weights,
        )

    def couple(
        self,
        epsilons: Sequence[float],
        *,
        relaxation: Relaxation,
        solver: Solver,
        tolerance: float,
        max_iterations: int,
        onehot_MT: Tensor | None = None,
    ) -> list[transport.Coupling]:
        """Couple both sides at every epsilon and refuse what is not certified.

        Args:
            epsilons: regularisations in units of the scaled cost.
            relaxation: which marginal is free.
            solver: which solver of the balanced problem.
            tolerance: largest L1 marginal error.
            max_iterations: iterations after which an unsolved coupling is an error.
            onehot_MT: (M, T) float64 target labels, one-hot; when given, the coupling at the
                smallest epsilon has a derivative.

        Returns:
            One coupling an epsilon.

        Raises:
            TransportError: a setting out of range, or no certified coupling.
        """
        _validate_settings(epsilons, tolerance, max_iterations)
        _validate_word(relaxation, Relaxation)
        _validate_word(solver, Solver)
        problem = self.source_ND, self.target_MD, self.a_N, self.b_M, self.onehot_NS
        with full_precision():
            if relaxation == "source":
                found = [
                    transport.semi_relaxed(
                        *problem, epsilon=epsilon, tolerance=tolerance, onehot_MT=onehot_MT
                    )
                    for epsilon in epsilons
                ]
            elif solver == "auto":
                found = transport.balanced(
                    *problem,
                    epsilons=epsilons,
                    tolerance=tolerance,
                    max_iterations=max_iterations,
                    onehot_MT=onehot_MT,
                )
            else:
                cost_NM = pot.squared_distances(
                    self.source_ND, self.target_MD, epsilon=min(epsilons)
                )
                given = cost_NM, self.a_N, self.b_M, self.onehot_NS
                found = [
                    pot.exact(*given, onehot_MT=onehot_MT)
                    if solver == "emd"
                    else pot.sinkhorn(
                        *given,
                        epsilon=epsilon,
                        tolerance=tolerance,
                        max_iterations=max_iterations,
                        onehot_MT=onehot_MT,
                    )
                    for epsilon in epsilons
                ]
        for epsilon, coupling in zip(epsilons, found, strict=True):
            self._refuse_unsolved(coupling, epsilon, solver, tolerance)
        return found

    def _refuse_unsolved(
        self, coupling: transport.Coupling, epsilon: float, solver: Solver, tolerance: float
    ) -> None:
        if coupling.converged and coupling.marginal_error <= tolerance:
            return
        raise TransportError(
            f"the coupling of {len(self.a_N)} x {len(self.b_M)} pixels is not solved: L1 marginal "
            f"error {coupling.marginal_error:.3g} after {coupling.n_iterations} iterations, "
            f"allowed {tolerance:.3g} (solver {solver}, epsilon {epsilon:g}); raise max_iterations "
            "or epsilon, scale the features, or use solver: emd"
        )


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep TF32 and bfloat16 out of float32 products, whatever the process allows otherwise.

    Yields:
        Nothing; products inside are in full precision.
    """
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def _validate_settings(epsilons: Sequence[float], tolerance: float, max_iterations: int) -> None:
    named = [("epsilon", epsilon) for epsilon in epsilons]
    for name, value in (*named, ("tolerance", tolerance)):
        if not (np.isfinite(value) and value > 0):
            raise TransportError(f"{name} is {value}; it must be a positive number")
    if max_iterations < 1:
        raise TransportError(f"max_iterations is {max_iterations}; it must be at least 1")


def _validate_word(word: str, words: Any) -> None:
    if word not in get_args(words):
        raise TransportError(f"{word!r} is none of {', '.join(get_args(words))}; use one")


def side(name: str, features: Array, labels: Array, device: str | None) -> tuple[Tensor, Tensor]:
    """Check the arrays of one side and move them to float64 and int64 on one device.

    Args:
        name: `source` or `target`, for messages.
        features: (N, D) real numbers.
        labels: (N,) integers.
        device: where to; None leaves them where the features are.

    Returns:
        (N, D) float64 and (N,) int64.

    Raises:
        DataError: shapes or types that do not fit; whether values are finite is not looked at.
    """
    try:
        x_ND, y_N = (torch.as_tensor(values).detach() for values in (features, labels))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} features or labels are no array of numbers ({error})") from error
    if x_ND.dim() != 2 or y_N.dim() != 1 or len(x_ND) != len(y_N) or not x_ND.numel():  # noqa: PLR2004
        raise DataError(
            f"{name} features have shape {tuple(x_ND.shape)} and labels {tuple(y_N.shape)}; "
            "expected (N, D) and (N,) with at least one pixel"
        )
    if y_N.is_floating_point() or y_N.is_complex() or y_N.dtype == torch.bool:
        raise DataError(f"{name} labels are {y_N.dtype}; expected integers")
    if x_ND.is_complex():
        raise DataError(f"{name} features are {x_ND.dtype}; expected real numbers")
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
