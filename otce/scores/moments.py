"""Sums over labelled pixels that scores of features are functions of, whatever the pixels' number.

A data set may have a billion labelled pixels; LogME and the H-scores ask for their count, mean,
second moments and class sums only, and the shrunk H-score for two more sums. These are kept about
the pixels' own mean, so that merging the sums of images (Chan, Golub, LeVeque, "Updating formulae
and a pairwise algorithm for computing sample variances", 1979) loses no digits to a large mean.

Legend: `D` feature dimensions, `T` classes, `x` a pixel's features less the mean of all pixels.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from otce.errors import DataError

_F64 = NDArray[np.float64]

SUMMED_PX: Final = 10_000
"""Pixels whose sum's rounding is looked for in sums of more: those are not added one by one."""


class Moments(NamedTuple):
    """Sums over labelled pixels, float64."""

    n_pixels: float
    """How many, or their total weight."""
    mean_D: _F64
    """(D,) mean of the features."""
    scatter_DD: _F64
    """(D, D) sum of x x'."""
    cubic_D: _F64
    """(D,) sum of |x|^2 x."""
    quartic: float
    """Sum of |x|^4."""
    count_T: _F64
    """(T,) pixels of each class."""
    sums_TD: _F64
    """(T, D) sum of x over the pixels of each class."""


def merged(parts: Sequence[Moments], weights: Sequence[float] | None = None) -> Moments:
    """Add up the sums of several sets of pixels.

    Args:
        parts: of equal D and T, at least one; the order settles the last bits.
        weights: how often the pixels of each count; None: once.

    Returns:
        Sums over all, as if their pixels had been one set.

    Example:
        >>> one, two = (pixels_moments(np.array([[v]]), np.array([0]), 1) for v in (1.0, 4.0))
        >>> merged([one, two, two]).mean_D.tolist(), float(merged([one, two]).scatter_DD[0, 0])
        ([3.0], 4.5)
    """
    counts_B = np.array([part.n_pixels for part in parts]) * (1.0 if weights is None else weights)
    total = counts_B.sum()
    if not total > 0:
        return parts[0]
    mean_D = sum(n * part.mean_D for n, part in zip(counts_B, parts, strict=True)) / total
    moved = [_about(part, mean_D) for part in parts]
    times = np.ones(len(parts)) if weights is None else np.asarray(weights, np.float64)

    def added(name: str) -> Any:
        return sum(w * getattr(part, name) for w, part in zip(times, moved, strict=True))

    summed = {name: added(name) for name in Moments._fields if name not in {"n_pixels", "mean_D"}}
    return Moments(n_pixels=float(total), mean_D=mean_D, **summed)


def _about(part: Moments, mean_D: _F64) -> Moments:
    """Take the sums about another mean."""
    n, shift_D = part.n_pixels, part.mean_D - mean_D
    along_D = part.scatter_DD @ shift_D
    spread, size = float(part.scatter_DD.trace()), float(shift_D @ shift_D)
    return part._replace(
        scatter_DD=part.scatter_DD + n * np.outer(shift_D, shift_D),
        cubic_D=part.cubic_D + (spread + n * size) * shift_D + 2 * along_D,
        quartic=part.quartic
        + 4 * float(shift_D @ (part.cubic_D + along_D))
        + 2 * size * spread
        + n * size * size,
        sums_TD=part.sums_TD + part.count_T[:, None] * shift_D,
    )


def pixels_moments(features: _F64, labels: NDArray[np.integer], n_classes: int) -> Moments:
    """Sum over pixels whose features are at hand.

    Args:
        features: (n, D) real numbers.
        labels: (n,) classes 0 .. n_classes - 1.
        n_classes: T.

    Returns:
        Their sums.

    Example:
        >>> pixels_moments(np.array([[1.0], [3.0]]), np.array([0, 1]), 2).sums_TD.tolist()
        [[-1.0], [1.0]]
    """
    x_nD = np.asarray(features, np.float64)
    mean_D = x_nD.mean(axis=0)
    x_nD = x_nD - mean_D
    squared_n = np.einsum("nd,nd->n", x_nD, x_nD)
    one_hot_nT = np.eye(n_classes)[labels]
    return Moments(
        n_pixels=float(len(x_nD)),
        mean_D=mean_D,
        scatter_DD=x_nD.T @ x_nD,
        cubic_D=squared_n @ x_nD,
        quartic=float(squared_n @ squared_n),
        count_T=one_hot_nT.sum(axis=0),
        sums_TD=one_hot_nT.T @ x_nD,
    )


def occurring(moments: Moments) -> Moments:
    """Leave out the classes that have no pixels, and check that something can be told apart.

    Args:
        moments: of all classes.

    Returns:
        Of the classes that occur.

    Raises:
        DataError: fewer than two do.

    Example:
        >>> occurring(pixels_moments(np.eye(2), np.array([0, 2]), 3)).count_T.tolist()
        [1.0, 1.0]
    """
    occurs_T = moments.count_T > 0
    if occurs_T.sum() < 2:  # noqa: PLR2004 - two classes
        raise DataError(
            f"{int(occurs_T.sum())} class(es) among all labelled target pixels; features are "
            "scored by how they tell classes apart: label pixels of at least two"
        )
    return moments._replace(count_T=moments.count_T[occurs_T], sums_TD=moments.sums_TD[occurs_T])
