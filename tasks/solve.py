"""One transport: what one repetition of one pair gives, on one thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from otce.config import ScoreConfig
from otce.draw import Draw, joined
from otce.errors import OtceError, TransportError
from otce.explain import BOUNDARIES, FREQUENCIES, by_boundary, by_class, by_frequency, by_image
from otce.metric_recipe import metric_recipe
from otce.recipe import OVER_ALL_PIXELS, Metric
from otce.scores import Score, score_epsilons
from otce.scores.all_pixels import Block
from otce.scores.influence import image_sums
from otce.scores.measure import Reading, measure

Rows = dict[Metric, dict[str, Any] | OtceError]
"""Columns of each metric, or why it has none."""


@dataclass(frozen=True)
class Request:
    """What is wanted of a repetition.

    Attributes:
        recipe: how to score.
        metrics: which scores.
        class_map: target class of each class that the model predicts, -1 for none; None where
            their names have too little in common.
        with_curve: whether the recipe's curve is made as well; it changes nothing else.
    """

    recipe: ScoreConfig
    metrics: tuple[Metric, ...]
    class_map: tuple[int, ...] | None
    with_curve: bool


def solve_parts(request: Request, source_parts: int, target_parts: int, *parts: Any) -> Rows:
    """Score a repetition from the parts of its features.

    Args:
        request: what is wanted.
        source_parts: how many of the parts are source pixels.
        target_parts: how many are target pixels.
        *parts: in this order `otce.draw.Draw`s of both, and lists of blocks of all target pixels.

    Returns:
        By metric, the columns of its row (without those that name the pair), or why there is none.
    """
    # Sums depend on the number of threads in the last bit; one thread makes bytes equal anywhere.
    torch.set_num_threads(1)
    ends = source_parts, source_parts + target_parts
    source, target = joined(parts[: ends[0]]), joined(parts[ends[0] : ends[1]])
    blocks = [block for some in parts[ends[1] :] for block in some]
    recipe = request.recipe
    recipes = {metric: metric_recipe(metric, recipe) for metric in request.metrics}
    found = measure(source, target, recipes, request.class_map, blocks)
    rows: Rows = {}
    for metric, reading in found.items():
        if isinstance(reading, OtceError):
            rows[metric] = reading
        elif metric in OVER_ALL_PIXELS:
            rows[metric] = _row_over_blocks(metric, reading, blocks, target) | _NO_CURVE
        else:
            has_curve = request.with_curve and metric == "otce"
            curve = _curve(recipe, source, target) if has_curve else _NO_CURVE
            rows[metric] = _row(metric, reading, source, target) | curve
    return rows


_NO_CURVE: dict[str, Any] = {"curve_epsilon": [], "curve_otce": [], "curve_failure": None}


def _curve(recipe: ScoreConfig, source: Draw, target: Draw) -> dict[str, Any]:
    """Score at the curve's epsilons, or say why not: a score stands without its curve."""
    # Exact transport has no epsilon to look at.
    multiples = () if recipe.solver == "emd" else recipe.epsilon_curve
    epsilons = [multiple * recipe.epsilon for multiple in multiples]
    if not epsilons:
        return _NO_CURVE
    try:
        scores = score_epsilons(
            *source[:2],
            *target[:2],
            epsilons=epsilons,
            feature_scaling=recipe.feature_scaling,
            relaxation=recipe.relaxation,
            class_weights=recipe.class_weights,
            solver=recipe.solver,
            tolerance=recipe.tolerance,
            max_iterations=recipe.max_iterations,
            device="cpu",
        )
    except TransportError as error:
        return _NO_CURVE | {"curve_failure": str(error)}
    return {
        "curve_epsilon": epsilons,
        "curve_otce": [score.otce for score in scores],
        "curve_failure": None,
    }


def _row(metric: Metric, reading: Reading, source: Draw, target: Draw) -> dict[str, Any]:
    measured = reading.measured
    return (
        {
            "value": measured.value,
            "n_source_px": None if measured.source_influence is None else len(source.labels),
            "n_target_px": len(target.labels),
            "feature_dim": target.features.shape[1],
        }
        | _by_image("target", measured.target_influence, target)
        | _by_image("source", measured.source_influence, source)
        | _coupling_columns(metric, reading.score)
        | {"parts": _parts(reading.score, target) if metric == "otce" else []}
    )


def _row_over_blocks(
    metric: Metric, reading: Reading, blocks: Sequence[Block], target: Draw
) -> dict[str, Any]:
    measured = reading.measured
    return (
        {
            "value": measured.value,
            "n_source_px": None,
            "n_target_px": sum(block.n_pixels for block in blocks),
            "feature_dim": target.features.shape[1],
            "target_items": [block.first_item for block in blocks],
            "target_influence": measured.target_influence.tolist(),
            "parts": [],
        }
        | _by_image("source", None, target)
        | _coupling_columns(metric, None)
    )


def _by_image(side: str, influence: Any, draw: Draw) -> dict[str, Any]:
    if influence is None:
        return {f"{side}_items": [], f"{side}_influence": []}
    items, sums = image_sums(influence, draw.items)
    return {f"{side}_items": items.tolist(), f"{side}_influence": sums.tolist()}


def _parts(score: Score | None, target: Draw) -> list[dict[str, Any]]:
    """Cut the target pixels in every way that the report shows; `otce.tables.RISKS` names keys."""
    if score is None:
        return []
    cuts = {
        "class": by_class(score.pixel_risk, target.labels),
        "image": by_image(score.pixel_risk, target.items),
        "frequency": by_frequency(score.pixel_risk, target.labels),
    }
    if target.boundary is not None:
        cuts["boundary"] = by_boundary(score.pixel_risk, target.boundary)
    words = {"frequency": FREQUENCIES, "boundary": BOUNDARIES}
    return [
        {
            "cut": cut,
            "key": words[cut].index(part.key) if cut in words else part.key,
            "share": part.n_px / len(target.labels),
            "risk": part.lost_nats,
        }
        for cut, parts in cuts.items()
        for part in parts
    ]


_OF_COUPLINGS: Sequence[str] = (
    "otce",
    "conditional_entropy",
    "target_entropy",
    "normalized",
    "transport_cost",
    "marginal_error",
    "n_iter",
    "converged",
    "n_source_classes",
    "n_target_classes",
    "source_classes",
    "target_classes",
    "joint",
)


def _coupling_columns(metric: Metric, score: Score | None) -> dict[str, Any]:
    if score is None:
        return dict.fromkeys(_OF_COUPLINGS) | {"degenerate": "none"}
    return {
        # The paper's score has this name and no other has.
        "otce": score.otce if metric == "otce" else None,
        "conditional_entropy": 0.0 - score.otce,
        "target_entropy": score.target_entropy,
        "normalized": score.normalized,
        "transport_cost": score.transport_cost,
        "marginal_error": score.marginal_error,
        "n_iter": score.n_iterations,
        "converged": score.converged,
        "degenerate": score.degenerate,
        "n_source_classes": len(score.source_classes),
        "n_target_classes": len(score.target_classes),
        "source_classes": score.source_classes.tolist(),
        "target_classes": score.target_classes.tolist(),
        "joint": score.joint.ravel().tolist(),
    }
