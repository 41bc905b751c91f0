"""A run as one HTML page that needs nothing else, and its ranking as Markdown.

Every text of a run (ids, class names, messages) is data: the page escapes it and has no script.
Equal tables give equal bytes. OTCE is in nats, at most 0, higher is better.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from statistics import fmean, median
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import ChainableUndefined, Environment, PackageLoader

from otce.correspondence import Correspondence, correspondence
from otce.curve import SOLVED_NATS, Curves, epsilon_curves
from otce.plots import NARROW_PX, WIDE_PX, convergence_plot, interval_plot, scientific, shade

Row = dict[str, Any]

MOST_PLOTTED: Final = 40
"""Models an interval plot shows; the tables hold all."""
MOST_CLASSES: Final = 24
"""Classes a heat map shows on each side, the most frequent; the sentences name all targets'."""


class Explanation(NamedTuple):
    """The correspondence of the best or the worst model of a target."""

    role: str
    row: Row
    classes: Correspondence


@dataclass(frozen=True, slots=True)
class Section:
    """What the page says about one target and metric."""

    anchor: str
    target: str
    label: str
    """The metric, as the page calls it."""
    rows: list[Row]
    decimals: int
    target_entropy: float | None
    failures: int
    plots: list[str]
    """The wide and the narrow one; empty without scores."""
    explanations: list[Explanation]
    curves: Curves

    @property
    def ranked(self) -> list[Row]:
        """The models that have a rank, the first being the one to start with."""
        return [row for row in self.rows if row["rank"] is not None]

    @property
    def unranked(self) -> list[Row]:
        """The models that have a score and no rank."""
        return [row for row in self.rows if row["rank"] is None]

    @property
    def fewest_px(self) -> int | None:
        """Pixels that would rank all sound models together, when they now differ."""
        sound = [row for row in self.rows if row["degenerate"] == "none"]
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


def render(
    *,
    manifest: Mapping[str, Any],
    scores: pa.Table,
    summary: pa.Table,
    joints: pa.Table,
    failures: pa.Table,
) -> str:
    """Write the report of a run.

    Args:
        manifest: what the run was; what it lacks is left out of the page.
        scores: all repetitions, of schema `otce.tables.SCORES`.
        summary: the ranking, of schema `otce.tables.SUMMARY`, in its order.
        joints: label correspondences, of schema `otce.tables.JOINTS`.
        failures: pairs without a score, of schema `otce.tables.FAILURES`.

    Returns:
        An HTML document without script and without references to anything outside it.
    """
    sections = _sections(scores, summary, joints, failures)
    solves, failed = _solves(scores), failures.to_pylist()
    environment = Environment(
        loader=PackageLoader("otce", ""),
        autoescape=True,
        undefined=ChainableUndefined,  # a manifest may lack what an older version did not know
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"number": _number, "command": _command, "scientific": scientific, "shade": shade}
    environment.filters |= filters
    return environment.get_template("report.html.j2").render(
        manifest=manifest,
        sections=sections,
        grids=_grids(sections, failed),
        solves=solves,
        convergence_plots=_convergence_plots(solves, manifest),
        failures=failed,
        most_plotted=MOST_PLOTTED,
        most_classes=MOST_CLASSES,
        solved_nats=SOLVED_NATS,
    )


def ranking_markdown(summary: pa.Table) -> str:
    """Write the ranking as Markdown, one table per target and metric.

    Args:
        summary: the ranking, of schema `otce.tables.SUMMARY`, in its order.

    Returns:
        Markdown whose columns also line up as plain text; ids stand in code spans.
    """
    parts = [
        f"## {_code(target)}: {_label(metric)}\n\n{_markdown_table(rows, _label(metric))}"
        for (target, metric), rows in _by_section(summary.to_pylist()).items()
    ]
    return "\n\n".join(parts or ["No pair was scored."]) + "\n"


def _markdown_table(rows: list[Row], label: str) -> str:
    head = ("rank", "model", "source", f"{label} ↑ (nats)", "± stderr", "95 % interval")
    cells: list[tuple[str, ...]] = [(*head, "normalized", "K", "tied with")]
    for row in rows:
        low, mean, high, stderr = (
            _number(row[name], _decimals(rows))
            for name in ("ci95_low", "mean", "ci95_high", "stderr")
        )
        ids = (_code(row["source_model"]), _code(row["source_dataset"]))
        interval = f"{low} to {high}" if row["stderr"] is not None else _MISSING
        tied = ", ".join(map(_code, row["tied_with"])) or _MISSING
        rest = (_number(row["normalized"]), str(row["k_done"]), tied)
        cells.append((_number(row["rank"], 0), *ids, mean, stderr, interval, *rest))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in cells
    )


_MISSING = "\N{EN DASH}"


def _code(text: str) -> str:
    """Put an id into a code span, where Markdown means nothing but these three characters."""
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _label(metric: str) -> str:
    return "OTCE" if metric == "otce" else metric


