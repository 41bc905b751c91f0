"""What the report says about all metrics of a target: their table, and how far they agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, isnan, log10
from statistics import median
from typing import Any, Final, NamedTuple, cast, get_args

from otce.recipe import FROM_COUPLING, FROM_PREDICTIONS, OVER_ALL_PIXELS, Metric
from otce.report.agreement import agreement

Row = dict[str, Any]

MOST_MODELS: Final = 40
"""Models that a figure or a table beside the ranking shows."""


class About(NamedTuple):
    """What a reader has to know to read a metric."""

    meaning: str
    unit: str
    range: str


_ABOUT: Final[dict[Metric, About]] = {
    "otce": About("how well the coupled source label tells the target label", "nats", "at most 0"),
    "otce_robust": About(
        "OTCE of a coupling that may leave source pixels out and weighs all classes alike",
        "nats",
        "at most 0",
    ),
    "normalized": About("OTCE from its floor (0) to its best (1)", "none", "0 to 1"),
    "wasserstein": About(
        "minus what it costs to move source features to target features",
        "scaled squared feature distance",
        "at most 0",
    ),
    "jc_otce": About("OTCE under a cost that knows both labels", "nats", "at most 0"),
    "otce_full": About(
        "OTCE and transport cost, weighed as fitted on other transfers",
        "accuracy it was fitted on",
        "unbounded",
    ),
    "logme": About("evidence of a linear model from features to classes", "nats", "unbounded"),
    "h_score": About(
        "how much of the features' spread lies between classes",
        "none",
        "0 to T - 1 for T classes, or the dimensions if fewer",
    ),
    "h_score_shrunk": About(
        "H-score with a covariance that few pixels suffice for",
        "none",
        "0 to T - 1 for T classes, or the dimensions if fewer",
    ),
    "gbc": About(
        "minus how far classes overlap as Gaussians", "none", "-T (T - 1) for T classes, to 0"
    ),
    "transrate": About("nats that features say about the class", "nats", "at least 0"),
    "nleep": About("how well clusters of features tell the target label", "nats", "at most 0"),
    "knn": About("how often the nearest pixels of other images agree", "share", "0 to 1"),
    "cc_fv": About(
        "whether a class looks alike in all images while features vary", "none", "unbounded"
    ),
    "leep": About("how well the model's predictions tell the target label", "nats", "at most 0"),
    "nce": About("how well the predicted label alone tells the target label", "nats", "at most 0"),
    "zero_shot_miou": About("mean IoU of the model as it is, untrained", "share", "0 to 1"),
}
ABOUT: Final[dict[Metric, About]] = _ABOUT | {
    over_all: about._replace(meaning=f"{about.meaning}, over all labelled pixels")
    for over_all in OVER_ALL_PIXELS
    for about in [_ABOUT[cast("Metric", over_all.removesuffix("_all_px"))]]
}
_ORDER: Final = {metric: place for place, metric in enumerate(get_args(Metric))}


def label(metric: str) -> str:
    """Name a metric as the page does."""
    return "OTCE" if metric == "otce" else metric


def position(metric: str) -> tuple[int, str]:
    """Place of a metric among others: OTCE first, what looks at the same things together."""
    return _ORDER.get(metric, len(_ORDER)), metric


def looks_at(metric: str) -> str:
    """Say what a metric is computed from; nothing for one that is not known."""
    if metric not in _ORDER:
        return ""
    if metric in FROM_COUPLING:
        return "coupling"
    return "predictions" if metric in FROM_PREDICTIONS else "target features"


def noise(row: Mapping[str, Any]) -> float | None:
    """Give the standard error that covers most: that of images and pixels, where known."""
    found: float | None = row["stderr"] if row["total_stderr"] is None else row["total_stderr"]
    return found


def decimals(stderrs: Sequence[float | None]) -> int:
    """Choose the digits of a column by its median standard error, from 2 to 5."""
    known = [stderr for stderr in stderrs if stderr]
    return min(max(-floor(log10(median(known))), 2), 5) if known else 3


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of one target."""

    metric: str
    rows: dict[str, Row]
    """By model."""
    decimals: int
    best: str | None
    """The model with the highest mean of those that have a rank."""
    failed: frozenset[str]
    """Models that this metric could not be had of."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """All metrics of one target, and how far they agree."""

    models: list[str]
    """The first `MOST_MODELS`, in the order of the ranking."""
    n_models: int
    columns: list[Column]
    tau: list[list[float | None]]
    """Kendall's tau by the order of the columns, -1 to 1; None where it says nothing."""

    @property
    def knows_total(self) -> bool:
        """Whether any error covers images as well as pixels."""
        return any(
            row["total_stderr"] is not None
            for column in self.columns
            for row in column.rows.values()
        )

    @property
    def can_compare(self) -> bool:
        """Whether any two metrics can be compared."""
        return any(
            tau is not None and i != j
            for i, line in enumerate(self.tau)
            for j, tau in enumerate(line)
        )


def all_metrics(
    by_metric: Mapping[str, list[Row]], lead: str, failures: Sequence[Row]
) -> Metrics | None:
    """Lay out the metrics of a target.

    Args:
        by_metric: the target's rows of the summary, in its order.
        lead: the metric whose ranking gives the order of the models.
        failures: the target's rows of the failures table.

    Returns:
        Their table; None of fewer than two metrics.
    """
    if len(by_metric) < 2:  # noqa: PLR2004 - one is the ranking itself
        return None
    names = sorted(by_metric, key=position)
    models = list(
        dict.fromkeys(row["source_model"] for name in (lead, *names) for row in by_metric[name])
    )
    columns = [_column(name, by_metric[name], failures) for name in names]
    _, tau = agreement([row for name in names for row in by_metric[name]])
    known = [[None if isnan(value) else value for value in line] for line in tau.tolist()]
    return Metrics(models[:MOST_MODELS], len(models), columns, known)


def _column(metric: str, rows: list[Row], failures: Sequence[Row]) -> Column:
    ranked = [row for row in rows if row["rank"] is not None]
    best = max(ranked, key=lambda row: row["mean"], default=None)
    return Column(
        metric=metric,
        rows={row["source_model"]: row for row in rows},
        decimals=decimals([noise(row) for row in rows]),
        best=None if best is None else best["source_model"],
        failed=frozenset(
            row["source_model"] for row in failures if row["metric"] in (None, metric)
        ),
    )
