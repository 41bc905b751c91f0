"""Tables on the terminal: the ranking, the runs of a store, failures."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from otce.report.advice import worth_tuning

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_FAILURES = 12
_FIRST = "otce"
_MOST_BEST = 3
_MOST_ROWS = 30
_MOST_TARGETS = 20


def printable(text: object) -> str:
    r"""Make text safe for a terminal or a log: ids are data and may hold escape sequences.

    Args:
        text: anything.

    Returns:
        Its text without control characters, but for ends of lines.

    Example:
        >>> printable("a\x1b[2Jb\rc\nd")
        'a[2Jbc\nd'
    """
    return "".join(c for c in str(text) if c.isprintable() or c == "\n")


def plain(text: object) -> str:
    r"""Make text safe for a line or a cell of a table on the terminal.

    Args:
        text: anything.

    Returns:
        Its text without control characters and without markup.

    Example:
        >>> print(plain("a\x1b[2Jb [bold]c"))
        a[2Jb \[bold]c
    """
    return escape(printable(text).replace("\n", ""))


def show_ranking(console: Console, summary: "pa.Table") -> None:
    """Print one ranking a target, by OTCE, and below it what other metrics would choose.

    A large zoo is told by its first models and targets: its tables and its report have the rest.

    Args:
        console: where to.
        summary: `otce.tables.SUMMARY`.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 - whoever has a summary has loaded it

    from otce.ranking import ranking_rows  # noqa: PLC0415

    targets = summary["target_dataset"].unique()
    for target in targets.to_pylist()[:_MOST_TARGETS]:
        mine = ranking_rows(summary.filter(pc.equal(summary["target_dataset"], target)))
        table = _table(f"target {plain(target)}")
        table.add_column("rank", justify="right", no_wrap=True, min_width=len("rank"))
        table.add_column("source model", no_wrap=True)
        for name in ("OTCE ↑ nats", "± stderr", "normalized ↑"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("note")
        first = [row for row in mine if row["metric"] == _FIRST]
        most = max((row["k_done"] for row in first), default=0)
        for row in first[:_MOST_ROWS]:
            table.add_row(*_ranking_cells(row, most))
        if len(first) > _MOST_ROWS:
            table.caption = f"and {len(first) - _MOST_ROWS} more models"
        console.print(table)
        if (advice := _advice(first)) is not None:
            console.print(advice, markup=False, highlight=False, soft_wrap=True)
        if len(first) < len(mine):
            console.print(_other_metrics(mine))
    if len(targets) > _MOST_TARGETS:
        console.print(f"and {len(targets) - _MOST_TARGETS} more targets", highlight=False)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE)


def _other_metrics(rows: list[dict[str, Any]]) -> Table:
    """Say for every other metric which models it puts first, and how far it agrees with OTCE."""
    from otce.report.agreement import agreement  # noqa: PLC0415

    table = _table("other metrics")
    table.add_column("metric", no_wrap=True)
    table.add_column("agreement", justify="right", no_wrap=True)
    table.add_column("first models")
    metrics, tau = agreement(rows)
    for metric in metrics:
        if metric == _FIRST:
            continue
        ranked = [r for r in rows if r["metric"] == metric and r["rank"] is not None]
        best = sorted(ranked, key=lambda row: -row["mean"])[:_MOST_BEST]
        agreed = tau[metrics.index(metric), metrics.index(_FIRST)]
        table.add_row(
            plain(metric),
            f"{agreed:.2f}" if isfinite(agreed) else "-",
            ", ".join(plain(row["source_model"]) for row in best),
        )
    table.caption = "agreement: Kendall's tau with OTCE over the models"
    return table


def show_failures(console: Console, failures: Iterable[Mapping[str, Any]]) -> None:
    """Print why pairs have no score, one line for equal reasons.

    Args:
        console: where to.
        failures: rows of `otce.tables.FAILURES`.
    """
    by_reason: dict[tuple[str, str, str], list[str]] = {}
    for row in failures:
        score = f" of {row['metric']}" if row["metric"] else ""
        key = f"{row['stage']}{score}", row["error_class"], row["message"]
        by_reason.setdefault(key, []).append(f"{row['source_model']} -> {row['target_dataset']}")
    for (stage, kind, message), pairs in list(by_reason.items())[:_MOST_FAILURES]:
        more = f" and {len(pairs) - 2} more" if len(pairs) > 2 else ""  # noqa: PLR2004
        console.print(f"[red]failed[/] at {plain(stage)}: {plain(', '.join(pairs[:2]))}{more}")
        console.print(f"  {plain(kind)}: {plain(message)}", highlight=False, soft_wrap=True)
    if len(by_reason) > _MOST_FAILURES:
        console.print(f"and {len(by_reason) - _MOST_FAILURES} more reasons in failures.parquet")


def show_runs(console: Console, manifests: Iterable[Mapping[str, Any]]) -> None:
    """Print the runs of a store.

    Args:
        console: where to.
        manifests: their manifests.
    """
    table = Table(box=SIMPLE)
    for name in ("run", "finished", "models", "targets", "pairs", "failed", "recipe"):
        table.add_column(name, overflow="fold")
    for manifest in manifests:
        pairs = manifest["pairs"]
        table.add_row(
            plain(manifest["run_id"]),
            plain(manifest["finished"]),
            str(len(manifest["models"])),
            str(len(manifest["targets"])),
            str(pairs["total"]),
            str(pairs["failed"]),
            plain(manifest["preset"]),
        )
    console.print(table)


def _ranking_cells(row: Mapping[str, Any], most: int) -> list[str]:
    notes = []
    if row["k_done"] < most:
        notes.append(f"left after {row['k_done']} of {most}")
    if row["tied_with"]:
        notes.append(f"ties: {len(row['tied_with'])}")
    if row["degenerate"] != "none":
        notes.append(f"single-class {plain(row['degenerate'])}, not ranked")
    # Of images and pixels where both are known, of pixels alone otherwise.
    stderr = row["stderr"] if row["total_stderr"] is None else row["total_stderr"]
    return [
        _rank(row["rank"]),
        plain(row["source_model"]),
        f"{row['mean']:.4f}",
        "-" if stderr is None else f"{stderr:.4f}",
        f"{row['normalized']:.3f}",
        ", ".join(notes),
    ]


def _rank(rank: int | None) -> str:
    return "-" if rank is None else str(rank)


def _advice(rows: list[dict[str, Any]]) -> str | None:
    """Say how many of the first models hold the best one almost surely."""
    chosen = worth_tuning(rows)
    if not chosen:
        return None
    models = ", ".join(printable(row["source_model"]).replace("\n", "") for row in chosen)
    probability = chosen[-1]["p_best_so_far"]
    if len(chosen) == 1:
        return f"{models} has truly the best OTCE with probability {probability:.2f}"
    return (
        f"one of the first {len(chosen)} has truly the best OTCE with probability "
        f"{probability:.2f}: "
        f"{models}"
    )
