"""How well predictors order the models of several targets, with intervals that can be compared.

Every target is judged by itself and the targets are averaged: levels of mIoU differ by target, so
that pooling all pairs would mostly measure whether hard targets are known to be hard. Intervals are
of a paired hierarchical bootstrap: targets, within them models, within them training seeds are
drawn anew, and so are images, those that scores see and those that judge, each data set once for
all models and predictors. Trainings are not made again on the redrawn images. All predictors see
the same draws, so that a difference of two has an interval of its own. Noise that is added once
more pulls agreement down, so the lower end is a little too low. Nothing is estimated from fewer
than three models, and a single target says nothing about others.

Legend: `T` targets, `M` models of a target, `S` training seeds.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb, isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from otce.truth.cell import Cell, mean_of_known
from otce.truth.measures import FEWEST_MODELS, MEASURES, measure_agreement, weighted_tau

Row = dict[str, Any]
_F64 = NDArray[np.float64]

DRAWS: Final = 200
_MOST_POOLS: Final = 200
_LEFT_OUT: Final = 0.1


def judge(cells: Sequence[Cell], reference: str, *, draws: int = DRAWS, seed: int = 0) -> list[Row]:
    """Say how well every predictor orders models, by target and on average.

    Args:
        cells: the targets; all have the same predictors.
        reference: the predictor that others are compared with.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        One row a predictor, measure, and target or mean over targets (`target_dataset` None), as
        `otce.truth.tables.AGREEMENT` names its columns. What has no meaning is None.
    """
    predictors = list(cells[0].scores) if cells else []
    found = [_agreements(cell, cell.truth_M, cell.scores) for cell in cells]
    resampled = _resampled(cells, draws, np.random.default_rng(seed))
    rows = []
    for place, cell in enumerate(cells):
        drawn = [draw[place] for draw in resampled[0]]
        rows += [
            _row(cell.target, name, measure, [found[place]], [[draw] for draw in drawn], reference)
            | _of_target(cell, name, measure)
            for name in predictors
            for measure in MEASURES
        ]
    rows += [
        _row(None, name, measure, found, resampled[1], reference)
        | {"n_models": None, "ceiling": None, "pool_std": None}
        for name in predictors
        for measure in MEASURES
        if len(cells) > 1
    ]
    return rows


_Found = dict[str, dict[str, float]]
"""By predictor and measure."""


def _agreements(cell: Cell, truth_M: _F64, scores: Mapping[str, _F64]) -> _Found:
    return {name: measure_agreement(scores[name], truth_M) for name in cell.scores}


def _resampled(
    cells: Sequence[Cell], draws: int, generator: np.random.Generator
) -> tuple[list[list[_Found]], list[list[_Found]]]:
    """Judge redrawn cells: all of them, draw by draw, and of each draw the redrawn targets'."""
    sizes: dict[str, int] = {}
    for digest, size in (item for cell in cells for item in cell.sizes().items()):
        sizes[digest] = max(sizes.get(digest, 0), size)
    by_target = []
    for _ in range(draws):
        weights: dict[str, _F64] = {
            digest: generator.multinomial(size, np.full(size, 1 / size)) - np.float64(1)
            for digest, size in sorted(sizes.items())
        }
        by_target.append([_redrawn(cell, weights, generator) for cell in cells])
    over_targets = []
    for found in by_target:
        chosen = generator.integers(len(cells), size=len(cells))
        over_targets.append([found[t] for t in chosen])
    return by_target, over_targets


def _redrawn(cell: Cell, weights: Mapping[str, _F64], generator: np.random.Generator) -> _Found:
    n_models, n_seeds = cell.truth_MS.shape
    models = generator.integers(n_models, size=n_models)
    seeds = generator.integers(n_seeds, size=(n_models, n_seeds))
    truth_MS = cell.remeasured(generator)
    truth_M = mean_of_known(np.take_along_axis(truth_MS[models], seeds, axis=1))
    noise_M = np.asarray(generator.standard_normal(n_models))
    # A model drawn twice is one model: its score moves once.
    scores = {name: cell.moved(name, weights, noise_M)[models] for name in cell.scores}
    return _agreements(cell, truth_M, scores)


