"""Which models to fine-tune: the fewest first ones that hold the best one almost surely."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

SURE: Final = 0.95
"""Probability from which the best model counts as among those that are advised."""


def worth_tuning(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Choose how many models to fine-tune so that the best by this score is among them.

    Args:
        rows: of `otce.tables.SUMMARY`, one target and metric, in its order.

    Returns:
        The first k that have a rank, k the fewest whose last has a `p_best_so_far` of at least
        `SURE`; none where that is not known or only one model is ranked.

    Example:
        >>> chances = {"a": 0.7, "b": 0.96, "c": 1.0}
        >>> rows = [{"source_model": m, "rank": 1, "p_best_so_far": p} for m, p in chances.items()]
        >>> [row["source_model"] for row in worth_tuning(rows)]
        ['a', 'b']
    """
    ranked = [row for row in rows if row["rank"] is not None]
    sure = [k for k, row in enumerate(ranked, 1) if (row["p_best_so_far"] or 0) >= SURE]
    return ranked[: sure[0]] if sure and len(ranked) > 1 else []
