"""All metrics of one draw of a pair, each with the influence of every pixel."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import torch
from torch import Tensor

from otce.draw import Draw
from otce.errors import DataError, OtceError
from otce.recipe import FROM_COUPLING, OVER_ALL_PIXELS, ClassWeights, FeatureScaling, Metric
from otce.scores.all_pixels import Block, measured_over_all
from otce.scores.cc_fv import weighted_cc_fv
from otce.scores.coupled import Coupled, couple_and_measure
from otce.scores.gbc import weighted_gbc
from otce.scores.h_score import weighted_h_score, weighted_h_score_shrunk
from otce.scores.influence import Measured, measured
from otce.scores.jc_otce import label_aware
from otce.scores.knn import weighted_knn
from otce.scores.labelled import labelled
from otce.scores.leep import weighted_leep
from otce.scores.logme import weighted_logme
from otce.scores.nce import weighted_nce
from otce.scores.nleep import weighted_nleep
from otce.scores.otce import Score
from otce.scores.otce_full import Coefficients, otce_full
from otce.scores.pixels import Pixels
from otce.scores.transrate import weighted_transrate
from otce.scores.zero_shot import weighted_zero_shot_miou

_Weighted = Callable[[Tensor], Tensor]
_OF_FEATURES: Final[Mapping[Metric, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "logme": weighted_logme,
    "h_score": weighted_h_score,
    "h_score_shrunk": weighted_h_score_shrunk,
    "gbc": weighted_gbc,
    "transrate": weighted_transrate,
    "nleep": weighted_nleep,
}
_OF_IMAGES: Final[Mapping[Metric, Callable[[Any, Any, Any, Tensor], Tensor]]] = {
    "knn": weighted_knn,
    "cc_fv": weighted_cc_fv,
}


@dataclass(frozen=True)
class Reading:
    """What one metric says of a draw.

    Attributes:
        measured: the score and its influences.
        score: the coupling's whole score, for metrics of a coupling.
    """

    measured: Measured
    score: Score | None = None


def measure(
    source: Draw,
    target: Draw,
    recipes: Mapping[Metric, Mapping[str, Any]],
    class_map: tuple[int, ...] | None,
    blocks: Sequence[Block] = (),
) -> dict[Metric, Reading | OtceError]:
    """Take metrics of one draw; one that cannot be had keeps none of the others back.

    Args:
        source: source pixels.
        target: target pixels of the same model.
        recipes: the settings of each metric that is wanted, as `score_pixels` takes them; of
            metrics without a coupling none.
        class_map: for zero-shot mIoU, the target class of each class that the model predicts.
        blocks: sums over all target pixels, for the metrics over them.

    Returns:
        By metric what it says, or why it says nothing.
    """
    couple = _Couplings(source, target)
    found: dict[Metric, Reading | OtceError] = {}
    for metric, recipe in recipes.items():
        try:
            if metric in FROM_COUPLING:
                found[metric] = couple.reading(metric, dict(recipe))
            elif metric in OVER_ALL_PIXELS:
                found[metric] = Reading(measured_over_all(metric, blocks, class_map))
            else:
                weighted = _weighted(metric, target, class_map)
                found[metric] = Reading(measured(weighted, len(target.labels)))
        except OtceError as error:
            found[metric] = error
    return found


class _Couplings:
    """Couplings of a draw, each made once for all metrics that are read off it."""

    def __init__(self, source: Draw, target: Draw) -> None:
        self._sides = *source[:2], *target[:2]
        self._pixels = cache(self._weighed)
        self._coupled = cache(self._measured)

    def reading(self, metric: Metric, recipe: dict[str, Any]) -> Reading:
        recipe.pop("epsilon_curve", None)
        full = recipe.pop("full", None)
        found = self._coupled(metric == "jc_otce", frozenset(recipe.items()))
        match metric:
            case "normalized":
                return Reading(found.normalized, found.score)
            case "wasserstein":
                return Reading(found.wasserstein, found.score)
            case "otce_full":
                return Reading(_full(found, dict(full)), found.score)
        return Reading(found.otce, found.score)

    def _measured(self, is_label_aware: bool, recipe: frozenset[tuple[str, Any]]) -> Coupled:  # noqa: FBT001
        settings = dict(recipe)
        kept = settings.pop("feature_scaling"), settings.pop("class_weights")
        pixels = self._pixels(*kept)
        return couple_and_measure(label_aware(pixels) if is_label_aware else pixels, **settings)

    def _weighed(self, feature_scaling: FeatureScaling, class_weights: ClassWeights) -> Pixels:
        return Pixels.of(
            *self._sides,
            feature_scaling=feature_scaling,
            class_weights=class_weights,
            device="cpu",
        )


def _full(found: Coupled, coefficients: dict[str, float]) -> Measured:
    """Take OTCE with its domain term, and its influences, which are as linear as it is."""
    chosen = Coefficients(coefficients["domain"], coefficients["task"], coefficients["bias"])
    terms = found.wasserstein, found.otce
    value = otce_full(
        chosen, wasserstein=0.0 - terms[0].value, conditional_entropy=0.0 - terms[1].value
    )
    target, source = (
        -(chosen.domain * getattr(terms[0], side) + chosen.task * getattr(terms[1], side))
        for side in ("target_influence", "source_influence")
    )
    return Measured(value, target, source)


def _weighted(metric: Metric, target: Draw, class_map: tuple[int, ...] | None) -> _Weighted:
    """Fix all arguments of a metric but the weights."""
    features, labels = target.features, target.labels
    if metric in _OF_FEATURES:
        return partial(_OF_FEATURES[metric], *labelled(features, labels))
    if metric in _OF_IMAGES:
        return partial(_OF_IMAGES[metric], features, labels, target.items)
    # At the tap of the logits the features are the predictions.
    logits = features if target.logits is None else target.logits
    probabilities = torch.softmax(torch.from_numpy(logits).double(), dim=1)
    match metric:
        case "leep":
            return partial(weighted_leep, probabilities, labels)
        case "nce":
            return partial(weighted_nce, probabilities, labels)
    if class_map is None:
        raise DataError(
            "zero_shot_miou: source and target have fewer than two class names in common; leave "
            "the metric out, or give equal classes equal names"
        )
    return partial(weighted_zero_shot_miou, probabilities, labels, class_map)
