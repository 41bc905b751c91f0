"""What must hold for every draw: the laws of conditional entropy and of couplings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.scores import score_pixels
from tests.drawn import clouds, largest_cost

EXAMPLES = settings(max_examples=50, deadline=None)


@st.composite
def problems(draw):
    """A draw of pixels and a recipe for it."""
    drawn = clouds(
        draw(st.integers(0, 2**32 - 1)),
        n=draw(st.integers(1, 16)),
        m=draw(st.integers(1, 16)),
        dim=draw(st.integers(1, 5)),
        n_source=draw(st.integers(1, 5)),
        n_target=draw(st.integers(1, 5)),
    )
    scaling = draw(st.sampled_from(["standardize", "softmax", "l2", "none"]))
    recipe = {
        "epsilon": draw(st.floats(0.1, 10)) * largest_cost(drawn, scaling),
        "feature_scaling": scaling,
        "relaxation": draw(st.sampled_from(["none", "source"])),
        "tolerance": 1e-6,
    }
    return drawn, recipe


class_weights = st.sampled_from(["uniform", "balanced", "balanced_source"])


@EXAMPLES
@given(problems(), class_weights)
def test_the_score_is_between_minus_the_target_entropy_and_zero(problem, weights):
    drawn, recipe = problem
    score = score_pixels(*drawn.arguments, class_weights=weights, **recipe)
    n_classes = len(np.unique(drawn.target_y))
    assert -np.log(n_classes) - 1e-12 <= -score.target_entropy
    assert -score.target_entropy - 1e-12 <= score.otce <= 0
    assert 0 <= score.normalized <= 1


@EXAMPLES
@given(problems(), class_weights, st.randoms(use_true_random=False))
def test_the_order_of_pixels_does_not_matter(problem, weights, random):
    drawn, recipe = problem
    n, m = len(drawn.source_y), len(drawn.target_y)
    rows, columns = random.sample(range(n), n), random.sample(range(m), m)
    score = score_pixels(*drawn.arguments, class_weights=weights, **recipe)
    other = score_pixels(
        drawn.source_ND[rows],
        drawn.source_y[rows],
        drawn.target_MD[columns],
        drawn.target_y[columns],
        class_weights=weights,
        **recipe,
    )
    assert other.otce == pytest.approx(score.otce, abs=1e-5)
    np.testing.assert_allclose(other.pixel_risk, score.pixel_risk[columns], atol=1e-5)


@EXAMPLES
@given(problems(), class_weights, st.permutations(range(5)), st.permutations(range(5)))
def test_the_names_of_classes_do_not_matter(problem, weights, source_names, target_names):
    drawn, recipe = problem
    score = score_pixels(*drawn.arguments, class_weights=weights, **recipe)
    source_y = 100 * np.array(source_names)[drawn.source_y]
    target_y = np.array(target_names)[drawn.target_y] - 3
    other = score_pixels(
        drawn.source_ND, source_y, drawn.target_MD, target_y, class_weights=weights, **recipe
    )
    assert other.otce == pytest.approx(score.otce, abs=1e-9)
    np.testing.assert_allclose(other.pixel_risk, score.pixel_risk, atol=1e-9)
    rows = np.searchsorted(other.source_classes, 100 * np.array(source_names)[score.source_classes])
    columns = np.searchsorted(
        other.target_classes, np.array(target_names)[score.target_classes] - 3
    )
    np.testing.assert_allclose(other.joint[np.ix_(rows, columns)], score.joint, atol=1e-9)


@EXAMPLES
@given(problems(), st.integers(0, 4), st.integers(0, 4))
def test_merging_target_classes_cannot_lower_the_score(problem, merged, into):
    drawn, recipe = problem
    target_y = np.where(drawn.target_y == merged, into, drawn.target_y)
    score = score_pixels(*drawn.arguments, **recipe)
    other = score_pixels(drawn.source_ND, drawn.source_y, drawn.target_MD, target_y, **recipe)
    assert other.otce >= score.otce - 1e-9


@EXAMPLES
@given(problems(), st.integers(0, 4), st.integers(0, 4))
def test_merging_source_classes_cannot_raise_the_score(problem, merged, into):
    drawn, recipe = problem
    source_y = np.where(drawn.source_y == merged, into, drawn.source_y)
    score = score_pixels(*drawn.arguments, **recipe)
    other = score_pixels(drawn.source_ND, source_y, drawn.target_MD, drawn.target_y, **recipe)
    assert other.otce <= score.otce + 1e-9


@EXAMPLES
@given(problems(), class_weights, st.integers(-60, 60))
def test_scaling_cost_and_epsilon_together_changes_no_bit(problem, weights, power):
    """Powers of two scale without rounding, so that even the iterations are the same."""
    drawn, recipe = problem
    recipe |= {"feature_scaling": "none", "epsilon": largest_cost(drawn) / 5}
    recipe["class_weights"] = weights
    size = 2.0**power
    score = score_pixels(*drawn.arguments, **recipe)
    other = score_pixels(
        size * drawn.source_ND,
        drawn.source_y,
        size * drawn.target_MD,
        drawn.target_y,
        **recipe | {"epsilon": recipe["epsilon"] * size**2},
    )
    assert other.otce == score.otce
    assert other.n_iterations == score.n_iterations
    assert other.transport_cost == score.transport_cost * size**2


@pytest.mark.parametrize("epsilon", [2.758, 11.767, 17.931])
def test_epsilons_whose_root_was_rounded_as_a_power_scale_with_the_cost(epsilon):
    """Their features were once in units that differed in the last bit from those of 4 epsilon."""
    drawn = clouds(3, n=6, m=9, dim=1)
    recipe = {"feature_scaling": "none", "tolerance": 1e-6}
    score = score_pixels(*drawn.arguments, epsilon=epsilon, **recipe)
    other = score_pixels(
        2 * drawn.source_ND,
        drawn.source_y,
        2 * drawn.target_MD,
        drawn.target_y,
        epsilon=4 * epsilon,
        **recipe,
    )
    assert (other.otce, other.transport_cost) == (score.otce, 4 * score.transport_cost)


@EXAMPLES
@given(problems(), st.floats(1e-6, 1e6), st.floats(-100, 100))
def test_scaling_and_moving_features_changes_nothing_when_they_are_standardized(
    problem, size, shift
):
    drawn, recipe = problem
    recipe |= {"feature_scaling": "standardize", "epsilon": largest_cost(drawn, "standardize") / 5}
    score = score_pixels(*drawn.arguments, **recipe)
    other = score_pixels(
        size * (drawn.source_ND + shift),
        drawn.source_y,
        size * (drawn.target_MD + shift),
        drawn.target_y,
        **recipe,
    )
    assert other.otce == pytest.approx(score.otce, abs=1e-5)


@EXAMPLES
@given(problems())
def test_turning_features_changes_nothing_when_they_are_raw(problem):
    drawn, recipe = problem
    recipe |= {"feature_scaling": "none", "epsilon": largest_cost(drawn) / 5}
    dim = drawn.source_ND.shape[1]
    turn_DD = np.linalg.qr(np.random.default_rng(dim).normal(size=(dim, dim)))[0]
    score = score_pixels(*drawn.arguments, **recipe)
    other = score_pixels(
        drawn.source_ND @ turn_DD,
        drawn.source_y,
        drawn.target_MD @ turn_DD,
        drawn.target_y,
        **recipe,
    )
    assert other.otce == pytest.approx(score.otce, abs=1e-5)


@EXAMPLES
@given(problems(), st.integers(2, 4))
def test_taking_every_pixel_more_often_changes_nothing(problem, times):
    drawn, recipe = problem
    score = score_pixels(*drawn.arguments, **recipe)
    other = score_pixels(*(np.repeat(array, times, axis=0) for array in drawn.arguments), **recipe)
    assert other.otce == pytest.approx(score.otce, abs=1e-5)
    assert other.transport_cost == pytest.approx(score.transport_cost, abs=1e-4)
