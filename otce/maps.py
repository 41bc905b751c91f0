"""Where a target image transfers and where not: the risk of every pixel of a feature map.

The coupling of a draw is extended to pixels that were never drawn without a second transport: the
source potentials f say which source pixels serve a feature y. Convention: risks are in nats a
pixel, at least 0, lower is better; what has no risk is NaN and never a good score.

    q(s | y) = sum over source pixels i of class s of softmax_i(log a_i + (f_i - C(x_i, y)) / eps)
    risk(y, t) = - sum_s q(s | y) log P(t | s)

For the coupling with a free source marginal f is 0 and q the plan's column as it stands; for the
balanced one this is Sinkhorn's map of the solved potentials, and at a drawn pixel the column of the
plan that was scored. Means over the drawn pixels, weighted as they were, are therefore -OTCE
(arXiv 2109.15242). Legend: `N` source pixels, `n` further target pixels, `D` feature dimensions,
`S`, `T` source and target classes that occur, `H, W` label size, `h, w` map size.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from otce import transport
from otce.errors import DataError, TransportError
from otce.features import features_at
from otce.recipe import ClassWeights, FeatureScaling, Relaxation, Solver
from otce.scores.otce import Score, score_of
from otce.scores.pixels import Array, Pixels, full_precision

LARGEST_RISK_NATS: Final = 87.0
"""Risk of a label that the source class of a pixel never has in the draw: single precision knows no
smaller probability than e^-87, and whether the draw's is 0 or e^-600 is rounding."""
_TILE_VALUES: Final = 1 << 22
"""Feature values at a time, 32 MiB as float64."""
_FEWEST_AT_ONCE: Final = 256


@dataclass(frozen=True)
class CoupledDraw:
    """One draw and its solved coupling, ready for further pixels of the target.

    Attributes:
        score: of the draw.
        pixels: both sides, scaled, and what scales further pixels alike.
        f_N: (N,) float64 source potentials in units of the cost.
        epsilon: regularisation in units of the scaled cost.
        tolerance: L1 marginal error that was asked for.
    """

    score: Score
    pixels: Pixels
    f_N: Tensor
    epsilon: float
    tolerance: float

    def shares(self, features: Array) -> Tensor:
        """Say which source classes serve target pixels.

        Args:
            features: (n, D) features of further target pixels, from the same model; any n.

        Returns:
            (n, S) float64 q(s | y) in the order of `score.source_classes`; rows sum to 1.

        Raises:
            DataError: features of another dimension.
            TransportError: features that are not finite, or too far for this epsilon.
        """
        pixels = self.pixels
        features_nD = torch.as_tensor(features).to(pixels.source_ND)
        if features_nD.dim() != 2 or features_nD.shape[1] != pixels.source_ND.shape[1]:  # noqa: PLR2004
            raise DataError(
                f"features have shape {tuple(features_nD.shape)} and the draw's are "
                f"{pixels.source_ND.shape[1]}-dimensional; take both from the same model and tap"
            )
        n = len(features_nD)
        with full_precision():
            found = transport.semi_relaxed(
                pixels.source_ND,
                pixels.scaler(features_nD),
                pixels.a_N,
                features_nD.new_full((n,), 1 / n),
                pixels.onehot_NS,
                epsilon=self.epsilon,
                tolerance=self.tolerance,
                f_N=self.f_N,
            )
        mass_nS = found.mass_SM.T
        return mass_nS / mass_nS.sum(1, keepdim=True)

    def risks(self, shares_nS: Tensor, labels: Array) -> Tensor:
        """Say how surprising labels are, given the source classes that serve their pixels.

        Args:
            shares_nS: (n, S) what `shares` gave.
            labels: (n,) label ids, all among `score.target_classes`.

        Returns:
            (n,) float64 nats, 0 to `LARGEST_RISK_NATS`, lower is better.

        Raises:
            DataError: a label that the draw never saw; it has no risk.
        """
        classes = self.score.target_classes
        given = np.asarray(labels)
        if not np.isin(given, classes).all():
            unseen = sorted({*given.ravel().tolist()} - {*classes.tolist()})
            raise DataError(f"labels {unseen[:8]} occur in no drawn pixel; leave these pixels out")
        column_n = torch.from_numpy(np.searchsorted(classes, given)).to(shares_nS.device)
        joint_ST = torch.from_numpy(self.score.joint).to(shares_nS)
        source_S1 = joint_ST.sum(1, keepdim=True)
        given_ST = joint_ST / torch.where(source_S1 > 0, source_S1, 1.0)
        risk_TS = -given_ST.log().clamp(min=-LARGEST_RISK_NATS).T
        return (shares_nS * risk_TS[column_n]).sum(1)