def _row(
    target: str | None,
    name: str,
    measure: str,
    found: Sequence[_Found],
    resampled: Sequence[Sequence[_Found]],
    reference: str,
) -> Row:
    value, n_targets = _mean(found, name, measure)
    own_D = np.array([_mean(cells, name, measure)[0] for cells in resampled])
    other_D = np.array([_mean(cells, reference, measure)[0] for cells in resampled])
    low, high = _interval(own_D)
    difference = value - _mean(found, reference, measure)[0]
    difference_low, difference_high = _interval(own_D - other_D)
    numbers = {
        "value": value,
        "low95": low,
        "high95": high,
        "difference": difference,
        "difference_low95": difference_low,
        "difference_high95": difference_high,
    }
    return {
        "target_dataset": target,
        "predictor": name,
        "measure": measure,
        "n_targets": n_targets,
        **{key: number if isfinite(number) else None for key, number in numbers.items()},
    }


def _mean(cells: Sequence[_Found], name: str, measure: str) -> tuple[float, int]:
    known = [cell[name][measure] for cell in cells if isfinite(cell[name][measure])]
    return (float(np.mean(known)), len(known)) if known else (float("nan"), 0)


def _interval(values_D: _F64) -> tuple[float, float]:
    known = values_D[np.isfinite(values_D)]
    # Of a few draws alone no tail can be told.
    if len(known) < len(values_D) / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _of_target(cell: Cell, name: str, measure: str) -> Row:
    known_M = np.isfinite(cell.scores[name]) & np.isfinite(cell.truth_M)
    ceiling = noise_ceiling(cell.truth_MS[known_M], measure)
    pools = None
    if measure == "weighted_tau":
        pools = pool_spread(cell.scores[name][known_M], cell.truth_M[known_M])
    return {"n_models": int(known_M.sum()), "ceiling": ceiling, "pool_std": pools}


def noise_ceiling(truth_MS: _F64, measure: str) -> float | None:
    """Say how well the truth of one seed predicts that of the others: no score need do better.

    Args:
        truth_MS: (M, S) measured transfer.
        measure: one of `MEASURES`.

    Returns:
        Mean over the seeds; None with a single one, or too few models.

    Example:
        >>> noise_ceiling(np.array([[0.3, 0.31], [0.5, 0.48], [0.7, 0.72]]), "tau")
        1.0
    """
    n_seeds = truth_MS.shape[1]
    if n_seeds == 1:
        return None
    others = [mean_of_known(np.delete(truth_MS, s, axis=1)) for s in range(n_seeds)]
    found = [measure_agreement(truth_MS[:, s], others[s])[measure] for s in range(n_seeds)]
    known = [value for value in found if isfinite(value)]
    return float(np.mean(known)) if known else None


def pool_spread(score_M: _F64, truth_M: _F64) -> float | None:
    """Say how much the weighted tau depends on which models the zoo happens to hold.

    Args:
        score_M: (M,) what a predictor says.
        truth_M: (M,) what was measured.

    Returns:
        Standard deviation over the pools that leave out a tenth of the models, at least one: all
        pools, or 200 drawn ones where there are more; None with too few models.

    Example:
        >>> pool_spread(np.arange(4.0), np.arange(4.0))
        0.0
    """
    n_models = len(score_M)
    size = n_models - max(1, round(_LEFT_OUT * n_models))
    if size < FEWEST_MODELS:
        return None
    if comb(n_models, size) <= _MOST_POOLS:
        pools = [list(pool) for pool in combinations(range(n_models), size)]
    else:
        generator = np.random.default_rng(0)
        pools = [
            generator.choice(n_models, size, replace=False).tolist() for _ in range(_MOST_POOLS)
        ]
    found = np.array([weighted_tau(score_M[pool], truth_M[pool]) for pool in pools])
    known = found[np.isfinite(found)]
    return float(known.std()) if len(known) else None
