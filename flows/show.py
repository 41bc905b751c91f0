"""Tables on the terminal: the ranking, the runs of a store, failures."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_FAILURES = 12


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
    """Print one ranking a target.

    Args:
        console: where to.
        summary: `otce.tables.SUMMARY`.
    """
    rows = summary.to_pylist()
    for target in dict.fromkeys(row["target_dataset"] for row in rows):
        mine = [row for row in rows if row["target_dataset"] == target]
        table = Table(
            title=f"target {plain(target)}", title_justify="left", title_style="bold", box=SIMPLE
        )
        table.add_column("rank", justify="right")
        table.add_column("source model", no_wrap=True)
        for name in ("OTCE ↑ nats", "± stderr", "normalized ↑"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("note", no_wrap=True)
        for row in mine:
            table.add_row(*_ranking_cells(row))
        console.print(table)


def show_failures(console: Console, failures: Iterable[Mapping[str, Any]]) -> None:
    """Print why pairs have no score, one line for equal reasons.

    Args:
        console: where to.
        failures: rows of `otce.tables.FAILURES`.
    """
    by_reason: dict[tuple[str, str, str], list[str]] = {}
    for row in failures:
        key = row["stage"], row["error_class"], row["message"]
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


def _ranking_cells(row: Mapping[str, Any]) -> list[str]:
    notes = []
    if row["tied_with"]:
        notes.append(f"ties: {len(row['tied_with'])}")
    if row["degenerate"] != "none":
        notes.append(f"single-class {plain(row['degenerate'])}, not ranked")
    return [
        "-" if row["rank"] is None else str(row["rank"]),
        plain(row["source_model"]),
        f"{row['mean']:.4f}",
        "-" if row["stderr"] is None else f"{row['stderr']:.4f}",
        f"{row['normalized']:.3f}",
        ", ".join(notes),
    ]
