"""The words a score recipe is made of, and the two recipes that have a name.

Shared by the configuration (which checks them) and the numerics (which obey them).
"""

from typing import Any, Final, Literal

FeatureScaling = Literal["standardize", "softmax", "l2", "none"]
Relaxation = Literal["none", "source"]
ClassWeights = Literal["uniform", "balanced", "balanced_source", "target_prior"]
Solver = Literal["auto", "pot", "emd"]
PresetName = Literal["default", "paper"]
Metric = Literal[
    # from the coupling of source and target pixels
    "otce",
    "otce_robust",
    "normalized",
    "wasserstein",
    "jc_otce",
    "otce_full",
    # from target features and labels
    "logme",
    "h_score",
    "h_score_shrunk",
    "gbc",
    "transrate",
    "nleep",
    "knn",
    "cc_fv",
    # from the model's own predictions on the target
    "leep",
    "nce",
    "zero_shot_miou",
    # of the same, over every labelled pixel of the target instead of drawn ones
    "logme_all_px",
    "h_score_all_px",
    "h_score_shrunk_all_px",
    "nce_all_px",
    "zero_shot_miou_all_px",
]

DEFAULT_METRICS: Final[tuple[Metric, ...]] = ("otce",)
FROM_COUPLING: Final[frozenset[Metric]] = frozenset(
    {"otce", "otce_robust", "normalized", "wasserstein", "jc_otce", "otce_full"}
)
"""Metrics that look at source pixels."""
FROM_PREDICTIONS: Final[frozenset[Metric]] = frozenset(
    {"leep", "nce", "zero_shot_miou", "nce_all_px", "zero_shot_miou_all_px"}
)
"""Metrics that look at what the model predicts on the target."""
OVER_ALL_PIXELS: Final[frozenset[Metric]] = frozenset(
    {
        "logme_all_px",
        "h_score_all_px",
        "h_score_shrunk_all_px",
        "nce_all_px",
        "zero_shot_miou_all_px",
    }
)
"""Metrics that look at every labelled pixel of the target, and so have one repetition."""


def repetitions_of(metric: str, repetitions: range) -> range:
    """Say which of some repetitions a metric has.

    Args:
        metric: one of `Metric`.
        repetitions: of the draws.

    Returns:
        All of them, or of metrics over all pixels at most the first one of all.

    Example:
        >>> repetitions_of("logme_all_px", range(10)), repetitions_of("logme", range(10))
        (range(0, 1), range(0, 10))
        >>> len(repetitions_of("logme_all_px", range(1, 3)))
        0
    """
    if metric not in OVER_ALL_PIXELS:
        return repetitions
    return range(repetitions.start, max(repetitions.start, min(repetitions.stop, 1)))


PRESETS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    # arXiv 2109.15242 to the letter: raw features, balanced transport, N = 10^4, K = 10.
    "paper": {
        "sampling": {"pixels": 10_000, "repetitions": 10},
        "score": {
            "epsilon": 0.1,
            "feature_scaling": "none",
            "relaxation": "none",
            "class_weights": "uniform",
        },
    },
    # What predicted measured transfer better (docs/evidence.md): features whose scale does not
    # differ between models, every class of a side counted alike, the source marginal free.
    "default": {
        "sampling": {"pixels": 10_000, "repetitions": 10},
        "score": {
            "epsilon": 0.1,
            "feature_scaling": "standardize",
            "relaxation": "source",
            "class_weights": "balanced",
        },
    },
}


def preset_name(
    *, epsilon: float, feature_scaling: str, relaxation: str, class_weights: str
) -> str:
    """Name the preset that a score recipe is, whatever it was written as.

    Args:
        epsilon: entropic regularisation, in units of the scaled cost.
        feature_scaling: one of `FeatureScaling`.
        relaxation: one of `Relaxation`.
        class_weights: one of `ClassWeights`.

    Returns:
        "default", "paper", or "custom" when no preset has these values.

    Example:
        >>> preset_name(epsilon=0.1, feature_scaling="none", relaxation="none",
        ...             class_weights="uniform")
        'paper'
    """
    recipe = {
        "epsilon": epsilon,
        "feature_scaling": feature_scaling,
        "relaxation": relaxation,
        "class_weights": class_weights,
    }
    return next((name for name, preset in PRESETS.items() if preset["score"] == recipe), "custom")
