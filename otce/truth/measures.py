"""How well one predictor orders the models of one target.

Correlations by scipy. The weighted tau is Vigna's ("A weighted correlation index for rankings with
ties", WWW 2015) with hyperbolic weights by the ranks of both sides, the field's usual choice
(Agostinelli et al., ECCV 2022). Where models are tied the pick is the worst of them by truth: a
predictor gains nothing by not deciding.

Legend: `M` models of the target.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, weightedtau

_F64 = NDArray[np.float64]


def weighted_tau(score_M: _F64, truth_M: _F64) -> float:
    """Agreement of two orders in which the first places count most.

    Args:
        score_M: (M,) what a predictor says.
        truth_M: (M,) what was measured.

    Returns:
        -1 to 1, higher is better; NaN where either calls all models equal.

    Example:
        >>> weighted_tau(np.array([3.0, 2.0, 1.0]), np.array([0.7, 0.5, 0.6])).__round__(3)
        0.545
    """
    return float(weightedtau(score_M, truth_M).statistic)


def tau(score_M: _F64, truth_M: _F64) -> float:
    """Kendall's tau-b; arguments and range as for `weighted_tau`."""
    return float(weightedtau(score_M, truth_M, rank=False, weigher=_alike).statistic)


def _alike(_: int) -> float:
    return 1.0


def pearson(score_M: _F64, truth_M: _F64) -> float:
    """Pearson's correlation; arguments and range as for `weighted_tau`."""
    score, truth = score_M - score_M.mean(), truth_M - truth_M.mean()
    size = float(np.sqrt((score @ score) * (truth @ truth)))
    constant = np.ptp(score_M) == 0 or np.ptp(truth_M) == 0
    return float("nan") if constant else float(np.clip(score @ truth / size, -1, 1))


def spearman(score_M: _F64, truth_M: _F64) -> float:
    """Spearman's correlation; arguments and range as for `weighted_tau`."""
    return pearson(rankdata(score_M), rankdata(truth_M))


def rel_at_1(score_M: _F64, truth_M: _F64) -> float:
    """Truth of the first model as a share of the best; NaN where the best is not above 0.

    Example:
        >>> rel_at_1(np.array([3.0, 2.0]), np.array([0.4, 0.5]))
        0.8
    """
    best = float(truth_M.max())
    return _picked(score_M, truth_M, 1) / best if best > 0 else float("nan")


def regret_at(k: int) -> Callable[[_F64, _F64], float]:
    """Say how a k is judged that all of the first k models are tried and the best is kept.

    Args:
        k: models that are tried.

    Returns:
        A function of scores and truths: what is lost to the best of all, as a share of the distance
        from the best to the median; at least 0, lower is better, NaN where the median is the best.

    Example:
        >>> regret_at(1)(np.array([3.0, 2.0, 1.0]), np.array([0.4, 0.6, 0.2]))
        1.0
    """

    def regret(score_M: _F64, truth_M: _F64) -> float:
        best = float(truth_M.max())
        width = best - float(np.median(truth_M))
        return (best - _picked(score_M, truth_M, k)) / width if width > 0 else float("nan")

    return regret


def best_in_top(k: int) -> Callable[[_F64, _F64], float]:
    """Say how a k is judged by whether a truly best model is among the first k.

    Args:
        k: models that are tried.

    Returns:
        A function of scores and truths: 1 or 0.
    """

    def found(score_M: _F64, truth_M: _F64) -> float:
        return float(_picked(score_M, truth_M, k) == truth_M.max())

    return found


def _picked(score_M: _F64, truth_M: _F64, k: int) -> float:
    """Find the best truth among the first k, ties broken against the predictor."""
    order = np.lexsort((truth_M, -score_M))
    return float(truth_M[order[:k]].max())


MEASURES: Final[Mapping[str, Callable[[_F64, _F64], float]]] = {
    "weighted_tau": weighted_tau,
    "tau": tau,
    "spearman": spearman,
    "pearson": pearson,
    "rel_at_1": rel_at_1,
    "regret_at_1": regret_at(1),
    "regret_at_3": regret_at(3),
    "best_in_top_1": best_in_top(1),
    "best_in_top_3": best_in_top(3),
}
"""All measures by name, the primary one first."""
FEWEST_MODELS: Final = 3


def measure_agreement(score_M: _F64, truth_M: _F64) -> dict[str, float]:
    """Take all measures over the models that have both a score and a truth.

    Args:
        score_M: (M,) what a predictor says, NaN where it says nothing.
        truth_M: (M,) what was measured, NaN where nothing was.

    Returns:
        By measure; NaN where it has no meaning, as everywhere with fewer than 3 models.

    Example:
        >>> found = measure_agreement(np.array([3.0, 2.0, 1.0]), np.array([0.7, 0.6, 0.5]))
        >>> found["tau"], found["regret_at_1"], found["best_in_top_1"]
        (1.0, 0.0, 1.0)
    """
    known_M = np.isfinite(score_M) & np.isfinite(truth_M)
    if known_M.sum() < FEWEST_MODELS:
        return dict.fromkeys(MEASURES, float("nan"))
    score_M, truth_M = score_M[known_M], truth_M[known_M]
    return {name: measure(score_M, truth_M) for name, measure in MEASURES.items()}
