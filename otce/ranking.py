"""Repetitions become means, intervals, ranks and ties: what may be claimed about a zoo.

Higher is better, for every metric. `otce.intervals` says what an interval covers, and
`otce.comparison` how models are told apart. Nothing here reads or writes.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from itertools import accumulate, groupby, pairwise
from math import isfinite
from statistics import fmean
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from otce.comparison import p_beats, standing
from otce.errors import DataError
from otce.intervals import Side, estimate, total
from otce.sides import LISTS, ROLES, known_sides, side
from otce.tables import PAIR, SUMMARY, table

Row = dict[str, Any]

CERTAIN: Final = 0.975
"""Probability from which a model beats another: the 95 % interval of the difference is above 0."""

_NEEDED: Final = ("repetition", "otce", "value", "marginal_error", "source_digest", "target_digest")
_ROW_NAMES: Final = [name for name in PAIR.names if name in {*SUMMARY.names, *_NEEDED}]


def summarize(pairs: pa.Table) -> pa.Table:
    """Summarize repetitions and rank the models of every target and metric.

    A model beats another if it is truly better with a probability of at least `CERTAIN`, both on
    the same images. Its rank is 1 + the number of models that beat it, and at least that of every
    model with a higher mean; models of which neither beats the other are tied. About one pair in
    forty of equally good models is told apart all the same, in each direction. Where the influences
    of images are not known for both (written before there were any, or a side with one image), a
    model beats another when its interval of pixel noise lies above the other's; a single repetition
    counts as an interval without width.

    Ranks of redrawn images and chances to be the best are given where influences are known for all
    models that are ranked together. `rank_low` and `rank_high` always include the rank.

    Three kinds of pair keep their numbers but get no rank and no ties. A degenerate pair has a side
    with one class, where the score says nothing about the model. A pair with fewer repetitions than
    another of its target and metric left a race early: means of few repetitions are those of other
    draws, and the models that left are beaten already. A pair scored with other pixel
    counts than most models of its target (of equally frequent counts the larger) is not
    comparable: too few pixels alone lower the score by far more than its interval (a toy problem
    scored -0.31 nats from 1000 source pixels and -0.48 from 100, stderr 0.02). Such a model joins
    the ranking when the whole zoo is sampled with as few pixels. Only pixels that the metric sees
    are counted.

    Args:
        pairs: all repetitions of all pairs and metrics, of schema `otce.tables.PAIR`, in any order.
            Rows without a `value` are scored by their `otce`.

    Returns:
        One row per target, model and metric, of schema `otce.tables.SUMMARY`, sorted by target,
        metric, rank (without rank last), mean from high to low, and model.

    Raises:
        DataError: a score or influence is not finite, influences do not fit their images, or a pair
            has a repetition twice or two fingerprints.

    Example:
        >>> blank = dict.fromkeys(PAIR.names) | {"target_dataset": "bay", "metric": "otce"}
        >>> blank |= {"normalized": 0.5, "degenerate": "none", "repetition": 0}
        >>> near = blank | {"source_model": "near", "otce": -0.2}
        >>> far = blank | {"source_model": "far", "otce": -0.7}
        >>> summarize(table([far, near], PAIR)).select(["source_model", "rank"]).to_pylist()
        [{'source_model': 'near', 'rank': 1}, {'source_model': 'far', 'rank': 2}]
    """
    lists = pairs.select(list(LISTS)).combine_chunks()
    rows = pairs.select(_ROW_NAMES).to_pylist()
    summaries = [
        _pair_summary(repetitions, lists)
        for repetitions in _grouped(
            [row | {"position": position} for position, row in enumerate(rows)],
            lambda row: (row["target_dataset"], row["metric"], row["source_model"]),
        )
    ]
    ranked = [
        row
        for rivals in _grouped(summaries, lambda row: (row["target_dataset"], row["metric"]))
        for row in _ranked(rivals)
    ]
    return table(ranked, SUMMARY)


def ranking_rows(summary: pa.Table) -> list[Row]:
    """Give the rows of a ranking.

    Args:
        summary: of schema `otce.tables.SUMMARY`.

    Returns:
        One mapping a row. A large zoo has millions of ties; each name in them is one object.

    Example:
        >>> ties = pa.array([["near", "far"], None], pa.list_(pa.string()))
        >>> ranking_rows(pa.table({"rank": [1, 2], "tied_with": ties}))
        [{'rank': 1, 'tied_with': ['near', 'far']}, {'rank': 2, 'tied_with': None}]
    """
    ties = summary["tied_with"].combine_chunks()
    coded = ties.flatten().dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), object)
    codes = coded.indices.to_numpy()
    lengths = pc.list_value_length(ties).to_pylist()
    ends = list(accumulate(n or 0 for n in lengths))
    tied = (
        None if n is None else names[codes[end - n : end]].tolist()
        for n, end in zip(lengths, ends, strict=True)
    )
    rows: list[Row] = summary.drop_columns(["tied_with"]).to_pylist()
    return [row | {"tied_with": own} for row, own in zip(rows, tied, strict=True)]


def _grouped(rows: list[Row], key: Callable[[Row], Any]) -> Iterator[list[Row]]:
    for _, group in groupby(sorted(rows, key=key), key=key):
        yield list(group)


def _pair_summary(repetitions: list[Row], lists: pa.Table) -> Row:
    # In this order whatever the table's, because float sums depend on theirs.
    rows = sorted(repetitions, key=lambda row: row["repetition"])
    scores = _checked(rows)
    degenerate = sorted({row["degenerate"] for row in rows} - {"none"})
    found = estimate(scores)
    images = {role: side(rows[0], lists, role) for role in ROLES}
    sides = known_sides(images)
    return {
        **dict.fromkeys(SUMMARY.names),
        **{name: rows[0][name] for name in SUMMARY.names if name in rows[0]},
        **found._asdict(),
        "normalized": _or_none(fmean, [row["normalized"] for row in rows]),
        "k_done": len(rows),
        "n_source_px": _or_none(min, [row["n_source_px"] for row in rows]),
        "n_target_px": _or_none(min, [row["n_target_px"] for row in rows]),
        "max_marginal_error": _or_none(max, [row["marginal_error"] for row in rows]),
        "degenerate": degenerate[0] if degenerate else "none",
        "tied_with": [],
        "n_source_images": _count(images["source"]),
        "n_target_images": _count(images["target"]),
        **(total(found.mean, sides)._asdict() if sides else {}),
        # Not columns; they serve the ranking below.
        "sides": sides,
        "target_digest": rows[0]["target_digest"],
    }


def _or_none(reduce: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return reduce(known) if known else None


def _checked(rows: list[Row]) -> list[float]:
    """Give the scores of a pair's repetitions."""
    pair = _name(rows[0])
    scores = [row["otce"] if row["value"] is None else row["value"] for row in rows]
    for row, score in zip(rows, scores, strict=True):
        if score is None or not isfinite(score):
            raise DataError(
                f"{pair}: repetition {row['repetition']} has the score {score}; scores are "
                "finite, and what could not be scored belongs into the failures table"
            )
    fingerprints = {row["pair_fingerprint"] for row in rows}
    if len(fingerprints) > 1 or len({row["repetition"] for row in rows}) < len(rows):
        raise DataError(
            f"{pair}: {len(rows)} rows of {len(fingerprints)} fingerprint(s), some for the same "
            "repetition; rank one run at a time, with every repetition of a pair once"
        )
    return scores


