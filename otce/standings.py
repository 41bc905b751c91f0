"""How good every model of a race can be beside the k-th best, from paired differences.

`otce.racing` states the rule and what it promises. Legend: `M` models, `n` repetitions so far.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from otce.errors import DataError

Scores = Mapping[str, Sequence[float]]
"""Scores of common repetitions, in their order, by model."""


class Standing(NamedTuple):
    """Where a model stands after a round."""

    mean: float
    bound: float | None
    """Highest its mean may be at the stated level beside `threshold`; None: no bound."""
    threshold: float
    """Mean of the k-th best model; a model whose bound is below it leaves."""


def standings(
    scores: Scores, *, top_k: int, level: float, whole: int | None = None
) -> dict[str, Standing]:
    """Bound how good every model can be, compared with the k-th best.

    Args:
        scores: by model, n scores each, of the same n repetitions; more than `top_k` models.
        top_k: k.
        level: chance of being wrong of each comparison of two models, below 0.5; 0: no bounds.
        whole: K, if means of K repetitions are compared; None: expectations.

    Returns:
        By model, ordered by id; the order of `scores` changes no bit.

    Raises:
        DataError: scores that are not finite, or not equally many for all models.

    Example:
        >>> scores = {"a": [-0.2, -0.3, -0.1], "b": [-0.3, -0.3, -0.2], "c": [-0.9, -1.0, -0.8]}
        >>> for model, s in standings(scores, top_k=2, level=0.01).items():
        ...     print(model, round(s.mean, 2), round(s.bound, 2), round(s.threshold, 2))
        a -0.2 0.54 -0.27
        b -0.27 0.49 -0.27
        c -0.9 -0.78 -0.27
    """
    models = sorted(scores)
    scores_Mn = _table([scores[model] for model in models])
    means_M = scores_Mn.mean(axis=1)
    threshold = float(np.sort(means_M)[-top_k])
    slack_MM = _slack(scores_Mn, level, whole)
    if slack_MM is None:
        return {
            model: Standing(float(means_M[i]), None, threshold) for i, model in enumerate(models)
        }
    # Row i, column j: what j is ahead of i beyond doubt; a model is not ahead of itself.
    ahead_MM = means_M - means_M[:, None] - slack_MM
    np.fill_diagonal(ahead_MM, -np.inf)
    bounds_M = threshold - np.sort(ahead_MM, axis=1)[:, -top_k]
    return {
        model: Standing(float(means_M[i]), float(bounds_M[i]), threshold)
        for i, model in enumerate(models)
    }


def _table(rows: list[Sequence[float]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    counts = {len(row) for row in rows}
    if len(counts) != 1 or 0 in counts or not all(isfinite(x) for row in rows for x in row):
        raise DataError(
            f"{len(rows)} models with {sorted(counts)} scores, finite or not; a race compares "
            "finite scores of the same repetitions"
        )
    return np.array(rows, dtype=np.float64)


def _slack(
    scores_Mn: np.ndarray[tuple[int, int], np.dtype[np.float64]], level: float, whole: int | None
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]] | None:
    """(M, M) by how much one mean may be ahead of another by chance."""
    n_models, n = scores_Mn.shape
    if n == 1 or level == 0:
        return None
    rest_Mn = scores_Mn - scores_Mn.mean(axis=1, keepdims=True)
    covariance_MM = rest_Mn @ rest_Mn.T / (n - 1)
    own_M = covariance_MM.diagonal()
    variance_MM = np.maximum(own_M + own_M[:, None] - 2 * covariance_MM, 0)
    pooled = variance_MM.sum() / (n_models * (n_models - 1))
    quantile = -float(stdtrit((n_models - 1) * (n - 1), level))
    share = 1 / n - (1 / whole if whole else 0)
    slack_MM: np.ndarray[tuple[int, int], np.dtype[np.float64]] = quantile * np.sqrt(
        np.maximum(variance_MM, pooled) * share
    )
    return slack_MM
