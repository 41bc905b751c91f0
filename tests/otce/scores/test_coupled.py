"""Scores of one coupling; their influences against brute force with pixels counted otherwise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.errors import TransportError
from otce.scores import score_pixels
from otce.scores.coupled import couple_and_measure, measure, measure_pixels
from otce.scores.pixels import Pixels
from tests.drawn import (
    Draw,
    clouds,
    costs,
    entropy,
    joint_of,
    otce_of,
    separated,
    sinkhorn_plan,
    softmin_plan,
)

EXAMPLES = settings(max_examples=25, deadline=None)
WEIGHTS = ("uniform", "balanced", "balanced_source", "target_prior")
METRICS = ("otce", "normalized", "wasserstein")
TIGHT = {"feature_scaling": "none", "epsilon": 1.0, "tolerance": 1e-9}
STEP = 1e-3


def weights_of(draw, class_weights, source_times, target_times):
    """Weights of pixels that count so and so often."""

    def by_class(labels, times):
        shares = [times[labels == label].sum() for label in labels]
        return times / np.array(shares)

    a_N, b_M = source_times / source_times.sum(), target_times / target_times.sum()
    if class_weights != "uniform":
        a_N = by_class(draw.source_y, source_times)
    if class_weights == "balanced":
        b_M = by_class(draw.target_y, target_times)
    if class_weights == "target_prior":
        a_N = a_N * [target_times[draw.target_y == label].sum() for label in draw.source_y]
    return a_N / a_N.sum(), b_M / b_M.sum()


def scores_of(draw, class_weights, relaxation, source_times, target_times):
    a_N, b_M = weights_of(draw, class_weights, source_times, target_times)
    used = a_N > 0
    cost_NM = costs(draw.source_ND[used], draw.target_MD)
    plan = softmin_plan if relaxation == "source" else sinkhorn_plan
    plan_NM = plan(cost_NM, a_N[used], b_M, TIGHT["epsilon"])
    joint_ST = joint_of(plan_NM, draw.source_y[used], draw.target_y)
    otce = otce_of(joint_ST)
    normalized = 1 + otce / entropy(joint_ST.sum(axis=0))
    return np.array([otce, normalized, -(plan_NM * cost_NM).sum()])


def changes(draw, class_weights, relaxation, side, pixels):
    """Central differences of the scores by how often some pixels count."""
    found = []
    for step in (STEP, -STEP):
        times = [np.ones(len(draw.source_y)), np.ones(len(draw.target_y))]
        times[side][pixels] = np.exp(step)
        found.append(scores_of(draw, class_weights, relaxation, *times))
    return (found[0] - found[1]) / (2 * STEP)


@pytest.mark.parametrize("class_weights", WEIGHTS)
@pytest.mark.parametrize("relaxation", ["none", "source"])
@pytest.mark.parametrize("side", [0, 1])
def test_influences_of_groups_of_pixels_are_central_differences(class_weights, relaxation, side):
    draw = clouds(3, n=18, m=15, n_source=4, n_target=3, size=0.7)
    found = measure_pixels(
        *draw.arguments, class_weights=class_weights, relaxation=relaxation, **TIGHT
    )
    for start in range(0, 12, 4):
        pixels = np.arange(start, start + 4)
        wanted = changes(draw, class_weights, relaxation, side, pixels)
        influences = [
            (getattr(found, name).source_influence, getattr(found, name).target_influence)[side]
            for name in METRICS
        ]
        got = [influence[pixels].sum() for influence in influences]
        # Of the balanced coupling they are solved to a relative error of 1e-2.
        sizes = [np.abs(influence).sum() for influence in influences]
        error = 1e-6 if relaxation == "source" else 5e-3
        assert (np.abs(got - wanted) <= error * np.array(sizes) + 1e-9).all()


@pytest.mark.parametrize("solver", ["auto", "pot"])
def test_solvers_give_the_same_influences(solver, as_if_large):
    draw = clouds(4, n=40, m=35, n_source=4, n_target=3, size=0.5)
    recipe = {"feature_scaling": "none", "epsilon": 0.3, "tolerance": 1e-4}
    wanted = measure_pixels(*draw.arguments, solver="pot", **recipe | {"tolerance": 1e-7})
    found = measure_pixels(*draw.arguments, solver=solver, **recipe)
    for name in METRICS:
        for side in ("source_influence", "target_influence"):
            got, want = (getattr(getattr(each, name), side) for each in (found, wanted))
            assert np.linalg.norm(got - want) <= 0.02 * np.linalg.norm(want)


def test_influences_of_exact_transport_tell_how_the_plan_on_its_pairs_moves():
    draw = clouds(5, n=13, m=17, n_source=3, n_target=3)
    found = measure_pixels(*draw.arguments, solver="emd", feature_scaling="none").wasserstein
    for pixel in range(4):
        times = np.ones(13)
        costs_of = []
        for step in (STEP, -STEP):
            times[pixel] = 1 + step
            a_N, b_M = weights_of(draw, "uniform", times, np.ones(17))
            costs_of.append(exact_cost(draw, a_N, b_M))
        wanted = -(costs_of[0] - costs_of[1]) / (2 * STEP)
        error = 0.01 * np.abs(found.source_influence).sum()
        assert found.source_influence[pixel] == pytest.approx(wanted, abs=error)


def exact_cost(draw, a_N, b_M):
    ot = pytest.importorskip("ot")
    return ot.emd2(a_N, b_M, costs(draw.source_ND, draw.target_MD))


@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 14),
    m=st.integers(1, 14),
    class_weights=st.sampled_from(WEIGHTS),
    relaxation=st.sampled_from(["none", "source"]),
    solver=st.sampled_from(["auto", "emd"]),
)
def test_influences_sum_to_zero_on_each_side(seed, n, m, class_weights, relaxation, solver):
    draw = clouds(seed, n=n, m=m)
    recipe = {"class_weights": class_weights, "relaxation": relaxation, "solver": solver}
    found = measure_pixels(*draw.arguments, **recipe)
    for name in METRICS:
        measured = getattr(found, name)
        assert (len(measured.source_influence), len(measured.target_influence)) == (n, m)
        for influence in (measured.source_influence, measured.target_influence):
            assert np.isfinite(influence).all()
            assert abs(influence.sum()) <= 1e-9 * max(np.abs(influence).max(), 1)
    by_class = ["balanced"] if class_weights == "balanced" else []
    for side, labels in ((1, draw.target_y), (0, draw.source_y)):
        if not by_class and (side == 1 or class_weights == "uniform"):
            continue
        influence = (found.otce.source_influence, found.otce.target_influence)[side]
        for label in np.unique(labels):
            assert influence[labels == label].sum() == pytest.approx(0, abs=1e-9)


@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    class_weights=st.sampled_from(WEIGHTS),
    relaxation=st.sampled_from(["none", "source"]),
    random=st.randoms(use_true_random=False),
)
def test_influences_follow_their_pixels(seed, class_weights, relaxation, random):
    draw = clouds(seed, n=12, m=10)
    rows, columns = random.sample(range(12), 12), random.sample(range(10), 10)
    recipe = {"class_weights": class_weights, "relaxation": relaxation, "tolerance": 1e-7}
    recipe |= {"epsilon": 1.0}
    found = measure_pixels(*draw.arguments, **recipe)
    other = measure_pixels(
        draw.source_ND[rows],
        draw.source_y[rows],
        draw.target_MD[columns],
        draw.target_y[columns],
        **recipe,
    )
    for name in METRICS:
        one, two = getattr(found, name), getattr(other, name)
        np.testing.assert_allclose(two.source_influence, one.source_influence[rows], atol=1e-4)
        np.testing.assert_allclose(two.target_influence, one.target_influence[columns], atol=1e-4)


@pytest.mark.parametrize("relaxation", ["none", "source"])
@pytest.mark.parametrize("solver", ["auto", "pot", "emd"])
def test_the_score_is_to_the_bit_that_of_score_pixels(relaxation, solver, way):
    draw = clouds(6, n=30, m=25, n_source=4)
    recipe = {"relaxation": relaxation, "solver": solver}
    found = measure_pixels(*draw.arguments, **recipe)
    score = score_pixels(*draw.arguments, **recipe)
    assert found.score.otce == score.otce == found.otce.value
    assert found.score.normalized == score.normalized == found.normalized.value
    assert -found.score.transport_cost == -score.transport_cost == found.wasserstein.value
    np.testing.assert_array_equal(found.score.pixel_risk, score.pixel_risk)


@pytest.mark.parametrize("relaxation", ["none", "source"])
@pytest.mark.parametrize("n_source", [1, 3])
def test_a_target_of_one_class_has_no_influences_on_entropies(relaxation, n_source):
    draw = clouds(0, n=12, m=15, n_source=n_source, n_target=1)
    found = measure_pixels(*draw.arguments, relaxation=relaxation)
    for measured in (found.otce, found.normalized):
        assert not measured.source_influence.any()
        assert not measured.target_influence.any()
    assert found.wasserstein.target_influence.any()


def test_a_source_of_one_class_leaves_the_influences_on_the_target_entropy():
    draw = clouds(0, n=12, m=15, n_source=1, n_target=3)
    found = measure_pixels(*draw.arguments)
    target_y = draw.target_y
    shares = np.bincount(target_y)[target_y] / 15
    wanted = (np.log(shares) - np.log(shares).mean()) / 15
    np.testing.assert_allclose(found.otce.source_influence, 0, atol=1e-9)
    np.testing.assert_allclose(found.otce.target_influence, wanted, atol=1e-9)
    np.testing.assert_allclose(found.normalized.target_influence, 0, atol=1e-9)


def test_separated_classes_have_no_influences_where_the_source_marginal_is_free():
    found = measure_pixels(
        *separated().arguments, relaxation="source", feature_scaling="none", epsilon=0.05
    )
    np.testing.assert_allclose(found.otce.source_influence, 0, atol=1e-9)
    np.testing.assert_allclose(found.otce.target_influence, 0, atol=1e-9)


def test_a_source_pixel_without_weight_has_no_influence():
    draw = clouds(3, n=20, m=16, n_source=4, n_target=2)
    found = measure_pixels(*draw.arguments, class_weights="target_prior", relaxation="source")
    assert not found.otce.source_influence[draw.source_y >= 2].any()
    assert found.otce.source_influence[draw.source_y < 2].all()


def test_groups_that_exchange_nothing_have_finite_influences():
    """Mass would have to cross a gap that no potential spans: no derivative tells of that."""
    draw = separated(12, 15)
    far = Draw(30 * draw.source_ND, draw.source_y, 30 * draw.target_MD, draw.target_y)
    found = measure_pixels(*far.arguments, feature_scaling="none", tolerance=1e-2)
    assert np.abs(found.otce.target_influence).max() < 1e-3


def test_couplings_at_several_epsilons_have_a_derivative_at_the_smallest_only():
    draw = clouds(8)
    pixels = Pixels.of(
        *draw.arguments, feature_scaling="none", class_weights="uniform", device=None
    )
    recipe = {"relaxation": "none", "solver": "auto", "tolerance": 1e-3, "max_iterations": 1000}
    small, large = pixels.couple((1.0, 3.0), onehot_MT=pixels.target_onehot, **recipe)
    assert (small.epsilon, large.epsilon) == (1.0, pytest.approx(3.0))
    one = couple_and_measure(pixels, epsilon=1.0, **recipe)
    two = measure(pixels, small)
    np.testing.assert_allclose(two.otce.source_influence, one.otce.source_influence, atol=2e-3)
    with pytest.raises(TransportError, match="no derivative"):
        measure(pixels, large)


@pytest.mark.parametrize("relaxation", ["none", "source"])
def test_potentials_extend_the_plan_to_pixels_that_were_not_there(relaxation):
    draw = clouds(9, n=20, m=18)
    pixels = Pixels.of(
        *draw.arguments, feature_scaling="none", class_weights="balanced", device=None
    )
    (coupling,) = pixels.couple(
        (1.5,), relaxation=relaxation, solver="auto", tolerance=1e-9, max_iterations=1000
    )
    cost_NM = costs(pixels.source_ND.numpy(), pixels.target_MD.numpy())
    column_NM = (coupling.f_N.numpy()[:, None] - cost_NM) / coupling.epsilon
    column_NM = pixels.a_N.numpy()[:, None] * np.exp(column_NM)
    mass_SM = pixels.onehot_NS.numpy().T @ (column_NM / column_NM.sum(axis=0) * pixels.b_M.numpy())
    np.testing.assert_allclose(mass_SM, coupling.mass_SM.numpy(), atol=1e-8)
