"""OTCE with its domain term: the fit is least squares, and refused where nothing determines it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.errors import DataError
from otce.scores.otce_full import Coefficients, fit, otce_full

EXAMPLES = settings(max_examples=50, deadline=None)
EXACT = {"rel": 1e-6, "abs": 1e-6}


def drawn(seed, pairs):
    generator = np.random.default_rng(seed)
    return generator.uniform(0, 5, pairs), generator.uniform(0, 2, pairs), generator.normal(size=3)


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), pairs=st.integers(4, 30))
def test_coefficients_that_made_the_accuracies_are_found(seed, pairs):
    domain, task, (first, second, bias) = drawn(seed, pairs)
    found = fit(domain, task, first * domain + second * task + bias)
    assert (found.domain, found.task) == (
        pytest.approx(first, **EXACT),
        pytest.approx(second, **EXACT),
    )
    assert found.bias == pytest.approx(bias, **EXACT)
    assert found.residual == pytest.approx(0, abs=1e-9)
    assert found.n_pairs == pairs


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), pairs=st.integers(4, 30))
def test_the_fit_is_ordinary_least_squares_in_original_units(seed, pairs):
    domain, task, _ = drawn(seed, pairs)
    accuracy = np.random.default_rng(seed + 1).uniform(size=pairs)
    design = np.column_stack([domain, task, np.ones(pairs)])
    wanted, *_ = np.linalg.lstsq(design, accuracy, rcond=None)
    found = fit(domain, task, accuracy)
    np.testing.assert_allclose([found.domain, found.task, found.bias], wanted, atol=1e-7, rtol=1e-7)
    left = accuracy - design @ wanted
    assert found.residual == pytest.approx(np.sqrt(np.mean(left**2)), abs=1e-9)


def test_units_of_the_domain_term_change_no_prediction():
    domain, task, _ = drawn(0, 12)
    accuracy = np.random.default_rng(1).uniform(size=12)
    one, other = fit(domain, task, accuracy), fit(1e6 * domain, task, accuracy)
    predicted = otce_full(one, wasserstein=2.0, conditional_entropy=0.3)
    scaled = otce_full(other, wasserstein=2e6, conditional_entropy=0.3)
    assert scaled == pytest.approx(predicted, rel=1e-9)


@pytest.mark.parametrize(
    ("domain", "task", "accuracy", "message"),
    [
        ([1.0, 2.0], [0.1, 0.3], [0.5, 0.6], "at least 3 pairs"),
        ([1.0, 2.0, 4.0], [0.1, 0.3, 0.2], [0.5, 0.6], "one accuracy a pair"),
        ([1.0, 1.0, 1.0], [0.1, 0.3, 0.2], [0.5, 0.6, 0.4], "constant term"),
        ([1.0, 2.0, 4.0], [0.1, 0.2, 0.4], [0.5, 0.6, 0.4], "one line"),
        ([1.0, 2.0, float("nan")], [0.1, 0.3, 0.2], [0.5, 0.6, 0.4], "not finite"),
    ],
)
def test_pairs_that_determine_nothing_are_refused(domain, task, accuracy, message):
    with pytest.raises(DataError, match=message):
        fit(domain, task, accuracy)


@pytest.mark.parametrize("terms", [(-1.0, 0.5), (1.0, -0.5), (float("inf"), 0.5)])
def test_negated_terms_are_refused(terms):
    coefficients = Coefficients(-0.1, -1.0, 1.0, n_pairs=4, residual=0.0)
    with pytest.raises(DataError, match="at least 0"):
        otce_full(coefficients, wasserstein=terms[0], conditional_entropy=terms[1])
