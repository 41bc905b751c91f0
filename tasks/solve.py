"""One transport: a Ray task that scores one repetition of one pair on one thread."""

from typing import Any

import numpy as np
import ray
import torch

from otce.config import ScoreConfig
from otce.errors import TransportError
from otce.scores import Score, score_epsilons, score_pixels
from tasks.extract import Drawn
from tasks.ray_calls import Ref


def solve_parts(recipe: ScoreConfig, n_source: int, *parts: Drawn) -> dict[str, Any]:
    """Score a repetition from the parts of its features.

    Args:
        recipe: how to score; its curve is made as well, and changes nothing else when it is.
        n_source: how many of the parts are source pixels; the others are target pixels.
        *parts: features and labels, source parts first.

    Returns:
        The score's fields (without the per-pixel risk), the curve, and the counts that the tables
        keep.

    Raises:
        OtceError: see `score_pixels`.
    """
    # Sums depend on the number of threads in the last bit; one thread makes bytes equal anywhere.
    torch.set_num_threads(1)
    source, target = _joined(parts[:n_source]), _joined(parts[n_source:])
    keywords = {name: value for name, value in recipe if name != "epsilon_curve"}
    score = score_pixels(*source, *target, **keywords, device="cpu")
    return (
        _row(score, n_source_px=len(source[1]), n_target_px=len(target[1]))
        | {"feature_dim": source[0].shape[1]}
        | _curve(recipe, source, target)
    )


def submit(
    recipe: ScoreConfig,
    source: list[Ref],
    target: list[Ref],
    *,
    num_cpus: float,
) -> Ref:
    """Start one transport; the features travel by reference.

    Args:
        recipe: how to score.
        source: references of the source parts.
        target: references of the target parts.
        num_cpus: CPUs that it holds.

    Returns:
        Reference of what `solve_parts` returns.
    """
    ref: Ref = _solve.options(num_cpus=num_cpus).remote(recipe, len(source), *source, *target)
    return ref


@ray.remote(max_retries=0)
def _solve(recipe: ScoreConfig, n_source: int, *parts: Drawn) -> dict[str, Any]:
    return solve_parts(recipe, n_source, *parts)


def _joined(parts: tuple[Drawn, ...]) -> Drawn:
    return (
        np.concatenate([features for features, _ in parts]),
        np.concatenate([labels for _, labels in parts]),
    )


def _curve(recipe: ScoreConfig, source: Drawn, target: Drawn) -> dict[str, Any]:
    """Score at the curve's epsilons, or say why not: a score stands without its curve."""
    # Exact transport has no epsilon to look at.
    multiples = () if recipe.solver == "emd" else recipe.epsilon_curve
    epsilons = [multiple * recipe.epsilon for multiple in multiples]
    keywords = {n: value for n, value in recipe if n not in {"epsilon", "epsilon_curve"}}
    curve: dict[str, Any] = {"curve_epsilon": [], "curve_otce": [], "curve_failure": None}
    if not epsilons:
        return curve
    try:
        scores = score_epsilons(*source, *target, epsilons=epsilons, **keywords, device="cpu")
    except TransportError as error:
        return curve | {"curve_failure": str(error)}
    return curve | {"curve_epsilon": epsilons, "curve_otce": [score.otce for score in scores]}


def _row(score: Score, *, n_source_px: int, n_target_px: int) -> dict[str, Any]:
    return {
        "otce": score.otce,
        "conditional_entropy": 0.0 - score.otce,
        "target_entropy": score.target_entropy,
        "normalized": score.normalized,
        "transport_cost": score.transport_cost,
        "marginal_error": score.marginal_error,
        "n_iter": score.n_iterations,
        "converged": score.converged,
        "degenerate": score.degenerate,
        "n_source_px": n_source_px,
        "n_target_px": n_target_px,
        "n_source_classes": len(score.source_classes),
        "n_target_classes": len(score.target_classes),
        "source_classes": score.source_classes.tolist(),
        "target_classes": score.target_classes.tolist(),
        "joint": score.joint.ravel().tolist(),
    }
