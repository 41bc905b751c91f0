"""How much scores owe to epsilon: the curves of a target's models, and which of them cross.

Every curve is that of the first draw of its pair, whose pixels all models share on the target's
side. OTCE in nats, at most 0, higher is better; epsilon in units of the scaled cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from otce.report.plots import curve_plot

MOST_CURVES: Final = 24
"""Models whose curve is drawn, the best; swaps are told for all, and the table holds all."""
SOLVED_NATS: Final = 2e-3
"""Two scores that differ by less may be in either order: each is solved to about half of it."""

_COLUMNS: Final = ("otce", "epsilon", "curve_epsilon", "curve_otce", "curve_failure")
_KEY: Final = ("pair_fingerprint", "metric")


@dataclass(frozen=True, slots=True)
class Curve:
    """A model's score over epsilon.

    Attributes:
        model: its id.
        rank: its rank, if it has one.
        epsilon: the recipe's epsilon, one of the points'.
        points: OTCE (nats) by epsilon, ascending in epsilon, at least two; at the recipe's it is
            the score itself.
    """

    model: str
    rank: int | None
    epsilon: float
    points: dict[float, float]


class Swap(NamedTuple):
    """Two neighbours in the ranking whose order is another one at some epsilons."""

    better: str
    worse: str
    epsilons: list[float]


@dataclass(frozen=True, slots=True)
class Curves:
    """What the page says about epsilon for one target.

    Attributes:
        curves: of every model that has one, in the order of the ranking.
        figures: their `<svg>` elements, of the first `MOST_CURVES`.
        swaps: neighbours in the ranking that swap places.
        failures: model and reason where a curve could not be had.
    """

    curves: list[Curve]
    figures: list[str]
    swaps: list[Swap]
    failures: list[tuple[str, str]]

    @property
    def n_ranked(self) -> int:
        """Curves of models that have a rank, which are those that can swap places."""
        return sum(curve.rank is not None for curve in self.curves)


def epsilon_curves(scores: pa.Table, rows: Sequence[dict[str, Any]], name: str) -> Curves:
    """Gather and draw the curves of a target.

    Args:
        scores: all repetitions, of schema `otce.tables.SCORES`.
        rows: the target's rows of the summary, in its order.
        name: tells the figures' ids from those of the page's other figures.

    Returns:
        The curves; all empty where no pair was scored at several epsilons.
    """
    first = scores.filter(pc.equal(scores["repetition"], 0)).select([*_KEY, *_COLUMNS]).to_pylist()
    draws = {tuple(draw[key] for key in _KEY): draw for draw in first}
    found = [(row, draws.get(tuple(row[key] for key in _KEY), {})) for row in rows]
    curves = [curve for row, draw in found if (curve := _curve(row, draw)) is not None]
    reasons = [(row["source_model"], draw.get("curve_failure")) for row, draw in found]
    return Curves(
        curves=curves,
        figures=_figures(curves[:MOST_CURVES], name),
        swaps=swaps([curve for curve in curves if curve.rank is not None]),
        failures=[(model, reason) for model, reason in reasons if reason],
    )


def swaps(ranked: Sequence[Curve]) -> list[Swap]:
    """Find neighbours whose order in the first draw is another one at other epsilons.

    The order to compare with is the first draw's own at the recipe's epsilon, not the ranking's,
    which is that of all draws: what another draw changes is not epsilon's doing.

    Args:
        ranked: curves in the order of the ranking.

    Returns:
        The neighbours that swap places by more than their solutions may be off, with the epsilons
        at which they do; `better` is the one that is better at the recipe's epsilon.

    Example:
        >>> flat = Curve("flat", 1, 0.1, {0.1: -0.2, 1.0: -0.2})
        >>> steep = Curve("steep", 2, 0.1, {0.1: -0.3, 1.0: -0.1})
        >>> swaps([flat, steep])
        [Swap(better='flat', worse='steep', epsilons=[1.0])]
    """
    found = []
    for pair in pairwise(ranked):
        better, worse = sorted(pair, key=lambda curve: -curve.points[curve.epsilon])
        gaps = {
            epsilon: otce - worse.points[epsilon]
            for epsilon, otce in better.points.items()
            if epsilon in worse.points
        }
        swapped = [epsilon for epsilon, gap in gaps.items() if gap < -SOLVED_NATS]
        if swapped and gaps.get(better.epsilon, 0.0) > SOLVED_NATS:
            found.append(Swap(better.model, worse.model, swapped))
    return found


def _curve(row: dict[str, Any], draw: dict[str, Any]) -> Curve | None:
    # Nulls in tables from before the curves, empty lists where none was asked for or solved.
    others = zip(draw.get("curve_epsilon") or [], draw.get("curve_otce") or [], strict=True)
    points = dict(others) | {draw.get("epsilon"): draw.get("otce")}
    if len(points) == 1:
        return None
    ascending = dict(sorted(points.items()))
    return Curve(row["source_model"], row["rank"], draw["epsilon"], ascending)


def _figures(curves: list[Curve], name: str) -> list[str]:
    drawn = [otce for curve in curves for otce in curve.points.values()]
    return [
        curve_plot(
            curve.points,
            marked=curve.epsilon,
            others=[other.points for other in curves[max(place - 1, 0) : place + 2]],
            limits=(min(drawn), max(drawn)),
            model=curve.model,
            name=f"{name}-curve-{place}",
        )
        for place, curve in enumerate(curves)
    ]
