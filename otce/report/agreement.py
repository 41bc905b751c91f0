"""How far two metrics rank the models of a target alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

_FEWEST_MODELS = 3


def agreement(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], NDArray[np.float64]]:
    """Compare the metrics of one target by Kendall's tau-b over the models that both ranked.

    Args:
        rows: of `otce.tables.SUMMARY`, one target, all metrics.

    Returns:
        Names of the metrics in order of appearance, and (metrics, metrics) tau from -1 to 1, 1
        where both rank alike; NaN, which says nothing, where fewer than 3 models are ranked by
        both or one calls them all equal.

    Example:
        >>> rows = [{"metric": m, "source_model": s, "mean": v, "rank": 1}
        ...         for m, means in {"otce": (3, 2, 1), "nce": (3, 1, 2)}.items()
        ...         for s, v in zip("abc", means)]
        >>> metrics, tau = agreement(rows)
        >>> metrics, round(float(tau[0, 1]), 3)
        (['otce', 'nce'], 0.333)
    """
    means: dict[str, dict[str, float]] = {}
    for row in rows:
        found = means.setdefault(row["metric"], {})
        if row["rank"] is not None:
            found[row["source_model"]] = row["mean"]
    metrics = list(means)
    tau = np.full((len(metrics), len(metrics)), np.nan)
    for i, one in enumerate(metrics):
        for j, other in enumerate(metrics):
            models = sorted(means[one].keys() & means[other].keys())
            if len(models) >= _FEWEST_MODELS:
                pair = [[means[metric][model] for model in models] for metric in (one, other)]
                tau[i, j] = kendalltau(*pair).statistic
    return metrics, tau
