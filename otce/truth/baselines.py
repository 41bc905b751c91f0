"""What a score has to beat: predictors that look at no target pixel, and a learned mixture of all.

Legend: `T` targets, `M` models of a target, `P` predictors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from otce.truth.cell import Cell

STATIC: Final = "static ranking"
LEARNED: Final = "learned mixture"
_FEWEST_TARGETS: Final = 3
_RIDGES: Final = (0.1, 1.0, 10.0, 100.0)
_F64 = NDArray[np.float64]


def with_static(cells: Sequence[Cell], models: Mapping[str, Sequence[str]]) -> list[Cell]:
    """Add the ranking that ignores the target: how each model did on the other targets.

    Args:
        cells: the targets.
        models: ids of each target's models, in the order of its cell.

    Returns:
        The cells with the predictor `STATIC`: mean over the other targets of the truth in standard
        deviations from the target's mean; NaN for a model that no other target has. One target
        alone stays as it is.

    Example:
        >>> cell = Cell("a", np.array([[0.1], [0.2], [0.6]]), {}, {})
        >>> ids = {"a": ["x", "y", "z"], "b": ["x", "y", "z"]}
        >>> [c.scores[STATIC].round(2).tolist()
        ...  for c in with_static([cell, replace(cell, target="b")], ids)][0]
        [-0.93, -0.46, 1.39]
    """
    if len(cells) == 1:
        return list(cells)
    levels = [dict(zip(models[c.target], _standard(c.truth_M), strict=True)) for c in cells]
    found = []
    for place, cell in enumerate(cells):
        others = [level for other, level in enumerate(levels) if other != place]
        static = [_mean([o[m] for o in others if m in o]) for m in models[cell.target]]
        found.append(_with(cell, STATIC, np.array(static)))
    return found


def with_learned(cells: Sequence[Cell], predictors: Sequence[str]) -> list[Cell]:
    """Add a mixture of predictors, learned on the other targets.

    Ridge regression of the truth on the predictors, both in standard deviations from the target's
    mean, over all models of the other targets; how much it is held back is chosen by leaving out
    each of those in turn. So no truth of a target ever reaches what is predicted for it.

    Args:
        cells: the targets.
        predictors: what may be mixed, none of it made of truths; those that lack a value anywhere
            are left out.

    Returns:
        The cells with the predictor `LEARNED`, which images move as they move its parts; as they
        are with fewer than 3 targets or 2 complete predictors.
    """
    names = [
        name for name in predictors if all(np.isfinite(cell.scores[name]).all() for cell in cells)
    ]
    if len(cells) < _FEWEST_TARGETS or len(names) < 2:  # noqa: PLR2004 - a mixture has two parts
        return list(cells)
    sides = [_regression(cell, names) for cell in cells]
    found = []
    for place, cell in enumerate(cells):
        others = [side for other, side in enumerate(sides) if other != place]
        ridge = min(_RIDGES, key=lambda strength: _left_out_error(others, strength))
        weights_P = _fitted(others, ridge)
        mixed = _with(cell, LEARNED, sides[place][0] @ weights_P)
        found.append(_moving_with_its_parts(mixed, names, weights_P))
    return found


def _moving_with_its_parts(cell: Cell, names: Sequence[str], weights_P: _F64) -> Cell:
    """Let images move the mixture as they move its parts, whose scale and mean stay."""
    stderr_M = np.zeros(len(cell.scores[LEARNED]))
    spreads: dict[str, _F64] = {}
    for name, weight in zip(names, weights_P, strict=True):
        share = weight / _scale(cell.scores[name])
        stderr_M = stderr_M + share * cell.stderrs[name]
        for digest, spread_MI in cell.spreads.get(name, {}).items():
            spreads[digest] = spreads.get(digest, 0.0) + share * spread_MI
    return replace(
        cell,
        stderrs={**cell.stderrs, LEARNED: stderr_M},
        spreads={**cell.spreads, LEARNED: spreads},
    )


def _regression(cell: Cell, names: Sequence[str]) -> tuple[_F64, _F64]:
    scores_MP = np.stack([_standard(cell.scores[name]) for name in names], axis=1)
    return scores_MP, _standard(cell.truth_M)


def _fitted(sides: Sequence[tuple[_F64, _F64]], ridge: float) -> _F64:
    x = np.concatenate([scores_MP for scores_MP, _ in sides])
    y = np.concatenate([truth_M for _, truth_M in sides])
    known = np.isfinite(y)
    x, y = x[known], y[known]
    weights_P: _F64 = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    return weights_P


def _left_out_error(sides: Sequence[tuple[_F64, _F64]], ridge: float) -> float:
    errors = []
    for place, (scores_MP, truth_M) in enumerate(sides):
        others = [side for other, side in enumerate(sides) if other != place]
        errors.append(np.nanmean((scores_MP @ _fitted(others, ridge) - truth_M) ** 2))
    return float(np.mean(errors))


def _standard(values_M: _F64) -> _F64:
    """Count in standard deviations from the mean; 0 where all are equal."""
    return (values_M - np.nanmean(values_M)) / _scale(values_M)


def _scale(values_M: _F64) -> float:
    spread = float(np.nanstd(values_M))
    return spread if spread > 0 else 1.0


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _with(cell: Cell, name: str, score_M: _F64) -> Cell:
    return replace(
        cell,
        scores={**cell.scores, name: score_M},
        stderrs={**cell.stderrs, name: np.zeros(len(score_M))},
    )
