"""Which of several models is better, when all saw the same images and pixels.

What images do to two models' scores they mostly do to both, so a difference is known better than
its terms. Images that two models share enter by the difference of their influences, and with them
the pixels that both saw; images of other data sets enter with each model's own.

Higher is better. Legend: `M` models, `G` models that share a data set, `I` its images, `B` redrawn
data sets.
"""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr
from scipy.stats import rankdata

from otce.intervals import Side

Numbers = NDArray[np.float64]

_REDRAWN: Final = 2000
_SAME: Final = 1e-12
"""Part of two variances below which that of their difference is rounding."""
_EQUAL: Final = 1e-9
"""Part of the scale of redrawn scores by which equal ones may differ through rounding."""
_FAR: Final = 1e300
"""Standard errors that a margin without noise is worth."""


class Standing(NamedTuple):
    """Where models may stand when all data sets are drawn anew."""

    p_best: Numbers
    """(M,) probability of the best score; equal scores share it; sums to 1."""
    rank_low: NDArray[np.int64]
    """(M,) best rank within the middle 95 %, from 1."""
    rank_high: NDArray[np.int64]
    """(M,) worst rank within the middle 95 %."""


def p_beats(means: Numbers, sides: Sequence[Sequence[Side]]) -> Numbers:
    """Tell how probable it is that each model is truly better than each other.

    Student t of the difference, with the degrees of freedom of Welch and Satterthwaite over the
    data sets, n - 1 each; a probability under a flat prior.

    Args:
        means: (M,) scores.
        sides: for each model the target side, then the source side if the score sees one.

    Returns:
        (M, M) probability that the row's model beats the column's; with its transpose it sums to 1.

    Example:
        >>> one = Side("ab", np.arange(3), np.array([-0.1, 0.0, 0.1]))
        >>> other = Side("ab", np.arange(3), np.array([-0.1, 0.1, 0.0]))
        >>> p_beats(np.array([-0.5, -0.7]), [[one], [other]]).round(3).tolist()
        [[0.5, 0.777], [0.223, 0.5]]
    """
    variance_MM = np.zeros((len(means), len(means)))
    # Satterthwaite's sum of squared variances, each by its degrees of freedom.
    square_MM = np.zeros_like(variance_MM)
    for role in zip(*sides, strict=True):
        own_M = np.array([side.variance for side in role])
        freedom_M = np.array([side.freedom for side in role])
        differ_MM = np.add.outer(own_M, own_M)
        part_MM = np.add.outer(own_M**2 / freedom_M, own_M**2 / freedom_M)
        for members, spread_GI in _shared(role):
            common = np.ix_(members, members)
            differ_MM[common] = _differences(spread_GI)
            fewest_GG = np.minimum.outer(freedom_M[members], freedom_M[members])
            part_MM[common] = differ_MM[common] ** 2 / fewest_GG
        variance_MM += differ_MM
        square_MM += part_MM
    return _student(np.subtract.outer(means, means), variance_MM, square_MM)


def standing(means: Numbers, sides: Sequence[Sequence[Side]], seed: int) -> Standing:
    """Draw all data sets anew and rank the models each time.

    A redrawn score is the mean plus the influences of the images times normal weights, the same
    weights for all models that share the images (the multiplier form of the bootstrap, first
    order: nothing is solved again). Each data set's weights are stretched by the root of
    (n - 1) / chi-squared, so that the difference of two models has the Student t of `p_beats`.

    Args:
        means: (M,) scores.
        sides: as in `p_beats`.
        seed: of the draws; other data sets than the first add their digest.

    Returns:
        Probabilities and ranks from 2000 draws.

    Example:
        >>> one = Side("ab", np.arange(9), np.linspace(-0.1, 0.1, 9))
        >>> found = standing(np.array([-0.5, -0.2, -0.2]), [[one]] * 3, seed=0)
        >>> [values.tolist() for values in found]
        [[0.0, 0.5, 0.5], [3, 1, 1], [3, 1, 1]]
    """
    redrawn_BM = np.tile(means - means.max(), (_REDRAWN, 1))
    for position, role in enumerate(zip(*sides, strict=True)):
        for members, spread_GI in _shared(role):
            digest = [int(role[members[0]].digest, 16)] * position
            generator = np.random.Generator(
                np.random.PCG64(np.random.SeedSequence([seed, *digest]))
            )
            freedom = role[members[0]].freedom
            stretch_B = np.sqrt(freedom / generator.chisquare(freedom, _REDRAWN))
            # Where models are fewer than images, fewer weights with the same covariance do.
            root_RG = np.linalg.qr(spread_GI.T, mode="r")
            weights_BR = generator.standard_normal((_REDRAWN, len(root_RG)))
            redrawn_BM[:, members] += stretch_B[:, None] * (weights_BR @ root_RG)
    return _standing(_rounded(redrawn_BM))


def _shared(role: Sequence[Side]) -> Iterator[tuple[NDArray[np.int64], Numbers]]:
    """Yield the models that saw each data set, and the spread of its images for each of them."""
    groups: dict[str, list[int]] = {}
    for model, side in enumerate(role):
        groups.setdefault(side.digest, []).append(model)
    for members in groups.values():
        items = np.unique(np.concatenate([role[model].items for model in members]))
        spread_GI = np.zeros((len(members), len(items)))
        for row, model in enumerate(members):
            spread_GI[row, np.searchsorted(items, role[model].items)] = role[model].spread
        yield np.array(members), spread_GI


def _differences(spread_GI: Numbers) -> Numbers:
    gram_GG = spread_GI @ spread_GI.T
    own_G = np.diagonal(gram_GG)
    both_GG = np.add.outer(own_G, own_G)
    differ_GG = both_GG - 2 * gram_GG
    return np.where(differ_GG > _SAME * both_GG, differ_GG, 0.0)


def _student(margin_MM: Numbers, variance_MM: Numbers, square_MM: Numbers) -> Numbers:
    """Take the probability that a margin is truly above 0; a margin without noise is certain."""
    noisy = variance_MM > 0
    freedom_MM = np.divide(variance_MM**2, square_MM, out=np.ones_like(variance_MM), where=noisy)
    ratio_MM = np.divide(
        margin_MM, np.sqrt(variance_MM), out=np.sign(margin_MM) * _FAR, where=noisy
    )
    upper_MM = np.triu(stdtr(freedom_MM, ratio_MM), 1)
    lower_MM = np.tril(1 - upper_MM.T, -1)
    found_MM: Numbers = upper_MM + lower_MM + 0.5 * np.eye(len(margin_MM))
    return found_MM


def _rounded(redrawn_BM: Numbers) -> Numbers:
    """Make scores equal that only rounding tells apart."""
    quantum = _EQUAL * float(np.median(np.abs(redrawn_BM)))
    equalled_BM: Numbers = np.round(redrawn_BM / quantum) if quantum > 0 else redrawn_BM
    return equalled_BM


def _standing(redrawn_BM: Numbers) -> Standing:
    best_BM = redrawn_BM == redrawn_BM.max(axis=1, keepdims=True)
    ranks_BM = np.sort(rankdata(-redrawn_BM, method="min", axis=1), axis=0).astype(np.int64)
    low, high = (ceil(share * len(ranks_BM)) - 1 for share in (0.025, 0.975))
    p_best = (best_BM / best_BM.sum(axis=1, keepdims=True)).mean(axis=0)
    return Standing(p_best, ranks_BM[low], ranks_BM[high])
