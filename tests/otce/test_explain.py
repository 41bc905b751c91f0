"""Parts of a draw add up to its score, whichever way it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otce import score_pixels
from otce.correspondence import averaged
from otce.errors import DataError
from otce.explain import by_boundary, by_class, by_frequency, by_image
from tests.drawn import clouds

SEEDS = st.integers(0, 2**32 - 1)
CUTS = (by_class, by_image, by_boundary, by_frequency)


@pytest.mark.parametrize("cut", CUTS)
@settings(max_examples=25)
@given(seed=SEEDS, classes=st.integers(1, 6), weights=st.sampled_from(["uniform", "balanced"]))
def test_parts_add_up_to_minus_the_score_and_to_all_pixels(cut, seed, classes, weights):
    draw = clouds(seed, n_target=classes)
    score = score_pixels(*draw.arguments, class_weights=weights)
    generator = np.random.default_rng(seed)
    of_pixel = {
        by_image: generator.integers(0, 5, 20),
        by_boundary: generator.random(20) < 0.3,
    }.get(cut, draw.target_y)
    parts = cut(score.pixel_risk, of_pixel)
    lost = sum(part.lost_nats for part in parts)
    assert lost == pytest.approx(-score.otce, rel=1e-12, abs=1e-15)
    assert sum(part.n_px for part in parts) == 20
    mean = sum(part.n_px * part.mean_nats for part in parts) / 20
    assert mean == pytest.approx(-score.otce, rel=1e-12, abs=1e-15)
    assert len({part.key for part in parts}) == len(parts)


def test_the_cost_of_a_class_is_the_one_of_the_correspondence():
    draw = clouds(1)
    score = score_pixels(*draw.arguments)
    found = averaged(score.joint[None], ("a", "b", "c"), ("x", "y", "z"))
    cost = {part.key: part.lost_nats for part in by_class(score.pixel_risk, draw.target_y)}
    assert found.lost_nats == pytest.approx([cost[label] for label in range(3)], rel=1e-12)


def test_images_are_ordered_by_their_mean_and_classes_by_their_cost():
    risk_M = np.array([0.1, 0.1, 0.1, 0.25])
    of_pixel = np.array([5, 5, 5, 2])
    assert [part.key for part in by_image(risk_M, of_pixel)] == [2, 5]
    assert [part.key for part in by_class(risk_M, of_pixel)] == [5, 2]
    assert by_image(risk_M, of_pixel)[0].mean_nats == 1.0


@pytest.mark.parametrize(
    ("counts", "thirds"),
    [
        ([4], {"frequent": [0]}),
        ([2, 4], {"frequent": [1], "rare": [0]}),
        ([1, 9, 3], {"frequent": [1], "medium": [2], "rare": [0]}),
        ([5, 5, 5, 1, 9], {"frequent": [4, 0], "medium": [1, 2], "rare": [3]}),
    ],
)
def test_classes_are_cut_into_thirds_by_frequency(counts, thirds):
    labels = np.repeat(np.arange(len(counts)), counts)
    found = by_frequency(np.ones(len(labels)), labels)
    assert {part.key: part.n_px for part in found} == {
        word: sum(counts[label] for label in members) for word, members in thirds.items()
    }


def test_arrays_of_different_draws_are_refused():
    for cut in CUTS:
        with pytest.raises(DataError, match="3 pixel risks and 2 pixels"):
            cut(np.ones(3), np.zeros(2, int))
        with pytest.raises(DataError, match="at least one pixel"):
            cut(np.ones(0), np.zeros(0, int))
