"""Models that saw the same images are compared on the same images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from otce.comparison import p_beats, standing
from otce.intervals import Side
from tests.drawn import widened

SEEDS = st.integers(0, 2**32)
DIGEST = "ab" * 32
SEED = int(DIGEST, 16)


def images_of(values, digest=DIGEST, first=0):
    values = np.asarray(values, dtype=float)
    items = np.arange(first, first + len(values))
    return Side(digest, items, (values - values.mean()) / len(values))


def zoo(seed, models=5, target=12, source=8):
    """Draw models of two source data sets and one target whose images do alike to all."""
    generator = np.random.default_rng(seed)
    alike = generator.normal(size=target)
    sides = [
        [
            images_of(alike + 0.5 * generator.normal(size=target)),
            images_of(generator.normal(size=source), digest="cd" if m % 2 else "ef"),
        ]
        for m in range(models)
    ]
    return 0.5 * generator.normal(size=models), sides


@given(seed=SEEDS, n=st.integers(2, 30))
def test_models_of_the_same_images_are_compared_by_the_paired_t_test(seed, n):
    generator = np.random.default_rng(seed)
    one, other = generator.normal(size=(2, n)) + 3 * generator.normal(size=n)
    p = p_beats(np.array([one.mean(), other.mean()]), [[images_of(one)], [images_of(other)]])
    expected = stats.ttest_1samp(widened(one - other), 0, alternative="less").pvalue
    assert p[0, 1] == pytest.approx(expected)


@given(seed=SEEDS)
def test_models_of_different_images_are_compared_by_welchs_test(seed):
    generator = np.random.default_rng(seed)
    one, other = generator.normal(size=9), 3 * generator.normal(size=6)
    blind = images_of(np.zeros(5))
    sides = [[blind, images_of(one, "cd")], [blind, images_of(other, "ef")]]
    samples = widened(one), widened(other)
    expected = stats.ttest_ind(*samples, equal_var=False, alternative="less").pvalue
    assert p_beats(np.array([one.mean(), other.mean()]), sides)[0, 1] == pytest.approx(expected)


@given(seed=SEEDS)
def test_images_are_matched_by_their_positions(seed):
    """Of which a model may have none: no influence is then known but 0."""
    values = np.random.default_rng(seed).normal(size=6)
    one, apart = images_of(values), images_of(values, first=6)
    means = np.array([0.3, 0.0])
    together = p_beats(means, [[one], [one]])[0, 1]
    assert together == 1
    margin = 0.3 / np.sqrt(2 * one.variance)
    # Both know five degrees of freedom; a common data set is not counted twice.
    assert p_beats(means, [[one], [apart]])[0, 1] == pytest.approx(stats.t.cdf(margin, 5))


@given(seed=SEEDS)
def test_one_beats_the_other_or_the_other_beats_it(seed):
    p = p_beats(*zoo(seed))
    assert np.array_equal(p + p.T, np.ones_like(p))
    assert ((p >= 0) & (p <= 1)).all()


@settings(max_examples=20)
@given(seed=SEEDS)
def test_some_model_is_the_best_and_ranks_are_ordered(seed):
    means, sides = zoo(seed)
    found = standing(means, sides, SEED)
    assert found.p_best.sum() == pytest.approx(1)
    assert (found.rank_low <= found.rank_high).all()
    assert found.rank_low.min() == 1
    assert found.rank_high.max() <= len(means)


@settings(max_examples=20)
@given(seed=SEEDS, constant=st.floats(-100, 100), scale=st.floats(0.01, 100))
def test_neither_unit_nor_origin_of_the_score_matters(seed, constant, scale):
    means, sides = zoo(seed)
    scaled = [[Side(s.digest, s.items, scale * s.influence) for s in pair] for pair in sides]
    moved = scale * means + constant
    assert p_beats(moved, scaled) == pytest.approx(p_beats(means, sides), abs=1e-6)
    one, other = standing(means, sides, SEED), standing(moved, scaled, SEED)
    assert one.p_best == pytest.approx(other.p_best, abs=2e-3)
    assert np.abs(one.rank_low - other.rank_low).max() <= 1


@settings(max_examples=20)
@given(seed=SEEDS)
def test_two_models_are_best_as_often_as_they_beat_each_other(seed):
    means, sides = zoo(seed, models=2)
    found = standing(means, sides, SEED)
    # 2000 draws, and Welch's degrees of freedom are an approximation of the sum of two t.
    assert found.p_best[0] == pytest.approx(p_beats(means, sides)[0, 1], abs=0.06)


def test_models_that_are_the_same_share_the_best_place():
    means, sides = zoo(3, models=3)
    found = standing(means[[0, 1, 2, 2]] + [0, 0, 9, 9], [*sides, sides[2]], SEED)
    assert found.p_best.tolist() == [0, 0, 0.5, 0.5]
    assert found.rank_high[2:].tolist() == [1, 1]
    assert p_beats(means[[2, 2]], [sides[2], sides[2]])[0, 1] == 0.5


def test_what_all_models_feel_alike_tells_them_apart_not_less():
    """Images that move all scores by the same hide no difference between them."""
    alike = images_of([-3.0, 0.0, 3.0])
    means = np.array([-0.50, -0.49, -0.48])
    assert standing(means, [[alike]] * 3, SEED).p_best.tolist() == [0, 0, 1]
    assert p_beats(means, [[alike]] * 3)[2].tolist() == [1, 1, 0.5]


def test_the_draws_are_those_of_the_target():
    means, sides = zoo(0)
    first, again = (standing(means, sides, SEED) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(first.p_best, standing(means, sides, SEED + 1).p_best)
