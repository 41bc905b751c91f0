"""How well repetitions and images determine a score.

Two noises are told apart. Repetitions draw pixels anew from the same images: their spread is the
noise of pixels. Images are clusters of pixels, and a data set is itself a draw of images. The
influence of an image is what one more such image would add to the mean of the repetitions
(`otce.scores.influence`), and it holds the noise of the image's own drawn pixels, so the variance
built on influences is that of images and pixels together: the ultimate cluster estimator (Hansen,
Hurwitz, Madow, "Sample Survey Methods and Theory", 1953, chapter 6). The noise of the repetitions
is never added to it.

Legend: `K` repetitions, `n` images of a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit


class Estimate(NamedTuple):
    """A mean and how well K repetitions determine it; all but the mean need K of at least 2."""

    mean: float
    std: float | None = None
    """Standard deviation of the repetitions, ddof 1."""
    stderr: float | None = None
    """Standard error of the mean."""
    ci95_low: float | None = None
    """Lower end of the 95 % interval of the mean, by Student t with K - 1 degrees of freedom."""
    ci95_high: float | None = None
    """Upper end."""


def estimate(scores_K: Sequence[float]) -> Estimate:
    """Estimate the mean score of independent repetitions.

    Args:
        scores_K: scores, one a repetition, at least one.

    Returns:
        The estimate, in units of the scores; from a single repetition the mean only.

    Example:
        >>> estimate([-0.5, -0.4, -0.3]).ci95_low.__round__(3)
        -0.648
        >>> estimate([-0.5])
        Estimate(mean=-0.5, std=None, stderr=None, ci95_low=None, ci95_high=None)
    """
    k = len(scores_K)
    mean = float(np.mean(scores_K))
    if k == 1:
        return Estimate(mean)
    std = float(np.std(scores_K, ddof=1))
    stderr = std / sqrt(k)
    half = float(stdtrit(k - 1, 0.975)) * stderr
    return Estimate(mean, std, stderr, mean - half, mean + half)


@dataclass(frozen=True)
class Side:
    """The images of one data set that a score saw.

    Attributes:
        digest: of the data set; sides of one digest and position share an image.
        items: (n,) int32 positions of the images in the data set, ascending, at least 2.
        influence: (n,) float64 what one more such image would add to the score; sums to 0.
    """

    digest: str
    items: NDArray[np.int32]
    influence: NDArray[np.float64]

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variance."""
        return len(self.items) - 1

    @property
    def spread(self) -> NDArray[np.float64]:
        """(n,) influences from their mean, n / (n - 1) times as large.

        An influence is taken with its image among the others and so is too small by the image's own
        weight, about 1 / n: the factor is that of leaving the image out (HC3 of MacKinnon, White,
        Journal of Econometrics 29, 1985, for clusters of like size).
        """
        n = len(self.items)
        spread_n: NDArray[np.float64] = self.influence - self.influence.mean()
        return spread_n * (n / (n - 1))

    @property
    def variance(self) -> float:
        """Variance that drawing this side's images, and pixels from them, gives the score."""
        return float(self.spread @ self.spread)


class Total(NamedTuple):
    """How well a mean is determined when other images could have been drawn as well."""

    total_stderr: float | None = None
    """Standard error over images and pixels of all sides."""
    total95_low: float | None = None
    """Lower end of the 95 % interval."""
    total95_high: float | None = None
    """Upper end."""


def total(mean: float, sides: Sequence[Side]) -> Total:
    """Put an interval around a mean that covers drawing images as well as pixels.

    The sides are independent, so their variances add up. Student t with the degrees of freedom of
    Welch and Satterthwaite, n - 1 a side (Satterthwaite, Biometrics Bulletin 2, 1946).

    Args:
        mean: of the repetitions.
        sides: the target side, and the source side if the score sees one.

    Returns:
        The interval, in units of the score.

    Example:
        >>> images = Side("ab", np.arange(3), np.array([-0.1, 0.0, 0.1]))
        >>> [round(number, 3) for number in total(-0.5, [images])]
        [0.212, -1.413, 0.413]
    """
    variances = [side.variance for side in sides]
    variance = sum(variances)
    if variance == 0:
        return Total(0.0, mean, mean)
    parts = [v / variance for v in variances]
    freedom = 1 / sum(p * p / side.freedom for p, side in zip(parts, sides, strict=True))
    stderr = sqrt(variance)
    half = float(stdtrit(freedom, 0.975)) * stderr
    return Total(stderr, mean - half, mean + half)
