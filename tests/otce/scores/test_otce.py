"""The score's contract, closed forms, and agreement with the definition worked out slowly."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import otce
from otce.recipe import PRESETS, preset_name
from otce.scores import score_pixels
from tests.drawn import (
    Draw,
    clouds,
    costs,
    entropy,
    joint_of,
    largest_cost,
    otce_of,
    separated,
    sinkhorn_plan,
    softmin_plan,
    uniform,
)

SEEDS = st.integers(0, 2**32 - 1)
WEIGHTS = ("uniform", "balanced", "balanced_source", "target_prior")
TIGHT = {"feature_scaling": "none", "epsilon": 1.0, "tolerance": 1e-9}


def balanced_weights(labels):
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return 1 / counts[index] / len(counts)


def prior_weights(labels, target_labels):
    """Source pixels of class c share the target's share of c; then the sum is made 1."""
    shared = [np.mean(target_labels == label) / np.sum(labels == label) for label in labels]
    return np.array(shared) / np.sum(shared)


def weights_by_hand(draw, class_weights):
    a_N, b_M = uniform(len(draw.source_y)), uniform(len(draw.target_y))
    if class_weights == "balanced":
        b_M = balanced_weights(draw.target_y)
    if class_weights in ("balanced", "balanced_source"):
        a_N = balanced_weights(draw.source_y)
    if class_weights == "target_prior":
        a_N = prior_weights(draw.source_y, draw.target_y)
    return a_N, b_M


def joint_by_hand(draw, class_weights, relaxation, epsilon):
    a_N, b_M = weights_by_hand(draw, class_weights)
    used = a_N > 0
    cost_NM = costs(draw.source_ND[used], draw.target_MD)
    if relaxation == "source":
        plan_NM = softmin_plan(cost_NM, a_N[used], b_M, epsilon)
    else:
        plan_NM = sinkhorn_plan(cost_NM, a_N[used], b_M, epsilon)
    whole_NM = np.zeros((len(a_N), len(b_M)))
    whole_NM[used] = plan_NM
    return joint_of(whole_NM, draw.source_y, draw.target_y), entropy(
        [b_M[draw.target_y == label].sum() for label in np.unique(draw.target_y)]
    )


def test_every_field_has_its_type_shape_and_range():
    draw = clouds(0, n=24, m=20, n_source=4, n_target=3)
    score = score_pixels(
        draw.source_ND, draw.source_y * 10, draw.target_MD, draw.target_y - 5, epsilon=0.5
    )
    assert isinstance(score, otce.Score)
    assert {field.name for field in fields(score)} == set(vars(score))
    for name in ("otce", "normalized", "transport_cost", "target_entropy", "marginal_error"):
        assert type(getattr(score, name)) is float
    assert (type(score.n_iterations), score.converged) == (int, True)
    assert (score.joint.shape, score.joint.dtype) == ((4, 3), np.float64)
    assert (score.pixel_risk.shape, score.pixel_risk.dtype) == ((20,), np.float64)
    assert score.source_classes.tolist() == [0, 10, 20, 30]
    assert score.target_classes.tolist() == [-5, -4, -3]
    assert score.source_classes.dtype == score.target_classes.dtype == np.int64
    assert score.n_iterations > 0
    assert 0 <= score.marginal_error <= 1e-3
    assert score.transport_cost > 0
    assert score.degenerate == "none"


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    weights=st.sampled_from(WEIGHTS),
    relaxation=st.sampled_from(["none", "source"]),
    solver=st.sampled_from(["auto", "emd"]),
)
def test_the_numbers_of_a_score_fit_together(seed, weights, relaxation, solver):
    draw = clouds(seed, n=15, m=18)
    score = score_pixels(
        *draw.arguments, epsilon=1.0, class_weights=weights, relaxation=relaxation, solver=solver
    )
    assert score.joint.min() >= 0
    assert score.joint.sum() == pytest.approx(1, abs=1e-12)
    assert score.pixel_risk.min() >= -1e-15
    assert score.pixel_risk.sum() == pytest.approx(-score.otce, abs=1e-12)
    assert otce_of(score.joint) == pytest.approx(score.otce, abs=1e-12)
    assert score.target_entropy == pytest.approx(entropy(score.joint.sum(axis=0)), abs=1e-12)
    assert score.normalized == pytest.approx(1 + score.otce / score.target_entropy, abs=1e-12)