def _name(row: Row) -> str:
    return f"{row['source_model']} on {row['target_dataset']}"


def _count(images: Side | None) -> int | None:
    return None if images is None else len(images.items)


def _ranked(rivals: list[Row]) -> list[Row]:
    """Rank one target and metric, in the order of the summary."""
    comparable = _comparable(rivals)
    places = {}
    if comparable:
        places = {
            row["source_model"]: place
            for row, place in zip(comparable, _places(comparable), strict=True)
        }
    placed = [row | places.get(row["source_model"], {}) for row in rivals]
    return sorted(placed, key=_position)


def _comparable(rivals: list[Row]) -> list[Row]:
    """Keep the rows that may be ranked against each other, best mean first."""
    most = max(row["k_done"] for row in rivals)
    sound = [r for r in rivals if r["degenerate"] == "none" and r["k_done"] == most]
    counts = Counter(_pixels(row) for row in sound)
    usual = max(counts, key=lambda pixels: (counts[pixels], pixels), default=None)
    kept = [row for row in sound if _pixels(row) == usual]
    return sorted(kept, key=lambda row: (-row["mean"], row["source_model"]))


def _pixels(row: Row) -> tuple[int, int]:
    sees_source = row["n_source_images"] != 0
    return (row["n_source_px"] or 0) if sees_source else 0, row["n_target_px"] or 0


