"""Both H-scores against their definitions, written out in loops, and under affine maps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.scores.h_score import (
    h_score,
    h_score_shrunk,
    weighted_h_score,
    weighted_h_score_shrunk,
)
from tests.drawn import clouds

EXAMPLES = settings(max_examples=40, deadline=None)


def class_means(x, y, weight):
    return np.array([np.average(x[y == c], axis=0, weights=weight[y == c]) for c in y])


def covariance(x, weight):
    mean = np.average(x, axis=0, weights=weight)
    return sum(w * np.outer(row - mean, row - mean) for w, row in zip(weight, x, strict=True))


def ledoit_wolf(x, weight):
    """The paper of 2004, pixel by pixel: share of shrinkage and the shrunk covariance."""
    n, dim = x.shape
    s = covariance(x, weight)
    target = np.trace(s) / dim * np.eye(dim)
    z = x - np.average(x, axis=0, weights=weight)
    noise = sum(w * ((np.outer(row, row) - s) ** 2).sum() for w, row in zip(weight, z, strict=True))
    distance = ((s - target) ** 2).sum()
    share = min(noise / n / distance, 1) if distance > 0 else 0
    return share, (1 - share) * s + share * target


@st.composite
def drawn(draw, most_dims=6):
    made = clouds(
        draw(st.integers(0, 2**32 - 1)),
        m=draw(st.integers(12, 40)),
        dim=draw(st.integers(1, most_dims)),
        n_target=draw(st.integers(2, 5)),
    )
    y = made.target_y
    weight = np.random.default_rng(draw(st.integers(0, 99))).uniform(0.2, 3, len(y))
    return made.target_MD, y, weight / weight.sum()


@EXAMPLES
@given(drawn())
def test_it_is_the_trace_of_public_code(made):
    x, y, _ = made
    g = class_means(x, y, np.ones(len(y)))
    inverse = np.linalg.pinv(np.atleast_2d(np.cov(x, rowvar=False)), rcond=1e-15)
    right = np.trace(inverse @ np.atleast_2d(np.cov(g, rowvar=False)))
    assert h_score(x, y) == pytest.approx(right, rel=1e-7)


@EXAMPLES
@given(drawn())
def test_weighted_it_is_the_trace_of_weighted_covariances(made):
    x, y, weight = made
    g = class_means(x, y, weight)
    right = np.trace(np.linalg.inv(covariance(x, weight)) @ covariance(g, weight))
    found = weighted_h_score(*map(torch.as_tensor, made))
    assert float(found) == pytest.approx(right, rel=1e-7)


@EXAMPLES
@given(drawn(most_dims=40))
def test_shrunk_it_is_the_trace_with_the_covariance_of_ledoit_and_wolf(made):
    x, y, weight = made
    alike = np.full(len(y), 1 / len(y))
    for w in (weight, alike):
        share, shrunk = ledoit_wolf(x, w)
        g = class_means(x, y, w)
        right = np.trace(np.linalg.inv(shrunk) @ ((1 - share) * covariance(g, w)))
        found = weighted_h_score_shrunk(*map(torch.as_tensor, (x, y, w)))
        assert float(found) == pytest.approx(right, rel=1e-7, abs=1e-9)
    # Public code divides the covariance of class means, and it alone, by n - 1.
    public = np.trace(np.linalg.inv(shrunk) @ ((1 - share) * np.atleast_2d(np.cov(g.T))))
    assert h_score_shrunk(x, y) == pytest.approx(public * (1 - 1 / len(y)), rel=1e-7, abs=1e-9)


@EXAMPLES
@given(drawn(), st.integers(0, 2**32 - 1))
def test_no_invertible_affine_map_changes_the_plain_score(made, seed):
    x, y, _ = made
    generator = np.random.default_rng(seed)
    turns = [np.linalg.qr(generator.normal(size=(x.shape[1],) * 2))[0] for _ in range(2)]
    sizes = np.diag(10.0 ** generator.uniform(-2, 2, x.shape[1]))
    mapped = x @ turns[0] @ sizes @ turns[1] + generator.normal(size=x.shape[1])
    assert h_score(mapped, y) == pytest.approx(h_score(x, y), rel=1e-6)


def test_dimensions_that_repeat_others_change_nothing():
    """A covariance inverted without regard to its rank gave anything at all."""
    made = clouds(0, m=40, dim=4)
    x, y = made.target_MD, made.target_y
    repeated = np.c_[x, x @ np.ones(4), 1e9 * x[:, 0], np.full(40, 0.1), np.full(40, 1e12)]
    assert h_score(repeated, y) == pytest.approx(h_score(x, y), rel=1e-9)


def test_as_many_dimensions_as_pixels_explain_every_class():
    noise, y = np.random.default_rng(0).normal(size=(30, 50)), np.arange(30) % 4
    assert h_score(noise, y) == pytest.approx(3, abs=1e-9)
    assert h_score_shrunk(noise, y) < 1


def test_features_that_are_the_labels_score_one_less_than_the_classes():
    y = np.arange(30) % 5
    assert h_score(np.eye(5)[y], y) == pytest.approx(4, abs=1e-9)


def test_a_single_dimension_is_not_shrunk():
    x, y = np.random.default_rng(0).normal(size=(20, 1)), np.arange(20) % 3
    assert h_score_shrunk(x, y) == pytest.approx(h_score(x, y), rel=1e-12)