@pytest.mark.parametrize("class_weights", WEIGHTS)
@pytest.mark.parametrize("relaxation", ["none", "source"])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_coupling_is_the_one_worked_out_by_hand(class_weights, relaxation, seed):
    draw = clouds(seed, n=26, m=19, n_source=4, n_target=3, size=0.5)
    score = score_pixels(
        *draw.arguments, class_weights=class_weights, relaxation=relaxation, **TIGHT
    )
    joint_ST, target_entropy = joint_by_hand(draw, class_weights, relaxation, TIGHT["epsilon"])
    np.testing.assert_allclose(score.joint, joint_ST, atol=1e-8)
    assert score.otce == pytest.approx(otce_of(joint_ST), abs=1e-6)
    assert score.target_entropy == pytest.approx(target_entropy, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 14), m=st.integers(1, 14), n_classes=st.integers(1, 4))
def test_the_default_is_brute_force_on_standardized_features(seed, n, m, n_classes):
    draw = clouds(seed, n=n, m=m, n_source=n_classes, n_target=3)
    epsilon = largest_cost(draw, "standardize") / 5
    both = np.concatenate([draw.source_ND, draw.target_MD])
    deviation = both.std(axis=0)
    cost_NM = costs(draw.source_ND / deviation, draw.target_MD / deviation) / both.shape[1]
    plan_NM = sinkhorn_plan(cost_NM, uniform(n), uniform(m), epsilon, error=1e-9)
    score = score_pixels(*draw.arguments, epsilon=epsilon, tolerance=1e-9)
    wanted = otce_of(joint_of(plan_NM, draw.source_y, draw.target_y))
    assert score.otce == pytest.approx(wanted, abs=1e-6)
    assert score.transport_cost == pytest.approx((plan_NM * cost_NM).sum(), abs=1e-6)


@pytest.mark.parametrize("feature_scaling", ["none", "standardize", "softmax", "l2"])
@pytest.mark.parametrize("relaxation", ["none", "source"])
def test_a_constant_cost_scores_minus_the_target_entropy(feature_scaling, relaxation):
    target_y = np.array([3] * 5 + [4] * 2 + [9])
    score = score_pixels(
        np.full((12, 4), 2.5),
        np.arange(12) % 3,
        np.full((8, 4), 2.5),
        target_y,
        feature_scaling=feature_scaling,
        relaxation=relaxation,
    )
    assert score.otce == pytest.approx(-entropy([5 / 8, 2 / 8, 1 / 8]), abs=1e-12)
    assert score.normalized == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(score.joint, np.outer([1 / 3] * 3, [5 / 8, 2 / 8, 1 / 8]))


@pytest.mark.parametrize(
    "settings_", [{}, {"relaxation": "source"}, {"solver": "emd"}, {"class_weights": "balanced"}]
)
@pytest.mark.parametrize("feature_scaling", ["none", "standardize"])
def test_separated_classes_score_zero(settings_, feature_scaling):
    score = score_pixels(
        *separated().arguments, feature_scaling=feature_scaling, epsilon=0.05, **settings_
    )
    assert score.otce == pytest.approx(0, abs=1e-9)
    assert score.normalized == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(score.joint, np.eye(3) / 3, atol=1e-6)


def test_other_class_shares_cost_the_balanced_coupling_only():
    draw = separated()
    kept = np.flatnonzero((draw.source_y != 0) | (np.arange(12) < 1))
    rare = Draw(draw.source_ND[kept], draw.source_y[kept], draw.target_MD, draw.target_y)
    recipe = {"feature_scaling": "none", "epsilon": 0.05}
    assert score_pixels(*rare.arguments, solver="emd", **recipe).otce < -0.1
    assert score_pixels(*rare.arguments, relaxation="source", **recipe).otce > -1e-9
    assert score_pixels(*rare.arguments, class_weights="balanced", **recipe).otce > -1e-3


