"""Where the score is a mean of images, intervals are those of the textbooks of wider samples."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from otce.intervals import Side, estimate, total
from tests.drawn import widened

SEEDS = st.integers(0, 2**32)


def images_of(values, digest="ab"):
    """Take the mean of one value an image, whose influences are known."""
    values = np.asarray(values, dtype=float)
    return Side(digest, np.arange(len(values)), (values - values.mean()) / len(values))


def flipped(side):
    return Side(side.digest, side.items, -side.influence)


@given(st.lists(st.floats(-3, 0), min_size=2, max_size=12).filter(lambda x: max(x) - min(x) > 1e-6))
def test_the_interval_of_pixels_is_the_one_of_scipy_stats(scores):
    found = estimate(scores)
    expected = stats.t.interval(0.95, len(scores) - 1, found.mean, stats.sem(scores))
    assert (found.ci95_low, found.ci95_high) == pytest.approx(expected)


@given(seed=SEEDS, n=st.integers(2, 30))
def test_the_total_of_a_mean_of_images_is_students(seed, n):
    values = np.random.default_rng(seed).normal(size=n)
    found = total(values.mean(), [images_of(values)])
    expected = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(widened(values)))
    assert (found.total95_low, found.total95_high) == pytest.approx(expected)


@given(seed=SEEDS, n=st.integers(2, 30), m=st.integers(2, 30))
def test_the_total_of_a_difference_of_two_data_sets_is_welchs(seed, n, m):
    generator = np.random.default_rng(seed)
    target, source = generator.normal(size=n), 3 * generator.normal(size=m)
    found = total(target.mean() - source.mean(), [images_of(target), flipped(images_of(source))])
    welch = stats.ttest_ind(widened(target), widened(source), equal_var=False)
    low, high = welch.confidence_interval(0.95)
    assert (found.total95_low, found.total95_high) == pytest.approx((low, high))


@given(seed=SEEDS, scale=st.floats(1e-3, 1e3))
def test_the_total_scales_with_the_score(seed, scale):
    values = np.random.default_rng(seed).normal(size=7)
    one, other = (total(c * 0.5, [images_of(c * values)]) for c in (1.0, scale))
    assert tuple(other) == pytest.approx([scale * number for number in one])


def test_the_total_holds_the_noise_of_pixels_once():
    """Images that do not differ: all that is left is the noise of the pixels drawn from them."""
    generator = np.random.default_rng(0)
    found, spread = [], []
    for _ in range(400):
        image = generator.integers(0, 30, 900)
        pixels = generator.normal(size=900)
        influence = np.bincount(image, pixels - pixels.mean(), 30) / 900
        found.append(Side("ab", np.arange(30), influence).variance)
        spread.append(pixels.mean())
    assert np.mean(found) == pytest.approx(1 / 900, rel=0.05)
    assert np.std(spread) == pytest.approx(1 / sqrt(900), rel=0.1)


def test_images_without_influence_leave_no_noise():
    side = Side("ab", np.arange(4), np.zeros(4))
    assert total(-0.5, [side]) == (0.0, -0.5, -0.5)
