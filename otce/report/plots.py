"""Figures of the report as inline SVG, and the colours of its heat maps."""

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any, Final

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import MaxNLocator

from otce.report.svg import (
    ACCENT,
    ALARM,
    GRID,
    INK,
    UNRANKED,
    canvas,
    drawing,
    inline_svg,
    printable,
)

WIDE_PX: Final = 1040
"""Width of figures for screens and paper."""
NARROW_PX: Final = 360
"""Width of figures for telephones."""
CURVE_PX: Final = 176
"""Width of a figure of which two stand side by side on telephones."""

_BEHIND: Final = "#c3c9d2"
_STEPS = (1, 2, 2.5, 5, 10)
_SMALLEST_ERROR = 1e-16
_PIXELS = ("ci95_low", "ci95_high")
_TOTAL = ("total95_low", "total95_high")


def interval_plot(
    rows: Sequence[Mapping[str, Any]], *, metric: str, name: str, width_px: int = WIDE_PX
) -> str:
    """Draw the mean and the 95 % intervals of every model, the first on top.

    A thick bar covers drawing pixels, a thin one drawing images as well.

    Args:
        rows: rows of a summary table, at least one; those of rank 1 stand out.
        metric: label of the axis, with unit and direction.
        name: tells this figure's ids from those of the page's other figures.
        width_px: width in CSS pixels; in narrow figures a model's id stands above its interval.

    Returns:
        An `<svg>` element for HTML.
    """
    is_narrow = width_px <= NARROW_PX
    labels = [printable(row["source_model"]) for row in rows]
    left_px = 14 if is_narrow else 24 + 7 * max(map(len, labels))
    body_px = (width_px - left_px - 16, (42 if is_narrow else 26) * len(rows))
    with drawing(name):
        figure, axes = canvas(body_px, left_px=left_px)
        axes.set(ylim=(len(rows) - 0.5, -0.5), yticks=[], xlabel=printable(metric))
        _show_scale(axes, rows, ticks=4 if is_narrow else 8)
        _draw_intervals(axes, rows, shift=0.2 * is_narrow)
        for place, label in enumerate(labels):
            axes.annotate(
                label,
                (0, place - 0.22 * is_narrow),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0 if is_narrow else -14, 0),
                textcoords="offset points",
                ha="left" if is_narrow else "right",
                va="center",
            )
        return inline_svg(
            figure, f"{printable(metric)} of {len(rows)} models, means and 95 % intervals"
        )


def convergence_plot(
    solves: Sequence[tuple[int, float]],
    *,
    tolerance: float | None,
    name: str,
    width_px: int = WIDE_PX,
) -> str:
    """Draw one dot per pair: its most iterations and its worst marginal error.

    Args:
        solves: iterations and L1 error of the marginals of every pair, at least one.
        tolerance: largest error of a solved coupling, drawn as a line.
        name: tells this figure's ids from those of the page's other figures.
        width_px: width in CSS pixels.

    Returns:
        An `<svg>` element for HTML.
    """
    with drawing(name):
        figure, axes = canvas((width_px - 86, 220), left_px=70)
        iterations = [n_iter for n_iter, _ in solves]
        errors = [max(error, _SMALLEST_ERROR) for _, error in solves]
        ticks = 4 if width_px <= NARROW_PX else 8
        axes.set(yscale="log", ylabel="worst marginal error", xlabel="most iterations")
        axes.set_xlim(-0.03 * max(*iterations, 10), 1.06 * max(*iterations, 10))
        axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=_STEPS, integer=True))
        axes.yaxis.set_major_formatter(lambda error, _: scientific(error, digits=0))
        axes.grid(color=GRID, linewidth=0.7)
        axes.plot(iterations, errors, "o", color=ACCENT, alpha=0.6, markeredgewidth=0)
        top = 3 * max(*errors, tolerance or 0)
        axes.set_ylim(min(*errors, top / 20) / 2, top)
        if tolerance is not None:
            axes.axhline(tolerance, color=ALARM, linewidth=1.4)
            axes.annotate(
                f"tolerance {scientific(tolerance, digits=None)}",
                (0.99, tolerance),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, 5),
                textcoords="offset points",
                ha="right",
                color=ALARM,
            )
        return inline_svg(figure, f"Marginal error against iterations of {len(solves)} pairs")


