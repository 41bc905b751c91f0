"""A run as one HTML page that needs nothing else.

Every text of a run (ids, class names, messages) is data: the page escapes it and has no script.
Equal arguments give equal bytes. OTCE is in nats, at most 0, higher is better.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from jinja2 import ChainableUndefined, Environment, PackageLoader

from otce.report.curve import SOLVED_NATS
from otce.report.drift import MOST_ROWS, drift_section
from otce.report.metrics import ABOUT, MOST_MODELS, label, looks_at, noise, position
from otce.report.plots import NARROW_PX, WIDE_PX, convergence_plot, scientific, shade
from otce.report.race import races
from otce.report.risks import Overlay
from otce.report.targets import grids, target_sections
from otce.report.truth import SHOWN, judged_truths
from otce.tables import RISKS

Row = dict[str, Any]

MOST_CLASSES: Final = 24
"""Classes a heat map shows on each side, the most frequent; the sentences name all targets'."""


def render(
    *,
    manifest: Mapping[str, Any],
    scores: pa.Table,
    summary: pa.Table,
    joints: pa.Table,
    failures: pa.Table,
    risks: pa.Table | None = None,
    race: pa.Table | None = None,
    agreement: pa.Table | None = None,
    timings: pa.Table | None = None,
    drift: pa.Table | None = None,
    overlays: Sequence[Overlay] = (),
) -> str:
    """Write the report of a run.

    Args:
        manifest: what the run was; what it lacks is left out of the page.
        scores: all repetitions, of schema `otce.tables.SCORES`.
        summary: the ranking, of schema `otce.tables.SUMMARY`, in its order.
        joints: label correspondences, of schema `otce.tables.JOINTS`.
        failures: pairs without a score, of schema `otce.tables.FAILURES`.
        risks: what parts of the pixels cost, of schema `otce.tables.RISKS`; None: not known.
        race: what a race decided, of schema `otce.tables.RACE`; None: there was none.
        agreement: how well measured transfer was predicted, of schema
            `otce.truth.tables.AGREEMENT`; None: nothing was measured.
        timings: what was computed took, of `otce.timing_table.TIMINGS`; None: not known.
        drift: how scores moved since the run before, of schema `otce.drift.DRIFT`; None: there was
            none.
        overlays: figures of risk maps; those of other recipes than the run's are left out.

    Returns:
        An HTML document without script and without references to anything outside it.
    """
    failed = failures.to_pylist()
    sections = target_sections(
        scores=scores,
        summary=summary,
        joints=joints,
        failures=failed,
        risks=RISKS.empty_table() if risks is None else risks,
        overlays=overlays,
    )
    solves = _solves(scores)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            manifest=manifest,
            sections=sections,
            knows_total=any(section.knows("total_stderr") for section in sections),
            grids=grids(sections, failed),
            metrics=sorted(summary["metric"].unique().to_pylist(), key=position),
            about=ABOUT,
            races=races(race, (manifest.get("sampling") or {}).get("repetitions")),
            judged=judged_truths(agreement),
            truth_shown=SHOWN,
            drift=drift_section(drift),
            most_rows=MOST_ROWS,
            solves=solves,
            convergence_plots=_convergence_plots(solves, manifest),
            failures=failed,
            cost=None if timings is None else _cost(timings.to_pylist()),
            most_models=MOST_MODELS,
            most_classes=MOST_CLASSES,
            solved_nats=SOLVED_NATS,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("otce.report", ""),
        autoescape=True,
        undefined=ChainableUndefined,  # a manifest may lack what an older version did not know
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "chance": _chance,
        "command": _command,
        "label": label,
        "looks_at": looks_at,
        "noise": noise,
        "scientific": scientific,
        "shade": shade,
    }
    return environment


_MISSING: Final = "\N{EN DASH}"


def _number(value: float | None, decimals: int = 3, missing: str = _MISSING) -> str:
    return missing if value is None else f"{value:z.{decimals}f}"


def _chance(probability: float | None) -> str:
    """Write a probability in per cent; never as certain."""
    if probability is None:
        return _MISSING
    percent = round(100 * probability)
    return "> 99 %" if percent > 99 else "< 1 %" if percent < 1 else f"{percent} %"  # noqa: PLR2004


def _command(words: Sequence[str] | str) -> str:
    return words if isinstance(words, str) else shlex.join(map(str, words))


def _cost(timings: Sequence[Row]) -> str:
    """Sum up what the last start that computed something took."""

    def total(name: str, *steps: str) -> float:
        return sum(row[name] or 0 for row in timings if row["step"] in steps)

    actors = total("worker_s", "load", "extract"), total("gpu_s", "load", "extract")
    return (
        f"{actors[0]:,.0f} s of feature actors ({actors[1]:,.0f} GPU s) for "
        f"{total('images', 'extract'):,} images, {total('worker_s', 'solve'):,.0f} s of "
        f"{total('calls', 'solve'):,} transports, in the last start that computed something"
    )


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
