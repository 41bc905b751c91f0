"""What scoring a pair costs beside fine-tuning it for a few steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from otce.measure_config import SHORT

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Compute:
    """Means over the pairs that were scored, and over those that were fine-tuned.

    Attributes:
        score_s: processor time of a pair's scores, all metrics of the run, by what its last start
            computed.
        short_s: processor time of a short fine-tune, reading and judging included.
        steps: batches of it.
        equal_steps: batches with which it would cost what the scores do; 0 where what it reads and
            judges alone costs more.
    """

    score_s: float
    short_s: float
    steps: int
    equal_steps: int

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"scoring a pair took {self.score_s:.2f} s of processor time, its short fine-tune of "
            f"{self.steps} steps {self.short_s:.2f} s; with {self.equal_steps} steps they would "
            "cost the same (measure.short_steps)"
        )


def compute_of(timings: Sequence[Row], truth_timings: Sequence[Row]) -> Compute | None:
    """Compare what scores cost with what short fine-tunes do.

    Args:
        timings: of the run, rows of `otce.timing_table.TIMINGS`.
        truth_timings: of the transfers, rows of `otce.transfer.tables.TIMINGS`.

    Returns:
        Both; None where no pair was scored, nothing was fine-tuned for a few steps, a GPU took
        part, whose time processors do not tell, or the run is older than its processor times.

    Example:
        >>> scored = [{"step": step, "source_model": "a", "dataset": "bay", "cpu_s": 3.0,
        ...            "gpu_s": 0.0} for step in ("extract", "solve")]
        >>> short = {"kind": "short_fine_tune", "cpu_s": 4.0, "gpu_s": 0.0, "steps": 10,
        ...          "training_cpu_s": 2.0}
        >>> print(compute_of(scored, [short]).equal_steps)
        20
    """
    pairs = {(row["source_model"], row["dataset"]) for row in timings if row["step"] == "solve"}
    short = [row for row in truth_timings if row["kind"] == SHORT]
    if not pairs or not short or any(row["gpu_s"] for row in (*timings, *short)):
        return None
    if any(row["cpu_s"] is None for row in timings):
        return None
    score_s = sum(row["cpu_s"] for row in timings) / len(pairs)
    short_s, steps, training_s = (
        float(np.mean([row[name] for row in short]))
        for name in ("cpu_s", "steps", "training_cpu_s")
    )
    equal = steps + (score_s - short_s) / (training_s / steps)
    return Compute(score_s, short_s, round(steps), max(0, round(equal)))