def test_target_prior_uses_no_source_class_that_the_target_lacks():
    draw = clouds(3, n=20, m=16, n_source=4, n_target=2)
    found = score_pixels(*draw.arguments, class_weights="target_prior")
    assert found.source_classes.tolist() == [0, 1, 2, 3]
    assert found.joint[2:].tolist() == [[0, 0], [0, 0]]
    np.testing.assert_allclose(found.joint.sum(axis=1)[:2], [0.5, 0.5], atol=1e-3)


@pytest.mark.parametrize(
    ("n_source", "n_target", "side"), [(3, 1, "target"), (1, 1, "target"), (1, 3, "source")]
)
@pytest.mark.parametrize("relaxation", ["none", "source"])
def test_a_side_of_one_class_is_told(n_source, n_target, side, relaxation):
    draw = clouds(0, n=12, m=15, n_source=n_source, n_target=n_target)
    score = score_pixels(*draw.arguments, relaxation=relaxation)
    assert score.degenerate == side
    assert score.normalized == pytest.approx(0, abs=1e-12)
    assert score.otce == pytest.approx(-np.log(n_target), abs=1e-12)
    if side == "target":
        assert (score.otce, score.normalized, score.target_entropy) == (0, 0, 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("as_torch", [False, True])
def test_the_kind_of_array_changes_nothing(dtype, as_torch):
    draw = clouds(5)
    coarse = [draw.source_ND.astype(np.float16), draw.target_MD.astype(np.float16)]
    wanted = score_pixels(coarse[0], draw.source_y, coarse[1], draw.target_y)
    source_ND, target_MD = (features.astype(dtype) for features in coarse)
    given = [source_ND, draw.source_y.astype(np.int32), target_MD, draw.target_y.astype(np.uint8)]
    if as_torch:
        given = [torch.from_numpy(array) for array in given]
        given[0].requires_grad_()
    score = score_pixels(*given)
    assert score.otce == wanted.otce
    np.testing.assert_array_equal(score.joint, wanted.joint)
    np.testing.assert_array_equal(score.pixel_risk, wanted.pixel_risk)


def test_inputs_are_left_as_they_were():
    draw = clouds(6)
    before = [array.copy() for array in draw.arguments]
    for feature_scaling in ("none", "standardize", "softmax", "l2"):
        score_pixels(*draw.arguments, feature_scaling=feature_scaling)
    for array, copy in zip(draw.arguments, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", ["default", "paper"])
def test_presets_run_and_are_named(name):
    recipe = PRESETS[name]["score"]
    assert score_pixels(*clouds(7).arguments, **recipe).otce < 0
    assert preset_name(**recipe) == name
    assert preset_name(**recipe | {"epsilon": 0.2}) == "custom"


@pytest.mark.parametrize("class_weights", WEIGHTS)
def test_our_solver_and_pot_agree(class_weights):
    draw = clouds(8)
    auto, pot = (
        score_pixels(*draw.arguments, solver=solver, class_weights=class_weights, tolerance=1e-9)
        for solver in ("auto", "pot")
    )
    assert auto.otce == pytest.approx(pot.otce, abs=1e-7)
    assert auto.transport_cost == pytest.approx(pot.transport_cost, abs=1e-7)
    np.testing.assert_allclose(auto.pixel_risk, pot.pixel_risk, atol=1e-8)


def test_low_epsilon_is_exact_transport():
    draw = clouds(9, n=16, m=16)
    exact = score_pixels(*draw.arguments, feature_scaling="none", solver="emd")
    entropic = score_pixels(*draw.arguments, feature_scaling="none", epsilon=0.01)
    assert entropic.otce == pytest.approx(exact.otce, abs=0.01)
    assert entropic.transport_cost == pytest.approx(exact.transport_cost, abs=0.01)


@pytest.mark.gpu
@pytest.mark.parametrize("relaxation", ["none", "source"])
def test_cuda_gives_what_the_cpu_gives(relaxation):
    draw = clouds(10, n=300, m=200)
    recipe = {"relaxation": relaxation, "tolerance": 1e-9}
    on_cpu = score_pixels(*draw.arguments, **recipe)
    on_gpu = score_pixels(*draw.arguments, device="cuda", **recipe)
    assert on_gpu.otce == pytest.approx(on_cpu.otce, abs=1e-6)
    np.testing.assert_allclose(on_gpu.pixel_risk, on_cpu.pixel_risk, atol=1e-6)
