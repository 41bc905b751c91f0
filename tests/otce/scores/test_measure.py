"""All metrics of one draw: what the plain functions say, and one that fails harms no other."""

from typing import get_args

import numpy as np
import pytest
import torch

from otce import scores
from otce.draw import Draw
from otce.errors import DataError, TransportError
from otce.recipe import FROM_COUPLING, OVER_ALL_PIXELS, Metric
from otce.scores.all_pixels import Block
from otce.scores.measure import measure
from otce.scores.moments import pixels_moments
from tests.drawn import clouds

DRAWN = clouds(4, n=60, m=48, dim=5, n_source=4, n_target=3)
COUPLING = {"epsilon": 0.3, "feature_scaling": "standardize", "class_weights": "uniform"}
COUPLING |= {"relaxation": "none", "solver": "auto", "tolerance": 1e-6, "max_iterations": 1000}
RECIPES = {metric: COUPLING if metric in FROM_COUPLING else {} for metric in get_args(Metric)}
RECIPES["otce_robust"] = COUPLING | {"relaxation": "source", "class_weights": "balanced"}
RECIPES["otce_full"] = COUPLING | {"full": {"domain": -2.0, "task": -0.5, "bias": 1.0}}
LOGITS = np.random.default_rng(0).normal(size=(48, 4)).astype(np.float32)
CLASS_MAP = (2, 0, 1, -1)


def drawn(features, labels, images, logits=None):
    items = np.sort(np.arange(len(labels), dtype=np.int32) % images)
    return Draw(features.astype(np.float32), labels.astype(np.int32), items, logits)


SOURCE = drawn(DRAWN.source_ND, DRAWN.source_y, 6)
TARGET = drawn(DRAWN.target_MD, DRAWN.target_y, 8, LOGITS)


def block(item):
    """Of all labelled pixels, which here are the drawn ones."""
    at = TARGET.items == item
    count = np.zeros((3, 4), np.int64)
    np.add.at(count, (TARGET.labels[at], LOGITS[at].argmax(axis=1)), 1)
    return Block(
        item, int(at.sum()), pixels_moments(TARGET.features[at], TARGET.labels[at], 3), count
    )


BLOCKS = [block(item) for item in range(8)]


def value(metric, target=TARGET):
    return measure(SOURCE, target, {metric: RECIPES[metric]}, CLASS_MAP, BLOCKS)[
        metric
    ].measured.value


@pytest.fixture(scope="module")
def readings():
    return measure(SOURCE, TARGET, RECIPES, CLASS_MAP, BLOCKS)


def test_every_metric_has_a_value_and_influences_of_its_pixels(readings):
    assert readings.keys() == set(get_args(Metric))
    for metric, reading in readings.items():
        found = reading.measured
        assert np.isfinite(found.value)
        assert found.target_influence.shape == (8 if metric in OVER_ALL_PIXELS else 48,)
        assert abs(found.target_influence.sum()) < 1e-9
        assert (found.source_influence is None) == (metric not in FROM_COUPLING)
        assert (reading.score is None) == (metric not in FROM_COUPLING)
        if found.source_influence is not None:
            assert found.source_influence.shape == (60,)
            assert abs(found.source_influence.sum()) < 1e-9


def test_values_are_those_of_the_plain_functions(readings):
    features, labels, items = TARGET[:3]
    probabilities = torch.softmax(torch.from_numpy(LOGITS).double(), dim=1)
    sides = *SOURCE[:2], features, labels
    score = scores.score_pixels(*sides, **COUPLING)
    wanted = {
        **{
            name: getattr(scores, name)(features, labels)
            for name in ("logme", "h_score", "h_score_shrunk", "gbc", "transrate", "nleep")
        },
        "knn": scores.knn(features, labels, items),
        "cc_fv": scores.cc_fv(features, labels, items),
        "leep": scores.leep(probabilities, labels),
        "nce": scores.nce(probabilities, labels),
        "zero_shot_miou": scores.zero_shot_miou(probabilities, labels, CLASS_MAP),
        "otce": score.otce,
        "normalized": score.normalized,
        "wasserstein": -score.transport_cost,
        "otce_robust": scores.score_pixels(*sides, **RECIPES["otce_robust"]).otce,
        "jc_otce": scores.jc_otce(*sides, **COUPLING),
        "otce_full": -2.0 * score.transport_cost + 0.5 * score.otce + 1.0,
    }
    wanted |= {metric: wanted[metric.removesuffix("_all_px")] for metric in OVER_ALL_PIXELS}
    assert wanted.keys() == readings.keys()
    for metric, number in wanted.items():
        assert readings[metric].measured.value == pytest.approx(number, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("metric", get_args(Metric))
def test_a_metric_does_not_depend_on_which_others_are_taken(readings, metric):
    assert value(metric) == readings[metric].measured.value


def test_at_the_tap_of_the_logits_features_are_predictions():
    at_logits = drawn(LOGITS, DRAWN.target_y, 8)
    for metric in ("leep", "nce", "zero_shot_miou"):
        assert value(metric, at_logits) == value(metric)


def test_what_cannot_be_had_says_why_and_keeps_nothing_back():
    one_image = TARGET._replace(items=np.zeros(48, np.int32))
    recipes = RECIPES | {"otce_robust": COUPLING | {"epsilon": -1.0}}
    found = measure(SOURCE, one_image, recipes, None, BLOCKS)
    failed = {metric: error for metric, error in found.items() if isinstance(error, Exception)}
    unmapped = {"zero_shot_miou", "zero_shot_miou_all_px"}
    assert failed.keys() == {"knn", "cc_fv", "otce_robust", *unmapped}
    assert isinstance(failed["otce_robust"], TransportError)
    assert all(isinstance(failed[name], DataError) for name in ("knn", "cc_fv", "zero_shot_miou"))
    assert all("class names in" in str(failed[name]) for name in unmapped)