def couple_draw(
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
) -> CoupledDraw:
    """Score one draw and keep its coupling for further pixels; arguments as of `score_pixels`.

    Args:
        source_features: (N, D) features of labelled source pixels.
        source_labels: (N,) integer labels.
        target_features: (M, D) features of labelled target pixels.
        target_labels: (M,) integer labels.
        epsilon: entropic regularisation.
        feature_scaling: how features are scaled.
        relaxation: which marginal is free.
        class_weights: how pixels are weighted.
        solver: `auto`; any, where the source marginal is free.
        tolerance: largest L1 marginal error.
        max_iterations: passes after which an unsolved coupling is an error.
        device: torch device.

    Returns:
        The coupled draw.

    Raises:
        DataError: shapes, types or labels that do not fit together.
        TransportError: no certified coupling, or a solver that leaves no potentials.

    Example:
        >>> features = np.array([[0.0], [0.1], [5.0], [5.1]])
        >>> draw = couple_draw(features, [0, 0, 1, 1], features, [7, 7, 8, 8])
        >>> shares_nS = draw.shares(np.array([[0.2], [4.8]]))
        >>> shares_nS.round(decimals=3).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        >>> (draw.risks(shares_nS, [7, 7]) > 10).tolist()
        [False, True]
    """
    if solver != "auto" and relaxation == "none":
        raise TransportError(
            f"solver {solver} leaves no potentials, and a map extends them; use solver: auto, or "
            "relaxation: source"
        )
    pixels = Pixels.of(
        source_features,
        source_labels,
        target_features,
        target_labels,
        feature_scaling=feature_scaling,
        class_weights=class_weights,
        device=device,
    )
    (coupling,) = pixels.couple(
        (epsilon,),
        relaxation=relaxation,
        solver=solver,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    f_N = torch.zeros_like(pixels.a_N) if coupling.f_N is None else coupling.f_N
    return CoupledDraw(score_of(pixels, coupling), pixels, f_N, epsilon, tolerance)


@dataclass(frozen=True)
class PixelMap:
    """The risk of every labelled pixel of an image.

    Attributes:
        risk_HW: (H, W) float32 nats, 0 to `LARGEST_RISK_NATS`, lower is better; NaN where unscored.
        mask_HW: (H, W) bool, which pixels are scored: those with a label that the draw saw.
        served_HW: (H, W) int32, id of the source class with the largest share; -1 where unscored.
        source_classes: (S,) int64 label ids of the draw's source side.
        target_classes: (T,) int64 label ids of its target side.
    """

    risk_HW: NDArray[np.float32]
    mask_HW: NDArray[np.bool_]
    served_HW: NDArray[np.int32]
    source_classes: NDArray[np.int64]
    target_classes: NDArray[np.int64]

    @property
    def mean_nats(self) -> float | None:
        """Mean risk of the scored pixels; None where there are none."""
        return float(self.risk_HW[self.mask_HW].mean(dtype=float)) if self.mask_HW.any() else None


def pixel_map(draw: CoupledDraw, map_Dhw: Tensor, label_HW: NDArray[Any]) -> PixelMap:
    """Extend a draw's coupling to an image, a tile of pixels at a time.

    Features are read off the map as they were at drawn pixels, so the map may be of any size.

    Args:
        draw: the coupled draw.
        map_Dhw: (D, h, w) the image's feature map, from the draw's model.
        label_HW: (H, W) class ids, negative where ignored.

    Returns:
        The map; pixels whose label is ignored or was never drawn are unscored.

    Raises:
        DataError: features of another dimension.
        TransportError: features that are not finite, or too far for this epsilon.

    Example:
        >>> features = np.array([[0.0], [0.1], [5.0], [5.1]])
        >>> draw = couple_draw(features, [0, 0, 1, 1], features, [7, 7, 8, 8])
        >>> found = pixel_map(draw, torch.tensor([[[0.0, 5.0, 5.0]]]), np.array([[7, 8, -1]]))
        >>> found.risk_HW.round(3).tolist(), found.served_HW.tolist()
        ([[0.0, 0.0, nan]], [[0, 1, -1]])
    """
    score = draw.score
    mask_HW = np.isin(label_HW, score.target_classes)
    size_px = mask_HW.shape[0], mask_HW.shape[1]
    risk_HW = np.full(size_px, np.nan, np.float32)
    served_HW = np.full(size_px, -1, np.int32)
    y_px, x_px = (axis.astype(np.int32) for axis in np.nonzero(mask_HW))
    at_once = max(_TILE_VALUES // len(map_Dhw), _FEWEST_AT_ONCE)
    for start in range(0, len(y_px), at_once):
        at = y_px[start : start + at_once], x_px[start : start + at_once]
        shares_nS = draw.shares(features_at(map_Dhw, *at, size_px))
        risk_HW[at] = draw.risks(shares_nS, label_HW[at]).cpu().numpy()
        served_HW[at] = score.source_classes[shares_nS.argmax(1).cpu().numpy()]
    return PixelMap(risk_HW, mask_HW, served_HW, score.source_classes, score.target_classes)
