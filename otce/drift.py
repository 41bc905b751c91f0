"""How scores and ranks moved since an earlier run, and whether that is more than their noise.

Higher is better, for every metric. Nothing here reads or writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.special import stdtrit

from otce.columns import INT, NUMBER, TEXT, column, schema
from otce.intervals import Side
from otce.tables import table

Row = Mapping[str, Any]
Sides = Mapping[str, Sequence[Side] | None]
"""Images that scores saw, by pair fingerprint; None where not known."""

DRIFT: Final = schema(
    "drift",
    column("target_dataset", TEXT, "id of the target data set"),
    column("source_model", TEXT, "id of the source model"),
    column("metric", TEXT, "which score"),
    column("previous_run", TEXT, "run that this one is compared with"),
    column("previous_mean", NUMBER, "mean score there; null: none", unit="of the metric"),
    column("mean", NUMBER, "mean score now; null: none", unit="of the metric", direction="higher"),
    column(
        "change", NUMBER, "mean minus previous_mean; null where one lacks", unit="of the metric"
    ),
    column(
        "change95_low",
        NUMBER,
        "lower end of the 95 % interval of the change, of equal images where both runs saw the "
        "same data set; null: not known",
        unit="of the metric",
    ),
    column("change95_high", NUMBER, "upper end of that interval", unit="of the metric"),
    column("beyond", pa.bool_(), "whether 0 lies outside of that interval; null: not known"),
    column("previous_rank", INT, "rank there; null: none"),
    column("rank", INT, "rank now; null: none"),
    column(
        "why",
        TEXT,
        "what changed: same (nothing), new or gone (a score in one run only), or any of model, "
        "source, target and recipe",
    ),
)
"""A row per pair and metric of either run."""

_KEY: Final = ("target_dataset", "source_model", "metric")
_COMPARED: Final = (*_KEY, "pair_fingerprint", "mean", "stderr", "k_done", "rank")
_OF_A_MODEL: Final = (
    "weights_digest",
    "code_digest",
    "preprocessing",
    "reference",
    "arguments",
    "tap",
)
_OF_A_SOURCE: Final = ("source", "source_digest")
_OF_A_RECIPE: Final = ("seed", "sampling", "score")


class Earlier(NamedTuple):
    """A finished run that another is compared with."""

    run_id: str
    manifest: Mapping[str, Any]
    summary: pa.Table
    """Of schema `otce.tables.SUMMARY`."""


class Moved(NamedTuple):
    """Which models entered or left the first k of a target, by OTCE."""

    target: str
    entered: list[str]
    left: list[str]


def drift(
    earlier: Earlier, manifest: Mapping[str, Any], summary: pa.Table, sides: Sides
) -> pa.Table:
    """Compare a run with an earlier one, pair by pair and metric by metric.

    Args:
        earlier: the run before.
        manifest: of the run.
        summary: of the run, of schema `otce.tables.SUMMARY`.
        sides: images of the scores of both runs that differ; without them intervals are of the
            repetitions alone.

    Returns:
        A table of `DRIFT`, sorted by target, metric, rank (without rank last) and model.
    """
    before, now = (_rows(one) for one in (earlier.summary, summary))
    rows = []
    for key in before.keys() | now.keys():
        old, new = before.get(key), now.get(key)
        rows.append(
            dict(zip(_KEY, key, strict=True))
            | {"previous_run": earlier.run_id, "why": _why(old, new, earlier.manifest, manifest)}
            | _moved(old, new, sides)
        )
    return table(sorted(rows, key=_position), DRIFT)


def changed_pairs(earlier: pa.Table, summary: pa.Table) -> set[str]:
    """Name what two runs scored differently.

    Args:
        earlier: summary of the run before.
        summary: of the run.

    Returns:
        Pair fingerprints, those of both runs, of the metrics of pairs that both have.
    """
    before, now = _rows(earlier), _rows(summary)
    names = [
        {before[key]["pair_fingerprint"], now[key]["pair_fingerprint"]}
        for key in before.keys() & now.keys()
    ]
    return {name for pair in names if len(pair) > 1 for name in pair}


def interval(old: Sequence[Side], new: Sequence[Side]) -> float:
    """Say how far a change may be off: half of its 95 % interval.

    Images of a data set that both runs saw enter by the difference of their influences, as what
    they do to both scores cancels; those of two data sets enter with each score's own.

    Args:
        old: the sides of the earlier score.
        new: those of the score now, in the same order.

    Returns:
        Half the width, Student t with the degrees of freedom of Welch and Satterthwaite.

    Example:
        >>> one = Side("ab", np.arange(3), np.array([-0.1, 0.0, 0.1]))
        >>> interval([one], [one])
        0.0
        >>> other = Side("cd", np.arange(3), np.array([-0.1, 0.0, 0.1]))
        >>> round(interval([one], [other]), 3)
        0.833
    """
    parts = []
    for before, now in zip(old, new, strict=True):
        if before.digest == now.digest:
            items = np.union1d(before.items, now.items)
            spread_I = np.zeros(len(items))
            spread_I[np.searchsorted(items, now.items)] += now.spread
            spread_I[np.searchsorted(items, before.items)] -= before.spread
            parts.append((float(spread_I @ spread_I), min(before.freedom, now.freedom)))
        else:
            parts += [(before.variance, before.freedom), (now.variance, now.freedom)]
    return _half(parts)


def moved(drifted: pa.Table, k: int) -> list[Moved]:
    """Find the targets whose first k models changed by more than noise.

    That is so when a model that entered or left has moved beyond its interval, is new or is gone:
    where models only changed places within their intervals, nothing is told.

    Args:
        drifted: of schema `DRIFT`.
        k: how many models.

    Returns:
        One entry a target, in order of targets.
    """
    rows = [row for row in drifted.to_pylist() if row["metric"] == "otce"]
    found = []
    for target in sorted({row["target_dataset"] for row in rows}):
        mine = {row["source_model"]: row for row in rows if row["target_dataset"] == target}
        before = _first(mine.values(), "previous_rank", "previous_mean", k)
        now = _first(mine.values(), "rank", "mean", k)
        movers = set(before) ^ set(now)
        if any(mine[m]["beyond"] or mine[m]["why"] in {"new", "gone"} for m in movers):
            entered = [m for m in now if m not in before]
            found.append(Moved(target, entered, [m for m in before if m not in now]))
    return found


def sentence(moves: Sequence[Moved], k: int, run_id: str) -> str:
    """Tell what `moved` found.

    Args:
        moves: at least one.
        k: how many first models.
        run_id: of the run before.

    Returns:
        One line.

    Example:
        >>> sentence([Moved("bay", ["b"], ["a"])], 1, "n-0001")
        'the first 1 changed beyond their intervals since n-0001: bay (in: b; out: a)'
    """
    told = "; ".join(
        f"{move.target} (in: {', '.join(move.entered) or 'none'}; "
        f"out: {', '.join(move.left) or 'none'})"
        for move in moves
    )
    return f"the first {k} changed beyond their intervals since {run_id}: {told}"


def _rows(summary: pa.Table) -> dict[tuple[str, str, str], Row]:
    return {_key(row): row for row in summary.select(list(_COMPARED)).to_pylist()}


def _key(row: Row) -> tuple[str, str, str]:
    return row["target_dataset"], row["source_model"], row["metric"]


def _moved(old: Row | None, new: Row | None, sides: Sides) -> dict[str, Any]:
    found: dict[str, Any] = {
        "previous_mean": old and old["mean"],
        "mean": new and new["mean"],
        "previous_rank": old and old["rank"],
        "rank": new and new["rank"],
        **dict.fromkeys(("change", "change95_low", "change95_high", "beyond")),
    }
    if old is None or new is None:
        return found
    change = new["mean"] - old["mean"]
    half = _uncertainty(old, new, sides)
    if half is None:
        return found | {"change": change}
    ends = {"change95_low": change - half, "change95_high": change + half}
    return found | {"change": change, "beyond": abs(change) > half} | ends


def _uncertainty(old: Row, new: Row, sides: Sides) -> float | None:
    names = old["pair_fingerprint"], new["pair_fingerprint"]
    if names[0] == names[1]:
        return 0.0
    before, now = (sides.get(name) for name in names)
    if before and now and len(before) == len(now):
        return interval(before, now)
    if old["stderr"] is None or new["stderr"] is None:
        return None
    return _half([(row["stderr"] ** 2, row["k_done"] - 1) for row in (old, new)])


def _half(parts: Iterable[tuple[float, float]]) -> float:
    """Half the 95 % interval of a sum of independent terms, from variances and their freedoms."""
    noisy = [(variance, freedom) for variance, freedom in parts if variance > 0]
    variance = sum(part for part, _ in noisy)
    if not noisy:
        return 0.0
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in noisy)
    return float(stdtrit(freedom, 0.975)) * sqrt(variance)


def _why(
    old: Row | None, new: Row | None, before: Mapping[str, Any], now: Mapping[str, Any]
) -> str:
    if old is None or new is None:
        return "new" if old is None else "gone"
    if old["pair_fingerprint"] == new["pair_fingerprint"]:
        return "same"
    was, is_ = (run["models"][new["source_model"]] for run in (before, now))
    digests = [
        run["datasets"].get(new["target_dataset"], {}).get("digest") for run in (before, now)
    ]
    found = {
        "model": _differ(was, is_, _OF_A_MODEL),
        "source": _differ(was, is_, _OF_A_SOURCE),
        "target": digests[0] != digests[1],
        "recipe": _differ(before, now, _OF_A_RECIPE),
    }
    # What is in neither, such as the version of the score, is of the recipe.
    return ", ".join(name for name, changed in found.items() if changed) or "recipe"


def _differ(before: Mapping[str, Any], now: Mapping[str, Any], keys: Iterable[str]) -> bool:
    return any(before.get(key) != now.get(key) for key in keys)


def _first(rows: Iterable[Row], rank: str, mean: str, k: int) -> list[str]:
    ranked = [row for row in rows if row[rank] is not None]
    ranked.sort(key=lambda row: (row[rank], -row[mean], row["source_model"]))
    return [row["source_model"] for row in ranked[:k]]


def _position(row: Row) -> tuple[Any, ...]:
    rank = row["rank"]
    return row["target_dataset"], row["metric"], rank is None, rank or 0, row["source_model"]
