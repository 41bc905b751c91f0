"""CC-FV against its definition with matrix roots, and the direction of its two parts."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.errors import DataError
from otce.scores.cc_fv import cc_fv


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(values.clip(min=0)) @ vectors.T


def wasserstein(one, other):
    """Between Gaussian fits with diagonal covariances, by the general formula."""
    a, b = np.diag(one.var(axis=0)), np.diag(other.var(axis=0))
    trace = np.trace(a + b - 2 * root(root(a) @ b @ root(a)))
    return math.sqrt(max(((one.mean(0) - other.mean(0)) ** 2).sum() + trace, 0.0))


def defined(features, labels, images):
    """Class by class and pair by pair."""
    by_class = []
    for c in np.unique(labels):
        fits = [features[(labels == c) & (images == i)] for i in np.unique(images[labels == c])]
        if len(fits) > 1:
            pairs = [wasserstein(*pair) for pair in itertools.combinations(fits, 2)]
            by_class.append(np.mean(pairs))
    consistency = np.mean(by_class) / math.sqrt(features.var(axis=0).sum())
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    inverse = [
        1 / max(np.linalg.norm(one - other), 0.01) for one, other in itertools.combinations(unit, 2)
    ]
    return math.log(1 / np.mean(inverse) / consistency)


@st.composite
def drawn(draw):
    n = draw(st.integers(3, 30))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels, images = generator.integers(0, 3, n), generator.integers(0, 4, n)
    labels[:2], images[:2] = 0, (0, 1)
    return generator.normal(size=(n, 3)) + labels[:, None], labels, images


@given(drawn())
def test_it_is_the_variety_over_the_distance_of_gaussians(made):
    assert cc_fv(*made) == pytest.approx(defined(*made), abs=1e-6)


@given(drawn())
def test_repeated_dimensions_change_nothing(made):
    features, labels, images = made
    assert cc_fv(np.tile(features, 3), labels, images) == pytest.approx(cc_fv(*made), abs=1e-9)


def scene(apart, collapsed=0.0, n=400):
    """Two classes in four images, whose features drift apart between images."""
    generator = np.random.default_rng(0)
    labels, images = generator.integers(0, 2, n), generator.integers(0, 4, n)
    centre = generator.normal(size=(2, 6))[labels] + apart * generator.normal(size=(4, 6))[images]
    features = centre + 0.3 * generator.normal(size=(n, 6))
    return features + collapsed * np.ones(6), labels, images


def test_features_that_drift_between_images_score_lower():
    scores = [cc_fv(*scene(apart)) for apart in (0.0, 0.3, 1.0, 3.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] + 1


def test_features_that_crowd_in_one_direction_score_lower():
    scores = [cc_fv(*scene(0.3, collapsed)) for collapsed in (0.0, 2.0, 10.0, 1000.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] + 1


def test_a_class_in_one_image_does_not_count_for_consistency():
    features, labels, images = scene(0.3)
    lonely = labels.copy()
    lonely[(images == 0) & (labels == 1)] = 2
    without = cc_fv(features, lonely, images)
    assert without == pytest.approx(defined(features, lonely, images), abs=1e-6)


def test_of_many_images_drawn_pairs_stand_for_all():
    generator = np.random.default_rng(0)
    labels, images = generator.integers(0, 2, 300), np.arange(300) % 60
    features = generator.normal(size=(300, 3)) + generator.normal(size=(60, 3))[images]
    drawn = cc_fv(features, labels, images)
    assert drawn == cc_fv(features, labels, images)
    assert drawn == pytest.approx(defined(features, labels, images), abs=0.05)


def test_repeated_and_zero_pixels_have_a_finite_energy():
    features = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    score = cc_fv(features, np.zeros(4, int), np.array([0, 1, 0, 0]))
    # Two pairs at the smallest distance and four between the centre and the sphere.
    variety = 6 / (2 / 0.01 + 4)
    mean, deviation = 2 / 3, math.sqrt(2) / 3
    distance = math.hypot(mean, deviation) / 0.5
    assert score == pytest.approx(math.log(variety / distance))


def test_constant_features_are_refused_whatever_their_rounding():
    generator = np.random.default_rng(0)
    labels, images = generator.integers(0, 3, 61), generator.integers(0, 4, 61)
    with pytest.raises(DataError, match="same features"):
        cc_fv(np.tile([0.1, 0.7, 1 / 3], (61, 1)), labels, images)


@pytest.mark.parametrize(
    ("features", "labels", "images", "said"),
    [
        (np.eye(4), [0, 1, 2, 3], [0, 1, 0, 1], "none of 4 classes"),
        (np.full((4, 2), 0.1), [0, 0, 1, 1], [0, 1, 0, 1], "same features"),
        (np.zeros((4, 2)), [0, 0, 1, 1], [0, 1, 0, 1], "same features"),
        (np.array([[0.1], [0.1], [0.7], [0.7]]), [0, 0, 1, 1], [0, 1, 0, 1], "same features"),
    ],
)
def test_what_has_no_score_is_refused(features, labels, images, said):
    with pytest.raises(DataError, match=said):
        cc_fv(features, np.array(labels), np.array(images))
