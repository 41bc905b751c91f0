"""TransRate against its definition, against public code, and between its bounds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.errors import DataError
from otce.scores.transrate import transrate, weighted_transrate
from tests.drawn import clouds

EXAMPLES = settings(max_examples=40, deadline=None)


def rate(z, share):
    second = sum(s * np.outer(row, row) for s, row in zip(share, z, strict=True))
    return np.linalg.slogdet(np.eye(z.shape[1]) + second / 1e-4)[1] / 2


def defined(x, y, weight):
    share = weight / weight.sum()
    z = x - share @ x
    within = [
        share[y == c].sum() * rate(z[y == c], share[y == c] / share[y == c].sum())
        for c in np.unique(y)
    ]
    return rate(z, share) - sum(within)


def public(x, y):
    z = x - x.mean(axis=0)
    classes = [z[y == c] for c in np.unique(y)]
    alike = [rate(of, np.full(len(of), 1 / len(of))) for of in classes]
    return rate(z, np.full(len(z), 1 / len(z))) - np.mean(alike)


@st.composite
def drawn(draw):
    made = clouds(
        draw(st.integers(0, 2**32 - 1)),
        m=draw(st.integers(6, 40)),
        dim=draw(st.integers(1, 30)),
        n_target=draw(st.integers(2, 5)),
        size=draw(st.sampled_from([1e-3, 1.0, 100.0])),
    )
    return made.target_MD, made.target_y


@EXAMPLES
@given(drawn(), st.integers(0, 2**32 - 1))
def test_it_is_the_difference_of_coding_rates_that_the_paper_defines(made, seed):
    x, y = made
    weight = np.random.default_rng(seed).uniform(0.2, 3, len(y))
    found = weighted_transrate(*map(torch.as_tensor, (x, y, weight)))
    assert float(found) == pytest.approx(defined(x, y, weight), rel=1e-7, abs=1e-9)
    assert transrate(x, y) == pytest.approx(defined(x, y, np.ones(len(y))), rel=1e-7, abs=1e-9)


@EXAMPLES
@given(drawn())
def test_it_lies_between_zero_and_the_rate_of_all_features(made):
    x, y = made
    z = x - x.mean(axis=0)
    assert -1e-9 <= transrate(x, y) <= rate(z, np.full(len(z), 1 / len(z))) + 1e-9


def test_on_classes_of_one_size_it_is_what_public_code_computes():
    made = clouds(0, m=60, dim=5, n_target=4)
    x, y = made.target_MD, made.target_y
    assert transrate(x, y) == pytest.approx(public(x, y), rel=1e-9)


def test_on_unequal_classes_public_code_falls_below_what_information_can():
    generator = np.random.default_rng(0)
    y = np.r_[np.zeros(500, int), np.repeat([1, 2, 3, 4], 10)]
    x = generator.normal(size=(540, 3)) * np.where(y == 0, 1.0, 10.0)[:, None]
    assert public(x, y) < 0 < transrate(x, y)


def test_the_rates_of_more_dimensions_than_pixels_are_those_of_the_pixels_span():
    """Classes of fewer pixels than dimensions are factored as pixels x pixels."""
    made = clouds(0, m=40, dim=6, n_target=3)
    x, y = made.target_MD, made.target_y
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(90, 90)))[0][:6]
    assert transrate(x @ turn, y) == pytest.approx(transrate(x, y), rel=1e-9)


def test_features_whose_rounding_outweighs_the_distortion_are_refused():
    with pytest.raises(DataError, match=r"sum to 6.67e\+39.*at most 1e\+08.*scale the features"):
        transrate([[1e20], [-1e20], [0.0]], [0, 1, 1])
