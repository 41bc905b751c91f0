"""GBC against its definition, class by class, and in closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.scores.gbc import _minus_overlap, gbc, weighted_gbc
from tests.drawn import clouds

EXAMPLES = settings(max_examples=40, deadline=None)


def principal(x):
    z = x - x.mean(axis=0)
    return z @ np.linalg.svd(z, full_matrices=False)[2][:64].T


def defined(x, y, weight):
    """Minus the sum of exp(-D_B) over ordered pairs, as public code for diagonal Gaussians."""
    total = 0.0
    for a in np.unique(y):
        for b in np.unique(y):
            if a == b:
                continue
            means, variances = [], []
            for c in (a, b):
                of, w = x[y == c], weight[y == c]
                means.append(np.average(of, axis=0, weights=w))
                spread = np.average((of - means[-1]) ** 2, axis=0, weights=w)
                variances.append(np.maximum(spread, 1e-4))
            middle = sum(variances) / 2
            distance = ((means[0] - means[1]) ** 2 / middle).sum() / 8
            logs = np.log(middle) - np.log(variances[0]) / 2 - np.log(variances[1]) / 2
            total -= np.exp(-distance - logs.sum() / 2)
    return total


@st.composite
def drawn(draw):
    made = clouds(
        draw(st.integers(0, 2**32 - 1)),
        m=draw(st.integers(8, 40)),
        dim=draw(st.integers(1, 80)),
        n_target=draw(st.integers(2, 5)),
        size=draw(st.sampled_from([1e-3, 1e-2, 1.0, 10.0])),
    )
    return made.target_MD, made.target_y


@EXAMPLES
@given(drawn())
def test_it_is_what_the_paper_defines_on_principal_axes(made):
    x, y = made
    right = defined(principal(x), y, np.ones(len(y)))
    assert gbc(x, y) == pytest.approx(right, rel=1e-6, abs=1e-12)


@EXAMPLES
@given(drawn(), st.integers(0, 2**32 - 1))
def test_weights_count_pixels_along_axes_of_all_counted_alike(made, seed):
    x, y = made
    weight = np.random.default_rng(seed).uniform(0.2, 3, len(y))
    found = weighted_gbc(*map(torch.as_tensor, (x, y, weight)))
    assert float(found) == pytest.approx(defined(principal(x), y, weight), rel=1e-6, abs=1e-12)


@EXAMPLES
@given(drawn(), st.integers(0, 2**32 - 1))
def test_along_given_axes_a_pixel_of_weight_k_is_that_pixel_k_times(made, seed):
    x, y = map(torch.as_tensor, made)
    times = torch.as_tensor(np.random.default_rng(seed).integers(1, 4, len(y)))
    ones = torch.ones(int(times.sum()), dtype=torch.float64)
    repeated = _minus_overlap(x.repeat_interleave(times, 0), y.repeat_interleave(times), ones)
    found = _minus_overlap(x, y, times.double())
    assert float(found) == pytest.approx(float(repeated), rel=1e-9)


def test_two_gaussians_of_equal_spread_overlap_by_their_distance():
    x = np.array([[0.0], [2.0], [6.0], [8.0]])
    assert gbc(x, [0, 0, 1, 1]) == pytest.approx(-2 * np.exp(-36 / 8), rel=1e-12)


def test_the_floor_of_variances_makes_tiny_features_overlap():
    made = clouds(0, n_target=3)
    assert gbc(1e-9 * made.target_MD, made.target_y) == pytest.approx(-6, abs=1e-9)


def test_the_same_pixels_give_the_same_bits():
    made = clouds(0, m=200, dim=70)
    assert gbc(made.target_MD, made.target_y) == gbc(made.target_MD.copy(), made.target_y.copy())
