"""kNN accuracy against a search pixel by pixel, and against leaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.errors import DataError
from otce.scores.knn import knn


def defined(features, labels, images, k):
    """Search all pixels of other images, in float64; those at one distance share the votes."""
    deviation = features.std(axis=0)
    x = features / np.where(deviation > 0, deviation, 1.0)
    scores = []
    for i in range(len(x)):
        distance = ((x - x[i]) ** 2).sum(1)
        distance[images == images[i]] = np.inf
        last = np.sort(distance)[min(k, (distance < np.inf).sum()) - 1]
        nearer = distance < last * (1 - 1e-9)
        level = (distance <= last * (1 + 1e-9)) & ~nearer & (distance < np.inf)
        share = min(1.0, (k - nearer.sum()) / level.sum())
        votes = np.array(
            [(nearer[labels == c].sum() + share * level[labels == c].sum()) for c in range(4)]
        )
        best = np.flatnonzero(votes > votes.max() - 1e-9)
        scores.append((labels[i] in best) / len(best))
    return float(np.mean(scores))


@st.composite
def drawn(draw):
    n, seed = draw(st.integers(2, 40)), draw(st.integers(0, 2**32))
    generator = np.random.default_rng(seed)
    labels, images = generator.integers(0, 4, n), generator.integers(0, 4, n)
    images[:2] = 0, 1
    features = generator.normal(size=(n, 3)) + labels[:, None]
    # Rounded features repeat and lie at equal distances.
    features = features.round(draw(st.sampled_from([0, 9]))) * [1.0, 100.0, 0.01]
    return features, labels, images, draw(st.integers(1, 50))


@given(drawn())
def test_it_is_the_accuracy_of_a_search_pixel_by_pixel(made):
    assert knn(*made[:3], neighbours=made[3]) == pytest.approx(defined(*made), abs=1e-12)


@given(drawn(), st.integers(0, 2**32))
def test_units_and_origin_of_a_dimension_do_not_matter(made, seed):
    features, labels, images, k = made
    generator = np.random.default_rng(seed)
    moved = features * generator.uniform(0.5, 2.0, 3) + generator.normal(size=3)
    assert knn(moved, labels, images, neighbours=k) == pytest.approx(
        knn(features, labels, images, neighbours=k), abs=1e-9
    )


@pytest.mark.parametrize("constant", [0.1, 1 / 3, 1e6])
def test_a_constant_dimension_changes_nothing(constant):
    """Were its deviation a rounding error and not 0, it would drown all others."""
    generator = np.random.default_rng(0)
    labels, images = generator.integers(0, 3, 61), generator.integers(0, 4, 61)
    features = generator.normal(size=(61, 3)) + labels[:, None]
    more = np.column_stack([features, np.full(61, constant)])
    assert knn(more, labels, images) == pytest.approx(knn(features, labels, images), abs=1e-9)


def test_separate_classes_score_one_and_noise_scores_chance():
    generator = np.random.default_rng(0)
    labels, images = generator.integers(0, 4, 1000), generator.integers(0, 10, 1000)
    noise = generator.normal(size=(1000, 8))
    assert knn(noise + 20 * labels[:, None], labels, images) == 1
    assert knn(noise, labels, images) == pytest.approx(0.25, abs=0.05)


def test_repeating_pixels_within_their_image_does_not_raise_the_score():
    """With neighbours from the own image every pixel would find its double: a score of 1."""
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(200, 8)), generator.integers(0, 4, 200)
    images = generator.integers(0, 5, 200)
    doubled = [np.concatenate([values] * 3) for values in (features, labels, images)]
    assert knn(*doubled, neighbours=1) == pytest.approx(
        knn(features, labels, images, neighbours=1), abs=1e-9
    )
    assert knn(*doubled, neighbours=1) < 0.5


def test_images_that_differ_hide_no_class_and_earn_none():
    """Features that tell the image alone: the own image would answer, the others cannot."""
    generator = np.random.default_rng(0)
    images = np.repeat(np.arange(5), 40)
    features = 50.0 * images[:, None] + generator.normal(size=(200, 2))
    assert knn(features, images % 3, images, neighbours=3) < 0.6
    assert knn(features, images, images, neighbours=3) == 0


@pytest.mark.parametrize("offset", [0.0, 1.0, 0.1, 1e6])
def test_constant_features_vote_for_the_most_frequent_label(offset):
    labels = np.array([0, 0, 0, 1] * 10)
    images = np.repeat([0, 1], 20)
    constant = np.tile([0.7, offset, 1 / 3], (40, 1))
    assert knn(constant, labels, images) == 0.75
    order = np.random.default_rng(0).permutation(40)
    assert knn(constant, labels[order], images[order]) == 0.75


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_neighbours_at_one_distance_share_the_votes_in_any_order(offset):
    """Eight pixels a place, sixteen in other images: which ten topk finds depends on the order."""
    generator = np.random.default_rng(0)
    places = np.repeat(generator.normal(size=(6, 4)), 24, axis=0) + offset
    labels, images = generator.integers(0, 3, 144), np.tile([0, 1, 2], 48)
    scores = set()
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(144)
        scores.add(round(knn(places[order], labels[order], images[order]), 9))
    assert len(scores) == 1


def test_a_tied_vote_gives_its_share():
    features = np.array([[0.0], [1.0], [-1.0]])
    labels, images = np.array([0, 0, 1]), np.array([0, 1, 2])
    # Pixel 0 sees one vote for each label; pixel 1 sees 0 and 1; pixel 2 sees only 0.
    assert knn(features, labels, images, neighbours=2) == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_a_single_class_is_always_found():
    generator = np.random.default_rng(0)
    assert knn(generator.normal(size=(5, 2)), np.full(5, 3), np.array([0, 0, 1, 2, 2])) == 1


def test_of_many_pixels_evenly_spaced_ones_are_asked():
    generator = np.random.default_rng(0)
    labels, images = generator.integers(0, 3, 5000), generator.integers(0, 9, 5000)
    features = generator.normal(size=(5000, 6)) + 0.7 * labels[:, None]
    asked = np.linspace(0, 4999, 2000).round().astype(int)
    x, success = features / features.std(0), []
    for i in asked:
        distance = ((x - x[i]) ** 2).sum(1)
        distance[images == images[i]] = np.inf
        votes = np.bincount(labels[np.argpartition(distance, 10)[:10]], minlength=3)
        best = np.flatnonzero(votes == votes.max())
        success.append((labels[i] in best) / len(best))
    # Ten distances in float32 may swap a neighbour at the edge in a few of 2000 searches.
    assert knn(features, labels, images) == pytest.approx(np.mean(success), abs=2e-3)


def test_no_neighbours_are_refused():
    with pytest.raises(DataError, match="at least 1"):
        knn(np.zeros((2, 1)), np.array([0, 1]), np.array([0, 1]), neighbours=0)
