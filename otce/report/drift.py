"""What the report says about drift: which scores and ranks moved since the run before."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

Row = Mapping[str, Any]

MOST_ROWS: Final = 40


@dataclass(frozen=True, slots=True)
class DriftSection:
    """How OTCE moved.

    Attributes:
        previous_run: id of the run before.
        rows: what moved beyond its interval, changed its rank, is new or is gone; those beyond
            their intervals first, then the largest changes.
        changed: pairs that were scored anew and have a score in both runs.
        beyond: those of them that moved beyond their intervals.
        compared: pairs with a score in both runs.
        why: pairs by what changed, in words, the most frequent first.
    """

    previous_run: str
    rows: list[Row]
    changed: int
    beyond: int
    compared: int
    why: list[tuple[str, int]]


def drift_section(drift: pa.Table | None) -> DriftSection | None:
    """Choose what to tell of drift.

    Args:
        drift: of schema `otce.drift.DRIFT`; None: there was no run before.

    Returns:
        The section, or None where no pair changed.
    """
    rows = [] if drift is None else [r for r in drift.to_pylist() if r["metric"] == "otce"]
    moved = [row for row in rows if row["why"] != "same"]
    if not moved:
        return None
    both = [row for row in moved if row["change"] is not None]
    told = [
        row
        for row in rows
        if row["why"] in {"new", "gone"} or row["beyond"] or row["rank"] != row["previous_rank"]
    ]
    return DriftSection(
        previous_run=moved[0]["previous_run"],
        rows=sorted(told, key=_importance),
        changed=len(both),
        beyond=sum(bool(row["beyond"]) for row in both),
        compared=sum(row["change"] is not None for row in rows),
        why=Counter(row["why"] for row in moved).most_common(),
    )


def _importance(row: Row) -> tuple[Any, ...]:
    change = abs(row["change"] or 0.0)
    return not row["beyond"], -change, row["target_dataset"], row["source_model"]
