"""Figures of the report as inline SVG, and the colours of its heat maps.

Text stays text (it scales, can be searched and takes the page's font), equal data gives equal
bytes, and no global state of matplotlib is left changed.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final
from xml.etree import ElementTree

from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDE_PX: Final = 960
NARROW_PX: Final = 360
INK, MUTED, RULE = "#1d2433", "#5b6472", "#d5d9e0"
ACCENT, ALARM = "#0b5cad", "#b3401f"

_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a `$` in an id is a `$`
    "axes.unicode_minus": False,  # as in the tables
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_POINTS_PER_INCH = 72  # of matplotlib's SVG, whose unit is one CSS pixel here
_LONGEST_LABEL = 44


def interval_plot(
    rows: Sequence[Mapping[str, Any]], *, metric: str, name: str, width_px: int = WIDE_PX
) -> str:
    """Draw mean and 95 % interval of every model, the first on top.

    Args:
        rows: rows of a summary table, at least one.
        metric: what the horizontal axis is, with unit and direction.
        name: distinguishes this figure's ids from those of the page's other figures.
        width_px: width in CSS pixels; in narrow figures labels stand above their intervals.

    Returns:
        An `<svg>` element without namespaces, for HTML.
    """
    is_narrow = width_px < WIDE_PX // 2
    labels = [_label(row["source_model"]) for row in rows]
    row_px = 38 if is_narrow else 25
    left_px = 12 if is_narrow else 30 + 7 * max(map(len, labels))
    with _canvas(name, (width_px, row_px * len(rows)), left_px) as (figure, axes):
        axes.set(ylim=(len(rows) - 0.5, -0.5), yticks=[], xlabel=metric)
        _show_scale(axes, rows)
        for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
            _draw_interval(axes, place, row)
            shift = (0, -0.42) if is_narrow else (-14 / (width_px - left_px), 0)
            axes.text(
                shift[0],
                place + shift[1],
                label,
                transform=axes.get_yaxis_transform(),
                ha="left" if is_narrow else "right",
                va="center_baseline" if not is_narrow else "top",
            )
        return _inline_svg(figure, f"{metric} of {len(rows)} models: means and 95 % intervals")


def _label(model: str) -> str:
    # XML knows no control characters, and a plot no line breaks.
    visible = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in model)
    cut = visible[: _LONGEST_LABEL - 1] + "…"
    return visible if len(visible) <= _LONGEST_LABEL else cut


def _show_scale(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    ends = [row[end] for row in rows for end in ("ci95_low", "mean", "ci95_high")]
    known = [end for end in ends if end is not None]
    margin = 0.04 * (max(known) - min(known)) or 0.05
    axes.set_xlim(min(known) - margin, max(known) + margin)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    best = rows[0]
    if best["rank"] == 1 and best["ci95_low"] is not None:
        axes.axvspan(best["ci95_low"], best["ci95_high"], color=ACCENT, alpha=0.09, linewidth=0)


def _draw_interval(axes: Axes, place: int, row: Mapping[str, Any]) -> None:
    color = {1: ACCENT, None: "#8a93a1"}.get(row["rank"], "#3f4856")
    face = "white" if row["rank"] is None else color
    y = place + (0.18 if len(axes.get_yticks()) else 0)
    if row["ci95_low"] is not None:
        axes.hlines(y, row["ci95_low"], row["ci95_high"], color=color, linewidth=2.2)
    axes.plot([row["mean"]], [y], "o", color=color, markerfacecolor=face, markersize=7)
