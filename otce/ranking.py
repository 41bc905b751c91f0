"""Repetitions become means, intervals, ranks and ties: what may be claimed about a zoo.

Scores are in nats, at most 0, higher is better. An interval covers the noise of drawing pixels
and nothing else. Nothing here reads or writes.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby
from math import isfinite, sqrt
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.special import stdtrit

from otce.errors import DataError
from otce.tables import SUMMARY, table

Row = dict[str, Any]


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
        scores_K: scores in nats, one a repetition, at least one.

    Returns:
        The estimate, in nats; from a single repetition the mean only.

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


def summarize(scores: pa.Table) -> pa.Table:
    """Summarize repetitions and rank the models of every target and metric.

    A model's rank is 1 + the number of models that are better beyond their intervals (whose lower
    end is above its upper end), and at least that of every model with a higher mean; so models that
    the draws cannot tell apart share a rank. A single repetition counts as an interval without
    width.

    Two kinds of pair keep their numbers but get no rank and no ties. A degenerate pair has a side
    with one class, where the score says nothing about the model. A pair scored with other pixel
    counts than most models of its target (of equally frequent counts the larger) is not
    comparable: too few pixels alone lower the score by far more than its interval (a toy problem
    scored -0.31 nats from 1000 source pixels and -0.48 from 100, stderr 0.02). Such a model joins
    the ranking when the whole zoo is sampled with as few pixels.

    Args:
        scores: all repetitions of all pairs, of schema `otce.tables.SCORES`, in any order.

    Returns:
        One row per target, model and metric, of schema `otce.tables.SUMMARY`, sorted by target,
        metric, rank (without rank last), mean from high to low, and model.

    Raises:
        DataError: a score is not finite, or a pair has a repetition twice or two fingerprints.

    Example:
        >>> from otce.tables import SCORES
        >>> blank = dict.fromkeys(SCORES.names) | {"target_dataset": "bay", "metric": "otce"}
        >>> blank |= {"normalized": 0.5, "degenerate": "none", "repetition": 0}
        >>> near = blank | {"source_model": "near", "otce": -0.2}
        >>> far = blank | {"source_model": "far", "otce": -0.7}
        >>> summarize(table([far, near], SCORES)).select(["source_model", "rank"]).to_pylist()
        [{'source_model': 'near', 'rank': 1}, {'source_model': 'far', 'rank': 2}]
    """
    pairs = [
        _pair_summary(repetitions)
        for repetitions in _grouped(
            scores.to_pylist(),
            lambda row: (row["target_dataset"], row["metric"], row["source_model"]),
        )
    ]
    ranked = [
        row
        for rivals in _grouped(pairs, lambda row: (row["target_dataset"], row["metric"]))
        for row in sorted(_ranked(rivals), key=_position)
    ]
    return table(ranked, SUMMARY)


def _grouped(rows: list[Row], key: Callable[[Row], Any]) -> Iterator[list[Row]]:
    for _, group in groupby(sorted(rows, key=key), key=key):
        yield list(group)


def _pair_summary(repetitions: list[Row]) -> Row:
    # In this order whatever the table's, because float sums depend on theirs.
    rows = sorted(repetitions, key=lambda row: row["repetition"])
    _check(rows)
    degenerate = sorted({row["degenerate"] for row in rows} - {"none"})
    return {
        **dict.fromkeys(SUMMARY.names),
        **{name: rows[0][name] for name in SUMMARY.names if name in rows[0]},
        **estimate([row["otce"] for row in rows])._asdict(),
        "normalized": _or_none(fmean, [row["normalized"] for row in rows]),
        "k_done": len(rows),
        "n_source_px": _or_none(min, [row["n_source_px"] for row in rows]),
        "n_target_px": _or_none(min, [row["n_target_px"] for row in rows]),
        "max_marginal_error": _or_none(max, [row["marginal_error"] for row in rows]),
        "degenerate": degenerate[0] if degenerate else "none",
        "rank": None,
        "tied_with": [],
    }


def _or_none(reduce: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return reduce(known) if known else None


def _check(rows: list[Row]) -> None:
    pair = f"{rows[0]['source_model']} on {rows[0]['target_dataset']}"
    for row in rows:
        if row["otce"] is None or not isfinite(row["otce"]):
            raise DataError(
                f"{pair}: repetition {row['repetition']} has the score {row['otce']}; scores are "
                "finite, and what could not be scored belongs into the failures table"
            )
    fingerprints = {row["pair_fingerprint"] for row in rows}
    if len(fingerprints) > 1 or len({row["repetition"] for row in rows}) < len(rows):
        raise DataError(
            f"{pair}: {len(rows)} rows of {len(fingerprints)} fingerprint(s), some for the same "
            "repetition; rank one run at a time, with every repetition of a pair once"
        )


def _ranked(rivals: list[Row]) -> list[Row]:
    comparable = _comparable(rivals)
    models = {row["source_model"] for row in comparable}
    return [
        row | _place(row, comparable) if row["source_model"] in models else row for row in rivals
    ]


def _comparable(rivals: list[Row]) -> list[Row]:
    """Keep the rows that may be ranked against each other."""
    sound = [row for row in rivals if row["degenerate"] == "none"]
    counts = Counter(_pixels(row) for row in sound)
    usual = max(counts, key=lambda pixels: (counts[pixels], pixels), default=None)
    return [row for row in sound if _pixels(row) == usual]


def _pixels(row: Row) -> tuple[int, int]:
    return (row["n_source_px"] or 0, row["n_target_px"] or 0)


def _place(row: Row, comparable: list[Row]) -> Row:
    low, high = _interval(row)
    own = row["source_model"]
    others = [
        (other["source_model"], *_interval(other))
        for other in comparable
        if other["source_model"] != own
    ]
    return {
        # A narrow interval may be beaten where a wider one with a lower mean is not.
        "rank": max(
            1 + sum(_interval(other)[0] > _interval(above)[1] for other in comparable)
            for above in comparable
            if above["mean"] >= row["mean"]
        ),
        "tied_with": sorted(
            model
            for model, other_low, other_high in others
            if other_low <= high and low <= other_high
        ),
    }


def _interval(row: Row) -> tuple[float, float]:
    if row["ci95_low"] is None:
        return row["mean"], row["mean"]
    return row["ci95_low"], row["ci95_high"]


def _position(row: Row) -> tuple[Hashable, ...]:
    return (row["rank"] is None, row["rank"], -row["mean"], row["source_model"])
