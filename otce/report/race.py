"""What the report says about a race: its rounds, who left when and why, and the work saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa

Row = dict[str, Any]


class RaceRound(NamedTuple):
    """One round of a race."""

    number: int
    phase: str
    repetitions: int
    """That each model has of this phase after the round."""
    started: int
    """Models that it scored."""
    left: int
    """Models that were left after it."""


@dataclass(frozen=True, slots=True)
class Race:
    """How the race for a target went."""

    target: str
    metric: str
    rounds: list[RaceRound]
    eliminated: list[Row]
    """Rows of the race table of those that left or failed, the last round first."""
    models: int
    finished: int
    work_share: float | None
    """Transport work done, as a share of that of all repetitions of all models."""


def races(race: pa.Table | None, repetitions: int | None) -> list[Race]:
    """Tell how the races of a run went.

    Args:
        race: of schema `otce.tables.RACE`; None where there was none.
        repetitions: those of a model that is never eliminated.

    Returns:
        One race a target and metric.
    """
    rows = [] if race is None else race.to_pylist()
    rows.sort(key=lambda row: (row["target_dataset"], row["metric"], row["round"]))
    return [
        _told(target, metric, list(own), repetitions)
        for (target, metric), own in groupby(
            rows, key=lambda row: (row["target_dataset"], row["metric"])
        )
    ]


def _told(target: str, metric: str, rows: list[Row], repetitions: int | None) -> Race:
    last = {row["source_model"]: row for row in rows}
    gone = [row for row in rows if row["decision"] in {"leaves", "failed"}]
    gone.sort(key=_latest_and_best_first)
    work = sum(row["work"] for row in last.values())
    return Race(
        target=target,
        metric=metric,
        rounds=_rounds(rows),
        eliminated=gone,
        models=len(last),
        finished=sum(row["decision"] == "finished" for row in last.values()),
        work_share=work / (len(last) * repetitions) if repetitions else None,
    )


def _latest_and_best_first(row: Row) -> tuple[int, float, str]:
    mean = float("-inf") if row["mean"] is None else row["mean"]
    return -row["round"], -mean, row["source_model"]


def _rounds(rows: Sequence[Row]) -> list[RaceRound]:
    found = []
    for number, members in groupby(rows, key=lambda row: row["round"]):
        own = list(members)
        found.append(
            RaceRound(
                number=number,
                phase=own[0]["phase"],
                repetitions=max(row["repetitions"] for row in own),
                started=len(own),
                left=sum(row["decision"] in {"stays", "finished"} for row in own),
            )
        )
    return found
