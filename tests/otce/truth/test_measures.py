"""Measures of agreement against scipy, by hand, and where they have no meaning."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from otce.truth import MEASURES, measure_agreement
from otce.truth.measures import best_in_top, pearson, regret_at, rel_at_1, spearman, tau

VALUES = st.lists(st.integers(0, 6), min_size=3, max_size=12)
TRUTH = np.array([0.7, 0.5, 0.6, 0.1])


@given(st.data())
def test_correlations_are_those_of_scipy_with_ties_too(data):
    score = np.array(data.draw(VALUES), float)
    truth = np.array(data.draw(st.permutations(range(len(score)))), float) // 2
    if np.ptp(score) == 0 or np.ptp(truth) == 0:
        assert np.isnan([f(score, truth) for f in (tau, spearman, pearson)]).all()
        return
    assert tau(score, truth) == pytest.approx(stats.kendalltau(score, truth).statistic)
    assert spearman(score, truth) == pytest.approx(stats.spearmanr(score, truth).statistic)
    assert pearson(score, truth) == pytest.approx(stats.pearsonr(score, truth).statistic)


@given(st.permutations(range(6)))
def test_a_score_that_is_the_truth_is_perfect_whatever_its_scale(order):
    truth = np.array(order, float) + 1
    found = measure_agreement(np.exp(truth), truth)
    assert {name for name, v in found.items() if v == pytest.approx(1)} >= {
        "weighted_tau",
        "tau",
        "spearman",
        "rel_at_1",
        "best_in_top_1",
        "best_in_top_3",
    }
    assert found["regret_at_1"] == found["regret_at_3"] == 0
    backwards = measure_agreement(-truth, truth)
    assert backwards["tau"] == pytest.approx(-1)
    assert backwards["best_in_top_1"] == 0


def test_regret_and_hits_by_hand():
    """The score's order is b, c, a, d; the best is a, the median 0.55."""
    score = np.array([1.0, 3.0, 2.0, 0.0])
    assert rel_at_1(score, TRUTH) == pytest.approx(0.5 / 0.7)
    assert regret_at(1)(score, TRUTH) == pytest.approx(0.2 / 0.15)
    assert regret_at(2)(score, TRUTH) == pytest.approx(0.1 / 0.15)
    assert [best_in_top(k)(score, TRUTH) for k in (1, 2, 3)] == [0, 0, 1]


def test_ties_are_broken_against_the_predictor():
    score = np.array([1.0, 1.0, 1.0, 0.0])
    assert rel_at_1(score, TRUTH) == pytest.approx(0.5 / 0.7)
    assert best_in_top(2)(score, TRUTH) == 0


def test_missing_cells_are_left_out_and_two_models_say_nothing():
    score = np.array([3.0, np.nan, 2.0, 1.0])
    assert measure_agreement(score, TRUTH)["tau"] == 1
    few = measure_agreement(score, np.array([1.0, 2.0, 3.0, np.nan]))
    assert few.keys() == MEASURES.keys()
    assert np.isnan(list(few.values())).all()


def test_a_constant_column_has_no_order_to_agree_with():
    found = measure_agreement(np.ones(4), TRUTH)
    assert np.isnan([found[m] for m in ("weighted_tau", "tau", "spearman", "pearson")]).all()
    assert found["best_in_top_1"] == 0
    alike = measure_agreement(TRUTH, np.ones(4))
    assert np.isnan(alike["regret_at_1"])
    assert alike["best_in_top_1"] == 1
