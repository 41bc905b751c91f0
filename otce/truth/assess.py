"""A run's rankings held against what was measured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from otce import tables
from otce.errors import DataError
from otce.intervals import Side
from otce.measure_config import AT_SOURCE, BASELINES, SHORT
from otce.truth.baselines import with_learned, with_static
from otce.truth.cell import Cell
from otce.truth.images import held_back, spread_by_data_set
from otce.truth.judge import judge
from otce.truth.measures import FEWEST_MODELS
from otce.truth.read import Baseline, Measured
from otce.truth.tables import AGREEMENT

_REFERENCE = "otce"
_AT_HOME, _SHORT = AT_SOURCE.replace("_", " "), SHORT.replace("_", " ")
_PREDICTORS = tuple(kind.replace("_", " ") for kind in BASELINES)
_SIZE, _SOURCE_MIOU = "parameter count", "source mIoU"
_Values = dict[tuple[str, str], float]
"""By model and target."""
Scored = tuple[str, str, str]
"""Metric, model and target."""


def assess(
    summary: pa.Table,
    truth: Sequence[Measured],
    baselines: Iterable[Baseline] = (),
    reference: str = _REFERENCE,
    sides: Mapping[Scored, Sequence[Side] | None] | None = None,
) -> pa.Table:
    """Say how well every metric of a run predicted what was measured.

    Args:
        summary: of the run, `otce.tables.SUMMARY`.
        truth: what was measured; what the run did not score is passed over.
        baselines: what else is to be judged.
        reference: the metric that others are compared with, and whose pairs count.
        sides: what single images do to the scores, by metric, model and target; other scores move
            by their standard error, each model's by itself.

    Returns:
        `otce.truth.tables.AGREEMENT`. Beside the metrics and the baselines there are the ranking
        that ignores the target, a mixture learned on the other targets, untrained truths as
        predictors of trained ones, and what `known_of_models` finds.

    Raises:
        DataError: run and truth have no target with three models in common.
    """
    metrics, stderrs = _of_run(summary.to_pylist(), reference)
    scored = set(metrics[reference])
    kept = [
        one
        for one in truth
        if (one.model, one.target) in scored and not one.truth.startswith(_PREDICTORS)
    ]
    by_truth: dict[str, list[Measured]] = {}
    for one in kept:
        by_truth.setdefault(one.truth, []).append(one)
    extra = _of_baselines([*known_of_models(truth), *baselines], scored)
    rows = []
    for name, measured in by_truth.items():
        others = {
            other: _means(found)
            for other, found in by_truth.items()
            if other != name and other.startswith("zero shot")
        }
        cells = [
            _with_images(cell, ids, sides or {})
            for cell, ids in _cells(measured, metrics | extra | others, stderrs)
        ]
        if cells:
            cells = with_learned(cells, [*metrics, *extra])
            cells = with_static(cells, _models(measured))
            rows += [row | {"truth": name} for row in judge(cells, reference)]
    if not rows:
        known = ", ".join(sorted({target for _, target in scored}))
        raise DataError(
            f"run and truth have no target with three models in common; the run's targets are "
            f"{known}, the truth's {', '.join(sorted({one.target for one in truth}))}"
        )
    return tables.table(rows, AGREEMENT)


def known_of_models(truth: Iterable[Measured]) -> list[Baseline]:
    """Take from a truth what could be known of models without the transfers that it measured.

    Args:
        truth: what was measured.

    Returns:
        Their sizes, how well they do on held-back images of their own source, and what a short
        fine-tune gave on the labelled images of each target, on average where there are several.
    """
    found: dict[tuple[str, str, str | None], float] = {}
    short: dict[tuple[str, str, str | None], list[float]] = {}
    for one in truth:
        if one.n_parameters is not None:
            found[_SIZE, one.model, None] = float(one.n_parameters)
        if one.truth == _AT_HOME:
            found[_SOURCE_MIOU, one.model, None] = one.value
        if one.truth.startswith(_SHORT):
            short.setdefault((_SHORT, one.model, one.target), []).append(one.value)
    found |= {of: float(np.mean(values)) for of, values in short.items()}
    return [Baseline(*of, value) for of, value in found.items()]


def _of_run(
    rows: Sequence[Mapping[str, Any]], reference: str
) -> tuple[dict[str, _Values], dict[str, _Values]]:
    values: dict[str, _Values] = {reference: {}}
    stderrs: dict[str, _Values] = {}
    for row in rows:
        if row["degenerate"] == "none":
            key = row["source_model"], row["target_dataset"]
            noise = row["stderr"] if row["total_stderr"] is None else row["total_stderr"]
            values.setdefault(row["metric"], {})[key] = row["mean"]
            stderrs.setdefault(row["metric"], {})[key] = noise or 0.0
    return values, stderrs


def _of_baselines(
    baselines: Iterable[Baseline], scored: Iterable[tuple[str, str]]
) -> dict[str, _Values]:
    pairs = sorted(scored)
    found: dict[str, _Values] = {}
    for one in baselines:
        values = found.setdefault(one.name, {})
        for model, target in pairs:
            if model == one.model and one.target in {None, target}:
                values[model, target] = one.value
    return found


def _means(measured: Iterable[Measured]) -> _Values:
    values: dict[tuple[str, str], list[float]] = {}
    for one in measured:
        values.setdefault((one.model, one.target), []).append(one.value)
    return {key: float(np.mean(seeds)) for key, seeds in values.items()}


def _cells(
    measured: Sequence[Measured],
    predictors: Mapping[str, _Values],
    stderrs: Mapping[str, _Values],
) -> list[tuple[Cell, list[str]]]:
    """Lay out every target, with its models."""
    cells = []
    for target, ids in _models(measured).items():
        mine = [one for one in measured if one.target == target]
        seeds = sorted({one.seed for one in mine})
        truth_MS = np.full((len(ids), len(seeds)), np.nan)
        for one in mine:
            truth_MS[ids.index(one.model), seeds.index(one.seed)] = one.value
        cell = Cell(
            target,
            truth_MS,
            {name: _column(values, ids, target) for name, values in predictors.items()},
            {
                name: np.nan_to_num(_column(stderrs.get(name, {}), ids, target))
                for name in predictors
            },
            held_back=held_back({(one.model, one.seed): one.images for one in mine}, ids, seeds),
        )
        cells.append((cell, ids))
    return cells


def _with_images(
    cell: Cell, ids: Sequence[str], sides: Mapping[Scored, Sequence[Side] | None]
) -> Cell:
    """Let images move the scores whose noise is known image by image."""
    stderrs, spreads = dict(cell.stderrs), {}
    for name in cell.scores:
        known = [sides.get((name, model, cell.target)) for model in ids]
        if any(known):
            spreads[name] = spread_by_data_set(known)
            stderrs[name] = np.where([one is not None for one in known], 0.0, stderrs[name])
    return replace(cell, stderrs=stderrs, spreads=spreads)


def _models(measured: Iterable[Measured]) -> dict[str, list[str]]:
    """Give the models of every target that has three: two have no order to speak of."""
    found: dict[str, set[str]] = {}
    for one in measured:
        found.setdefault(one.target, set()).add(one.model)
    return {t: sorted(ids) for t, ids in sorted(found.items()) if len(ids) >= FEWEST_MODELS}


def _column(values: _Values, models: Sequence[str], target: str) -> NDArray[np.float64]:
    return np.array([values.get((model, target), np.nan) for model in models])
