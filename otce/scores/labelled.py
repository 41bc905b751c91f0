"""Features of labelled target pixels: the check that all scores of them share.

Scores of target features and labels ask for no source images. Each has a plain function for arrays,
which checks them here, and a `weighted_` one of pixels that count differently, which
`otce.scores.influence` differentiates.

Legend: `n` target pixels, `D` feature dimensions, `T` target classes that occur.
"""

from typing import Final

from torch import Tensor

from otce.errors import DataError
from otce.scores.pixels import Array, side

_LARGEST: Final = 1e100
"""Magnitude up to which sums of squares of features stay in the range of float64."""


def labelled(features: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """Check features and labels of target pixels and name the classes 0 .. T-1.

    Args:
        features: (n, D) real numbers, NumPy or torch.
        labels: (n,) integers, any ids.

    Returns:
        features_nD: (n, D) float64 on the CPU.
        index_n: (n,) int64, the position of each label among the T label ids that occur, ascending.

    Raises:
        DataError: shapes or types that do not fit, values that are not finite or too large to be
            squared, a single class, or no class with two pixels.

    Example:
        >>> features_nD, index_n = labelled([[0.5], [1.0], [2.0]], [7, 4, 7])
        >>> features_nD.dtype, index_n.tolist()
        (torch.float64, [1, 0, 1])
    """
    features_nD, labels_n = side("target", features, labels, "cpu")
    if not bool(features_nD.isfinite().all()):
        bad = int(features_nD.numel() - features_nD.isfinite().sum())
        raise DataError(
            f"{bad} of {features_nD.numel()} target feature values are not finite; check the "
            "model's weights and its preprocessing"
        )
    largest = float(features_nD.abs().max())
    if largest > _LARGEST:
        raise DataError(
            f"a target feature has the magnitude {largest:.3g}, at most {_LARGEST:g} can be "
            "squared and summed; scale the features"
        )
    classes, index_n = labels_n.unique(return_inverse=True)
    if len(classes) == 1:
        raise DataError(
            f"all {len(labels_n)} target pixels have the label {int(classes[0])}; features are "
            "scored by how they tell classes apart: draw pixels of at least two"
        )
    if len(classes) == len(labels_n):
        raise DataError(
            f"{len(labels_n)} target pixels have {len(classes)} labels; at least one class must "
            "have two pixels: draw more"
        )
    return features_nD, index_n


def centred(features_nD: Tensor, share_n: Tensor) -> Tensor:
    """Take out the mean, so that a constant dimension becomes exactly 0.

    Args:
        features_nD: (n, D) float64 features.
        share_n: (n,) float64 weights, which sum to 1.

    Returns:
        (n, D) features of weighted mean 0.

    Example:
        >>> import torch
        >>> share_n = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
        >>> centred(torch.tensor([[1.0], [3.0], [3.0]], dtype=torch.float64), share_n).tolist()
        [[-1.0], [1.0], [1.0]]
    """
    # The mean of a constant is not exactly that constant in floating point; that of zeros is.
    from_least_nD = features_nD - features_nD.amin(dim=0)
    return from_least_nD - share_n @ from_least_nD
