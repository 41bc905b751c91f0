"""What the report says about each target, and about all of them side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from otce.correspondence import Correspondence, correspondence
from otce.ranking import ranking_rows
from otce.report.advice import worth_tuning
from otce.report.curve import Curves, epsilon_curves
from otce.report.metrics import MOST_MODELS, Metrics, all_metrics, decimals, label, position
from otce.report.plots import NARROW_PX, WIDE_PX, interval_plot
from otce.report.risks import Overlay, Risks, best_and_worst, by_model, pair_risks

Row = dict[str, Any]


class Explanation(NamedTuple):
    """The correspondence of the best or the worst model of a target."""

    role: str
    row: Row
    classes: Correspondence


@dataclass(frozen=True, slots=True)
class Section:
    """What the page says about one target; its ranking is that of OTCE."""

    anchor: str
    target: str
    label: str
    """The metric that ranks, as the page calls it."""
    rows: list[Row]
    decimals: int
    target_entropy: float | None
    failures: int
    plots: list[str]
    """The wide and the narrow one; empty without scores."""
    explanations: list[Explanation]
    curves: Curves
    metrics: Metrics | None
    risks: Risks | None
    overlays: list[list[Overlay]]

    @property
    def ranked(self) -> list[Row]:
        """The models that have a rank, the first being the one to start with."""
        return [row for row in self.rows if row["rank"] is not None]

    @property
    def unranked(self) -> list[Row]:
        """The models that have a score and no rank."""
        return [row for row in self.rows if row["rank"] is None]

    @property
    def advised(self) -> list[Mapping[str, Any]]:
        """The models to fine-tune, if it is known how sure that is."""
        return worth_tuning(self.rows)

    def knows(self, column: str) -> bool:
        """Whether any row has a value there."""
        return any(row[column] is not None for row in self.rows)

    @property
    def fewest_px(self) -> int | None:
        """Pixels that would rank all sound models together, when they now differ."""
        # Who left a race has fewer repetitions, whatever its pixels.
        most = max((row["k_done"] for row in self.rows), default=0)
        whole = [row for row in self.rows if row["k_done"] == most]
        sound = [row for row in whole if row["degenerate"] == "none"]
        counts = {row[side] for row in sound for side in ("n_source_px", "n_target_px")} - {None}
        return min(counts) if any(row["rank"] is None for row in sound) and counts else None


@dataclass(frozen=True, slots=True)
class Grid:
    """Models against targets, for one metric."""

    label: str
    sections: list[Section]
    models: list[tuple[str, str | None]]
    """Ids and source data sets, the best mean normalized score first."""
    cells: dict[tuple[str, str], Row]
    failed: set[tuple[str, str]]
    decimals: int

    def shading(self, row: Row) -> float:
        """Place a row's normalized score between the grid's lowest (0.1) and highest (1)."""
        ranked = [cell["normalized"] for cell in self.cells.values() if cell["rank"] is not None]
        known = [normalized for normalized in ranked if normalized is not None]
        if row["rank"] is None or row["normalized"] is None or max(known) == min(known):
            return 0.0
        return 0.1 + 0.9 * float((row["normalized"] - min(known)) / (max(known) - min(known)))


def target_sections(
    *,
    scores: pa.Table,
    summary: pa.Table,
    joints: pa.Table,
    failures: Sequence[Row],
    risks: pa.Table,
    overlays: Sequence[Overlay],
) -> list[Section]:
    """Lay out a section for every target that has scores or failures.

    Args:
        scores: of schema `otce.tables.SCORES`.
        summary: of schema `otce.tables.SUMMARY`, in its order.
        joints: of schema `otce.tables.JOINTS`.
        failures: rows of the failures table.
        risks: of schema `otce.tables.RISKS`.
        overlays: figures of risk maps.

    Returns:
        The sections by target.
    """
    found: dict[str, dict[str, list[Row]]] = {}
    for row in ranking_rows(summary):
        found.setdefault(row["target_dataset"], {}).setdefault(row["metric"], []).append(row)
    lost: dict[str, list[Row]] = {}
    for row in failures:
        if row["target_dataset"] is not None:
            lost.setdefault(row["target_dataset"], []).append(row)
    sections = []
    for number, target in enumerate(sorted(found.keys() | lost.keys()), start=1):
        by_metric, anchor = found.get(target, {}), f"target-{number}"
        lead = min(by_metric, key=position, default="otce")
        rows = by_metric.get(lead, [])
        sections.append(
            Section(
                anchor=anchor,
                target=target,
                label=label(lead),
                rows=rows,
                decimals=decimals([row["stderr"] for row in rows]),
                target_entropy=_target_entropy(scores, target, lead),
                failures=len(lost.get(target, [])),
                plots=_interval_plots(rows, label(lead), anchor),
                explanations=_explanations(rows, joints),
                curves=epsilon_curves(scores, rows, anchor),
                metrics=all_metrics(by_metric, lead, lost.get(target, [])),
                risks=pair_risks(rows, risks),
                overlays=by_model(overlays, rows),
            )
        )
    return sections


def _target_entropy(scores: pa.Table, target: str, lead: str) -> float | None:
    is_own = pc.and_(pc.equal(scores["target_dataset"], target), pc.equal(scores["metric"], lead))
    known = scores.filter(is_own)["target_entropy"].drop_null().to_pylist()
    return fmean(known) if known else None


def _interval_plots(rows: list[Row], name: str, anchor: str) -> list[str]:
    axis = f"{name} (nats), higher is better"
    return [
        interval_plot(rows[:MOST_MODELS], metric=axis, name=f"{anchor}-{width}", width_px=width)
        for width in (WIDE_PX, NARROW_PX)
        if rows
    ]


def _explanations(rows: list[Row], joints: pa.Table) -> list[Explanation]:
    explained = []
    for role, row in best_and_worst(rows):
        own = joints.filter(pc.equal(joints["pair_fingerprint"], row["pair_fingerprint"]))
        if own.num_rows:
            explained.append(Explanation(role, row, correspondence(own)))
    return explained


def grids(sections: Sequence[Section], failures: Sequence[Row]) -> list[Grid]:
    """Lay out a grid for every ranking with more than one target.

    Args:
        sections: what is said about each target.
        failures: rows of the failures table.

    Returns:
        One grid as a rule, of OTCE.
    """
    found = []
    for name in dict.fromkeys(section.label for section in sections):
        columns = [section for section in sections if section.label == name]
        rows = [row for section in columns for row in section.rows]
        if len(columns) > 1 and rows:
            cells = {(row["source_model"], row["target_dataset"]): row for row in rows}
            lost = {(row["source_model"], row["target_dataset"]) for row in failures} - cells.keys()
            digits = decimals([row["stderr"] for row in rows])
            found.append(Grid(name, columns, _best_overall(rows), cells, lost, digits))
    return found


def _best_overall(rows: list[Row]) -> list[tuple[str, str | None]]:
    scores: dict[tuple[str, str | None], list[float]] = {}
    for row in rows:
        model = scores.setdefault((row["source_model"], row["source_dataset"]), [])
        model.extend([row["normalized"]] if row["normalized"] is not None else [])
    return sorted(scores, key=lambda model: (-fmean(scores[model] or [0.0]), model[0]))
