"""Features are scaled as the recipe says, both sides alike, at any magnitude."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from otce.errors import TransportError
from otce.scaling import scale
from otce.scaling import scaled as scaled_sides
from tests.drawn import clouds

SCALINGS = ("standardize", "softmax", "l2", "none")
SEEDS = st.integers(0, 2**32 - 1)


def scaled(source_ND, target_MD, scaling):
    """Both sides scaled, in one array."""
    sides = scale(torch.from_numpy(source_ND), torch.from_numpy(target_MD), scaling)
    assert [len(side) for side in sides] == [len(source_ND), len(target_MD)]
    return torch.cat(sides).numpy()


def centred(both):
    return both - both.mean(axis=0)


def by_hand(both, scaling):
    match scaling:
        case "standardize":
            return centred(both / both.std(axis=0) / np.sqrt(both.shape[1]))
        case "softmax":
            return centred(softmax(both, axis=1))
        case "l2":
            return centred(both / np.linalg.norm(both, axis=1, keepdims=True))
        case "none":
            return centred(both)


@pytest.mark.parametrize("scaling", SCALINGS)
@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n=st.integers(2, 12), m=st.integers(1, 12), dim=st.integers(1, 6))
def test_scaling_is_the_one_worked_out_by_hand(scaling, seed, n, m, dim):
    draw = clouds(seed, n=n, m=m, dim=dim)
    both = np.concatenate([draw.source_ND, draw.target_MD])
    found = scaled(draw.source_ND, draw.target_MD, scaling)
    np.testing.assert_allclose(found, by_hand(both, scaling), atol=1e-12)


def test_standardized_distances_are_means_over_dimensions():
    draw = clouds(1, n=40, m=40, dim=7)
    found = scaled(draw.source_ND, draw.target_MD, "standardize")
    np.testing.assert_allclose(found.std(axis=0), 1 / np.sqrt(7))
    differences = found[:, None] - found[None, :]
    assert np.square(differences).sum(-1).mean() == pytest.approx(2)


@settings(max_examples=50, deadline=None)
@given(value=st.floats(-1e300, 1e300), count=st.integers(1, 50))
def test_a_constant_dimension_takes_no_part_in_distances(value, count):
    """The deviation of equal numbers is not always 0 in floating point."""
    varying = np.linspace(-1, 1, count + 1)
    both = np.stack([np.full(count + 1, value), varying], axis=1)
    found = scaled(both[:count], both[count:], "standardize")
    assert np.abs(found[:, 0]).max() < 1e-14
    wanted = centred(varying / varying.std()) / np.sqrt(2)
    np.testing.assert_allclose(found[:, 1], wanted, atol=1e-12)


@pytest.mark.parametrize("scaling", ["standardize", "l2"])
@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, exponent=st.floats(-300, 300))
def test_the_size_of_all_features_does_not_matter(scaling, seed, exponent):
    draw = clouds(seed, n=6, m=5)
    found = scaled(draw.source_ND * 10.0**exponent, draw.target_MD * 10.0**exponent, scaling)
    np.testing.assert_allclose(
        found, scaled(draw.source_ND, draw.target_MD, scaling), atol=1e-9, rtol=0
    )


def test_l2_leaves_a_pixel_without_features_at_the_origin():
    source_ND, target_MD = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, -2.0]])
    found = scaled(source_ND, target_MD, "l2")
    np.testing.assert_allclose(found, centred(np.array([[0, 0], [0.6, 0.8], [0, -1]])), atol=1e-15)


def test_softmax_takes_large_logits():
    found = scaled(np.array([[1e4, 0.0]]), np.array([[0.0, 1e4]]), "softmax")
    np.testing.assert_array_equal(found, [[0.5, -0.5], [-0.5, 0.5]])


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_value_that_is_not_finite_is_counted(scaling):
    source_ND, target_MD = np.ones((3, 2)), np.ones((2, 2))
    source_ND[0, 1], target_MD[1, 0] = np.nan, np.inf
    with pytest.raises(TransportError, match="2 of 10 feature values are not finite"):
        scaled(source_ND, target_MD, scaling)


@pytest.mark.parametrize("scaling", SCALINGS)
@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 12), m=st.integers(1, 12), dim=st.integers(1, 6))
def test_further_pixels_are_scaled_as_the_drawn_ones_were(scaling, seed, n, m, dim):
    draw = clouds(seed, n=n, m=m, dim=dim, n_source=1, n_target=1)
    sides = torch.from_numpy(draw.source_ND), torch.from_numpy(draw.target_MD)
    source_ND, target_MD, scaler = scaled_sides(*sides, scaling)
    np.testing.assert_allclose(scaler(sides[0]), source_ND, atol=1e-14)
    np.testing.assert_allclose(scaler(sides[1]), target_MD, atol=1e-14)
    # One pixel alone moves as in company: nothing is fitted anew.
    np.testing.assert_allclose(scaler(sides[1][-1:]), target_MD[-1:], atol=1e-14)
    with pytest.raises(TransportError, match="1 of"):
        scaler(torch.full((1, 1), torch.nan))
