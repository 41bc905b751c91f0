"""What of a recipe one metric depends on: all that may change its numbers, and nothing else."""

from typing import Any

from otce.config import ScoreConfig
from otce.recipe import FROM_COUPLING, Metric


def metric_recipe(metric: Metric, score: ScoreConfig) -> dict[str, Any]:
    """Select what of a recipe one metric depends on, so that the rest may change without it.

    Args:
        metric: which score.
        score: how draws become scores.

    Returns:
        Settings by name; those of `otce_robust` are as if they were the recipe's own.

    Example:
        >>> score = ScoreConfig(epsilon=0.1, feature_scaling="none", relaxation="none",
        ...                     class_weights="uniform")
        >>> metric_recipe("otce_robust", score)["relaxation"], metric_recipe("logme", score)
        ('source', {})
    """
    if metric not in FROM_COUPLING:
        return {}
    recipe = dict(score)
    robust, full = recipe.pop("robust"), recipe.pop("full")
    if metric == "otce":
        return recipe
    del recipe["epsilon_curve"]
    if metric == "otce_robust":
        return recipe | dict(robust)
    return recipe | ({"full": full} if metric == "otce_full" else {})