def curve_plot(
    points: Mapping[float, float],
    *,
    marked: float,
    others: Sequence[Mapping[float, float]],
    limits: tuple[float, float],
    model: str,
    name: str,
) -> str:
    """Draw a model's score over epsilon as one small figure of many.

    Args:
        points: OTCE (nats, higher is better) by epsilon, ascending in epsilon.
        marked: the recipe's epsilon, one of the points'.
        others: curves to compare with, behind it in grey; its own may be among them.
        limits: lowest and highest OTCE of all figures that are compared.
        model: the model's id, for those to whom the figure is read out.
        name: tells this figure's ids from those of the page's other figures.

    Returns:
        An `<svg>` element for HTML, `CURVE_PX` wide.
    """
    left_px = 44
    with drawing(name):
        figure, axes = canvas((CURVE_PX - left_px - 16, 72), left_px=left_px, bottom_px=26)
        margin = 0.06 * (limits[1] - limits[0]) or 0.05
        axes.set(xscale="log", ylim=(limits[0] - margin, limits[1] + margin))
        ends, decimals = sorted(set(limits)), 2 if limits[1] - limits[0] > 0.1 else 3  # noqa: PLR2004
        axes.set_yticks(ends, [f"{end:z.{decimals}f}" for end in ends])
        axes.set_xticks(_apart(list(points), marked), minor=False)
        axes.xaxis.set_major_formatter(lambda epsilon, _: f"{epsilon:.3g}")
        axes.minorticks_off()
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        axes.axvline(marked, color=ALARM, linewidth=1)
        for other in others:
            axes.plot(list(other), list(other.values()), color=_BEHIND, linewidth=1.2)
        axes.plot(list(points), list(points.values()), "o-", color=ACCENT, markersize=4)
        told = ", ".join(f"{otce:z.3f} at {epsilon:.3g}" for epsilon, otce in points.items())
        return inline_svg(figure, f"OTCE of {printable(model)} (nats) by epsilon: {told}")


def _apart(epsilons: list[float], marked: float) -> list[float]:
    """Choose which epsilons of a logarithmic axis are named: the marked one, and ends not near."""
    length = log10(epsilons[-1] / epsilons[0])
    ends = [end for end in (epsilons[0], epsilons[-1]) if abs(log10(end / marked)) > length / 4]
    return sorted({*ends, marked})


def shade(fraction: float) -> tuple[str, str]:
    """Choose the colours of a heat map's cell.

    Args:
        fraction: -1 (dark red) over 0 (white) to 1 (dark blue); clipped.

    Returns:
        Background and text colour, of which the text keeps a contrast of 4.5 and more.

    Example:
        >>> shade(0.0), shade(1.0)
        (('#ffffff', '#000000'), ('#08306b', '#ffffff'))
    """
    scale = colormaps["Blues" if fraction > 0 else "Reds"]
    color = scale(min(abs(fraction), 1.0)) if fraction else (1, 1, 1, 1)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]  # noqa: PLR2004
    luminance = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return str(to_hex(color)), "#ffffff" if luminance < _DARK else "#000000"


_DARK = 0.179
"""Relative luminance (WCAG) below which white text has the better contrast, above which black."""


def scientific(value: float, *, digits: int | None = 1) -> str:
    """Write a small number with its power of ten.

    Args:
        value: any number.
        digits: decimals of the mantissa; none: as many as the number has, up to nine.

    Returns:
        Such as `8.9e-4`, without a leading zero in the power.

    Example:
        >>> scientific(0.00089)
        '8.9e-4'
        >>> scientific(0.00125, digits=None), scientific(0.001, digits=None)
        ('1.25e-3', '1e-3')
    """
    mantissa, power = f"{value:.{9 if digits is None else digits}e}".split("e")
    shortest = mantissa.rstrip("0").rstrip(".") if digits is None else mantissa
    return f"{shortest}e{int(power)}"


def _show_scale(axes: Axes, rows: Sequence[Mapping[str, Any]], *, ticks: int) -> None:
    ends = [row[end] for row in rows for end in ("mean", *_PIXELS, *_TOTAL)]
    low, high = (limit(end for end in ends if end is not None) for limit in (min, max))
    margin = 0.04 * (high - low) or 0.05
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=_STEPS))
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    best = rows[0]
    known = [ends for ends in (_TOTAL, _PIXELS) if best[ends[0]] is not None]
    if best["rank"] is not None and known:
        axes.axvspan(*(best[end] for end in known[0]), color=ACCENT, alpha=0.1, linewidth=0)


def _draw_intervals(axes: Axes, rows: Sequence[Mapping[str, Any]], *, shift: float) -> None:
    for color, face, is_meant in (
        (ACCENT, ACCENT, lambda rank: rank == 1),
        (INK, INK, lambda rank: rank is not None and rank > 1),
        (UNRANKED, "white", lambda rank: rank is None),
    ):
        meant = [(place + shift, row) for place, row in enumerate(rows) if is_meant(row["rank"])]
        for (low, high), thickness in ((_TOTAL, 1.4), (_PIXELS, 4.5)):
            bars = [(y, row[low], row[high]) for y, row in meant if row[low] is not None]
            if bars:
                axes.hlines(*zip(*bars, strict=True), color=color, linewidth=thickness)
        means = [row["mean"] for _, row in meant]
        heights = [y for y, _ in meant]
        axes.plot(means, heights, "o", color=color, markerfacecolor=face, markersize=7)
