"""Scores of sums are those of the pixels, however the pixels were put together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.errors import DataError
from otce.scores import h_score, h_score_shrunk, logme, nce, zero_shot_miou
from otce.scores.h_score_moments import h_score_of_moments, h_score_shrunk_of_moments
from otce.scores.logme import logme_of_moments
from otce.scores.moments import merged, occurring, pixels_moments
from otce.scores.nce import nce_of_counts
from otce.scores.zero_shot import zero_shot_miou_of_counts

OF_MOMENTS = {
    logme: logme_of_moments,
    h_score: h_score_of_moments,
    h_score_shrunk: h_score_shrunk_of_moments,
}


@st.composite
def pixels(draw):
    """Features of any mean, some dimensions constant, doubled or tiny; classes 0 .. 4."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, dims = draw(st.integers(20, 80)), draw(st.integers(1, 6))
    labels = generator.integers(0, draw(st.integers(2, 5)), n)
    labels[:3] = [0, 1, 0]
    x = generator.normal(size=(n, dims)) + 0.5 * labels[:, None]
    x *= 10.0 ** generator.integers(-3, 4, dims)
    x += draw(st.sampled_from([0.0, 3.0, 300.0]))
    if dims > 2 and draw(st.booleans()):
        x[:, 0] = 0.7
        x[:, 1] = x[:, 2]
    return x.astype(np.float32).astype(np.float64), labels


@given(pixels(), st.data())
def test_merged_sums_are_those_of_all_pixels_in_any_cut(case, data):
    x, labels = case
    cuts = sorted(data.draw(st.sets(st.integers(1, len(labels) - 1), max_size=4)))
    parts = zip(np.split(x, cuts), np.split(labels, cuts), strict=True)
    found = merged([pixels_moments(*part, 5) for part in parts])
    wanted = pixels_moments(x, labels, 5)
    for name, one, other in zip(found._fields, found, wanted, strict=True):
        size = np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * size, err_msg=name)


@given(pixels(), st.data())
def test_a_weight_repeats_pixels(case, data):
    x, labels = case
    half = len(labels) // 2
    parts = [pixels_moments(x[s], labels[s], 5) for s in (slice(half), slice(half, None))]
    times = data.draw(st.integers(1, 4))
    found = merged(parts, [1, times])
    wanted = merged([parts[0], *([parts[1]] * times)])
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8 * np.abs(other).max())


@pytest.mark.parametrize("score", OF_MOMENTS)
@given(case=pixels())
def test_scores_of_sums_are_those_of_the_pixels(score, case):
    x, labels = case
    found = OF_MOMENTS[score](pixels_moments(x, labels, 6))
    assert found == pytest.approx(score(x, labels), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("score", OF_MOMENTS)
def test_one_class_is_refused(score):
    alone = pixels_moments(np.eye(3), np.array([2, 2, 2]), 4)
    with pytest.raises(DataError, match="1 class"):
        OF_MOMENTS[score](alone)


def test_classes_without_pixels_do_not_count():
    assert occurring(pixels_moments(np.eye(3), np.array([1, 4, 4]), 6)).count_T.tolist() == [1, 2]


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 5))
def test_scores_of_counts_are_those_of_the_pixels(seed, n_source, n_target):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(n_source), 40)
    labels = np.r_[0, 1, generator.integers(0, n_target, 38)]
    count = np.zeros((n_target + 1, n_source))
    np.add.at(count, (labels, probabilities.argmax(axis=1)), 1)
    assert nce_of_counts(count) == pytest.approx(nce(probabilities, labels))
    class_map = (*range(n_source - 1), -1) if n_source > 2 else (1, 0)
    assert zero_shot_miou_of_counts(count, class_map) == pytest.approx(
        zero_shot_miou(probabilities, labels, class_map)
    )
