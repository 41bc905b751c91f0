"""What the report says about how well scores predicted measured transfer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

Row = dict[str, Any]

SHOWN: Final = {
    "weighted_tau": "weighted τ",
    "tau": "Kendall τ",
    "pearson": "Pearson",
    "rel_at_1": "Rel@1",
    "regret_at_3": "regret@3",
    "best_in_top_3": "best in top 3",
}
"""Measures of the table, with their headings; the Parquet table has all."""
_PRIMARY: Final = "weighted_tau"
_REFERENCE: Final = "otce"


@dataclass(frozen=True)
class Judged:
    """How well one kind of truth was predicted.

    Attributes:
        truth: what was measured.
        targets: ids of the targets.
        predictors: rows of the table, the best first: `name`, `by_measure` (of the mean over
            targets, or of the only one) and `by_target` (weighted tau).
        verdict: what may be said of the best.
    """

    truth: str
    targets: list[str]
    predictors: list[Row]
    verdict: str


def judged_truths(agreement: pa.Table | None) -> list[Judged]:
    """Arrange how well every truth was predicted.

    Args:
        agreement: `otce.truth.tables.AGREEMENT`, or None where nothing was measured.

    Returns:
        One a truth.
    """
    rows = [] if agreement is None else agreement.to_pylist()
    truths = dict.fromkeys(row["truth"] for row in rows)
    return [_judged(truth, [row for row in rows if row["truth"] == truth]) for truth in truths]


def _judged(truth: str, rows: Sequence[Row]) -> Judged:
    targets = list(dict.fromkeys(r["target_dataset"] for r in rows if r["target_dataset"]))
    whole = None if len(targets) > 1 else targets[0]
    found: dict[str, Row] = {}
    for row in rows:
        one = found.setdefault(
            row["predictor"], {"name": row["predictor"], "by_measure": {}, "by_target": {}}
        )
        if row["target_dataset"] == whole:
            one["by_measure"][row["measure"]] = row
        if row["target_dataset"] and row["measure"] == _PRIMARY:
            one["by_target"][row["target_dataset"]] = row
    predictors = sorted(found.values(), key=lambda one: -_primary(one))
    return Judged(truth, targets, predictors, _verdict(predictors))


def _primary(one: Row) -> float:
    value = one["by_measure"].get(_PRIMARY, {}).get("value")
    return -2.0 if value is None else float(value)


def _verdict(predictors: Sequence[Row]) -> str:
    """Say what the paired intervals allow to say."""
    best = predictors[0]
    if best["name"] == _REFERENCE:
        return "No predictor agreed better than OTCE."
    low = best["by_measure"].get(_PRIMARY, {}).get("difference_low95")
    if low is not None and low > 0:
        return (
            f"{best['name']} predicted better than OTCE: the interval of the difference is above 0."
        )
    return (
        f"{best['name']} agreed best, but its difference to OTCE may be chance: the interval of "
        "the difference holds 0."
    )