def _places(comparable: list[Row]) -> list[Row]:
    """Place rows that descend by their mean."""
    beats_MM, probability_MM = _beats(comparable)
    # A narrow interval may be beaten where a wider one with a lower mean is not.
    ranks = list(accumulate((1 + beats_MM.sum(axis=0)).tolist(), max))
    ranks = _shared_by_equals(ranks, [row["mean"] for row in comparable])
    # A large zoo has many ties; each name is one object.
    names = [row["source_model"] for row in comparable]
    tied_MM = ~(beats_MM | beats_MM.T | np.eye(len(names), dtype=bool))
    places = [
        {"rank": rank, "tied_with": sorted(names[i] for i in np.flatnonzero(tied_M))}
        for rank, tied_M in zip(ranks, tied_MM, strict=True)
    ]
    for i, (row, following) in enumerate(pairwise(comparable)):
        if row["sides"] and following["sides"]:
            places[i]["p_beats_next"] = float(probability_MM[i, i + 1])
    chances = _chances(comparable, ranks)
    return [place | chance for place, chance in zip(places, chances, strict=True)]


def _shared_by_equals(ranks: list[int], means: list[float]) -> list[int]:
    """Give equal means the rank of the last of them."""
    last = dict(zip(means, ranks, strict=True))
    return [last[mean] for mean in means]


def _beats(comparable: list[Row]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Tell which row beats which, and how probable that is where the images' noise is known."""
    means_M = np.array([row["mean"] for row in comparable])
    low_M, high_M = np.array([_interval(row) for row in comparable]).T
    beats_MM = low_M[:, None] > high_M[None, :]
    probability_MM = np.zeros(beats_MM.shape)
    known = [place for place, row in enumerate(comparable) if row["sides"]]
    if known:
        both = np.ix_(known, known)
        probability_MM[both] = p_beats(means_M[known], [comparable[i]["sides"] for i in known])
        beats_MM[both] = probability_MM[both] >= CERTAIN
    return beats_MM, probability_MM


def _chances(comparable: list[Row], ranks: list[int]) -> list[Row]:
    """Tell where each row may stand, if the images' noise is known for all of them."""
    sides = [row["sides"] for row in comparable]
    if not all(sides):
        return [{} for _ in comparable]
    means_M = np.array([row["mean"] for row in comparable])
    found = standing(means_M, sides, seed=int(comparable[0]["target_digest"], 16))
    so_far = np.minimum(found.p_best.cumsum(), 1.0)
    return [
        {
            "p_best": float(p_best),
            "p_best_so_far": float(p_so_far),
            "rank_low": min(int(low), rank),
            "rank_high": max(int(high), rank),
        }
        for p_best, p_so_far, low, high, rank in zip(
            found.p_best, so_far, *found[1:], ranks, strict=True
        )
    ]


def _interval(row: Row) -> tuple[float, float]:
    if row["ci95_low"] is None:
        return row["mean"], row["mean"]
    return row["ci95_low"], row["ci95_high"]


def _position(row: Row) -> tuple[Hashable, ...]:
    return (row["rank"] is None, row["rank"], -row["mean"], row["source_model"])