def _number(value: float | None, decimals: int = 3, missing: str = _MISSING) -> str:
    return missing if value is None else f"{value:z.{decimals}f}"


def _command(words: Sequence[str] | str) -> str:
    return words if isinstance(words, str) else shlex.join(map(str, words))


def _decimals(rows: list[Row]) -> int:
    known = [row["stderr"] for row in rows if row["stderr"]]
    return min(max(-floor(log10(median(known))), 2), 5) if known else 3


def _by_section(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    sections: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        sections.setdefault((row["target_dataset"], row["metric"]), []).append(row)
    return sections


def _sections(
    scores: pa.Table, summary: pa.Table, joints: pa.Table, failures: pa.Table
) -> list[Section]:
    found = _by_section(summary.to_pylist())
    failed = [target for target in failures["target_dataset"].to_pylist() if target is not None]
    scored = {target for target, _ in found}
    found |= {(target, "otce"): [] for target in failed if target not in scored}
    return [
        Section(
            anchor=f"target-{number}",
            target=target,
            label=_label(metric),
            rows=rows,
            decimals=_decimals(rows),
            target_entropy=_target_entropy(scores, target),
            failures=failed.count(target),
            plots=_interval_plots(rows, _label(metric), f"target-{number}"),
            explanations=_explanations(rows, joints),
            curves=epsilon_curves(scores, rows, f"target-{number}"),
        )
        for number, ((target, metric), rows) in enumerate(sorted(found.items()), start=1)
    ]


def _target_entropy(scores: pa.Table, target: str) -> float | None:
    entropies = scores.filter(pc.equal(scores["target_dataset"], target))["target_entropy"]
    known = entropies.drop_null().to_pylist()
    return fmean(known) if known else None


def _interval_plots(rows: list[Row], label: str, anchor: str) -> list[str]:
    axis = f"{label} (nats), higher is better"
    return [
        interval_plot(rows[:MOST_PLOTTED], metric=axis, name=f"{anchor}-{width}", width_px=width)
        for width in (WIDE_PX, NARROW_PX)
        if rows
    ]


def _explanations(rows: list[Row], joints: pa.Table) -> list[Explanation]:
    ranked = [row for row in rows if row["rank"] is not None]
    roles = {"best": ranked[:1], "worst": ranked[1:][-1:]}
    explained = []
    for role, (row,) in ((role, found) for role, found in roles.items() if found):
        own = joints.filter(pc.equal(joints["pair_fingerprint"], row["pair_fingerprint"]))
        if own.num_rows:
            explained.append(Explanation(role, row, correspondence(own)))
    return explained


def _grids(sections: list[Section], failures: list[Row]) -> list[Grid]:
    """Lay out a grid for every metric with more than one target."""
    grids = []
    for label in dict.fromkeys(section.label for section in sections):
        columns = [section for section in sections if section.label == label]
        rows = [row for section in columns for row in section.rows]
        if len(columns) > 1 and rows:
            cells = {(row["source_model"], row["target_dataset"]): row for row in rows}
            lost = {(row["source_model"], row["target_dataset"]) for row in failures} - cells.keys()
            models = _best_overall(rows)
            grids.append(Grid(label, columns, models, cells, lost, _decimals(rows)))
    return grids


def _best_overall(rows: list[Row]) -> list[tuple[str, str | None]]:
    scores: dict[tuple[str, str | None], list[float]] = {}
    for row in rows:
        model = scores.setdefault((row["source_model"], row["source_dataset"]), [])
        model.extend([row["normalized"]] if row["normalized"] is not None else [])
    return sorted(scores, key=lambda model: (-fmean(scores[model] or [0.0]), model[0]))


def _solves(scores: pa.Table) -> list[Row]:
    """List every pair's worst marginal error and most iterations, the worst error first."""
    pairs = ["source_model", "target_dataset"]
    worst = scores.group_by(pairs).aggregate([("marginal_error", "max"), ("n_iter", "max")])
    names = [*pairs, "error", "n_iter"]
    columns = [worst[name] for name in (*pairs, "marginal_error_max", "n_iter_max")]
    rows = pa.table(columns, names=names).to_pylist()
    return sorted(
        (row for row in rows if row["error"] is not None and row["n_iter"] is not None),
        key=lambda row: (-row["error"], row["source_model"], row["target_dataset"]),
    )


def _convergence_plots(solves: list[Row], manifest: Mapping[str, Any]) -> list[str]:
    """Draw nothing where no solver iterated: closed forms and exact transport."""
    dots = [(row["n_iter"], row["error"]) for row in solves]
    tolerance = (manifest.get("score") or {}).get("tolerance")
    return [
        convergence_plot(dots, tolerance=tolerance, name=f"solves-{width}", width_px=width)
        for width in (WIDE_PX, NARROW_PX)
        if any(iterations for iterations, _ in dots)
    ]
