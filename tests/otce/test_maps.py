"""A coupling extended to every pixel is the plan where it was drawn, and never flatters."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otce import maps
from otce.errors import DataError, TransportError
from otce.features import features_at
from otce.maps import LARGEST_RISK_NATS, couple_draw, pixel_map
from tests.drawn import clouds, costs, scale, sinkhorn_plan, softmin_plan, uniform

SEEDS = st.integers(0, 2**32 - 1)
SCALINGS = ("standardize", "softmax", "l2", "none")


def image_of(features_nD, labels, shape):
    """A feature map with one pixel a feature, and its label mask."""
    map_Dhw = torch.from_numpy(features_nD).T.reshape(-1, *shape)
    return map_Dhw, labels.reshape(shape).astype(np.int16)


@settings(max_examples=25)
@given(
    seed=SEEDS, scaling=st.sampled_from(SCALINGS), relaxation=st.sampled_from(["none", "source"])
)
def test_at_drawn_pixels_it_is_the_column_of_the_plan_by_brute_force(seed, scaling, relaxation):
    draw = clouds(seed)
    sides = [torch.from_numpy(x) for x in (draw.source_ND, draw.target_MD)]
    cost_NM = costs(*(side.numpy() for side in scale(*sides, scaling)))
    epsilon = 0.2 * cost_NM.max()
    recipe = {"epsilon": epsilon, "feature_scaling": scaling, "relaxation": relaxation}
    found = couple_draw(*draw.arguments, **recipe, tolerance=1e-10)
    solve = softmin_plan if relaxation == "source" else sinkhorn_plan
    plan_NM = solve(cost_NM, uniform(24), uniform(20), epsilon)
    mass_SM = np.stack([plan_NM[draw.source_y == label].sum(0) for label in range(3)])
    shares_nS = found.shares(draw.target_MD).numpy()
    np.testing.assert_allclose(shares_nS, (mass_SM / mass_SM.sum(0)).T, atol=1e-7)
    joint_ST = found.score.joint
    log_ST = np.log(joint_ST / joint_ST.sum(1, keepdims=True))
    by_hand = -(shares_nS * log_ST[:, draw.target_y].T).sum(1)
    risks = found.risks(torch.from_numpy(shares_nS), draw.target_y).numpy()
    np.testing.assert_allclose(risks, by_hand, rtol=1e-12)


@settings(max_examples=25)
@given(
    seed=SEEDS,
    relaxation=st.sampled_from(["none", "source"]),
    weights=st.sampled_from(["uniform", "balanced", "balanced_source", "target_prior"]),
)
def test_the_mean_over_the_drawn_pixels_is_minus_the_score(seed, relaxation, weights):
    draw = clouds(seed, n_target=2)
    found = couple_draw(*draw.arguments, relaxation=relaxation, class_weights=weights)
    risks = found.risks(found.shares(draw.target_MD), draw.target_y)
    assert float(found.pixels.b_M @ risks) == pytest.approx(-found.score.otce, rel=1e-9)
    map_Dhw, label_HW = image_of(draw.target_MD, draw.target_y, (4, 5))
    image = pixel_map(found, map_Dhw, label_HW)
    np.testing.assert_array_equal(image.risk_HW.ravel(), risks.numpy().astype(np.float32))
    if weights == "uniform":
        assert image.mean_nats == pytest.approx(-found.score.otce, rel=1e-6, abs=1e-7)


def test_large_draws_in_single_precision_keep_the_mean():
    draw = clouds(3, n=1500, m=1200, dim=8, n_source=5, n_target=4)
    for relaxation in ("none", "source"):
        found = couple_draw(*draw.arguments, relaxation=relaxation)
        risks = found.risks(found.shares(draw.target_MD), draw.target_y)
        assert float(risks.mean()) == pytest.approx(-found.score.otce, rel=1e-4)


def test_what_has_no_risk_is_nan_and_masked():
    draw = clouds(5)
    found = couple_draw(*draw.arguments)
    labels = draw.target_y.copy()
    labels[:4], labels[4:7] = -1, 77
    map_Dhw, label_HW = image_of(draw.target_MD, labels, (4, 5))
    image = pixel_map(found, map_Dhw, label_HW)
    assert image.mask_HW.sum() == 13
    np.testing.assert_array_equal(np.isnan(image.risk_HW), ~image.mask_HW)
    np.testing.assert_array_equal(image.served_HW == -1, ~image.mask_HW)
    nothing = pixel_map(found, map_Dhw, np.full((4, 5), -1))
    assert not nothing.mask_HW.any()
    assert np.isnan(nothing.risk_HW).all()
    assert nothing.mean_nats is None


def test_a_label_that_its_source_class_never_has_is_the_worst_and_not_the_best():
    """The draw's log of a probability of 0 counts as 0, which weighs nothing there and would here
    be a perfect score."""
    features = np.array([[0.0], [0.1], [900.0], [900.1]])
    found = couple_draw(features, [0, 0, 1, 1], features, [7, 7, 8, 8], feature_scaling="none")
    map_Dhw, label_HW = image_of(np.array([[0.0], [900.0], [0.05]]), np.array([8, 7, 7]), (1, 3))
    risks = pixel_map(found, map_Dhw, label_HW).risk_HW
    np.testing.assert_allclose(risks, [[LARGEST_RISK_NATS, LARGEST_RISK_NATS, 0]], atol=1e-6)


@pytest.mark.parametrize("values", [1, 40, 1 << 22])
def test_it_does_not_depend_on_the_pixels_at_once(monkeypatch, values):
    draw = clouds(6)
    found = couple_draw(*draw.arguments)
    map_Dhw, label_HW = image_of(draw.target_MD, draw.target_y, (5, 4))
    whole = pixel_map(found, map_Dhw, label_HW)
    monkeypatch.setattr(maps, "_TILE_VALUES", values)
    monkeypatch.setattr(maps, "_FEWEST_AT_ONCE", 3)
    tiled = pixel_map(found, map_Dhw, label_HW)
    np.testing.assert_allclose(tiled.risk_HW, whole.risk_HW, rtol=1e-6)
    np.testing.assert_array_equal(tiled.served_HW, whole.served_HW)


def test_equal_input_gives_equal_bytes():
    draw = clouds(7)
    map_Dhw, label_HW = image_of(draw.target_MD, draw.target_y, (5, 4))
    first, second = (pixel_map(couple_draw(*draw.arguments), map_Dhw, label_HW) for _ in "ab")
    assert first.risk_HW.tobytes() == second.risk_HW.tobytes()
    assert first.served_HW.tobytes() == second.served_HW.tobytes()


@pytest.mark.parametrize("size_px", [(9, 14), (2, 3), (5, 4)])
def test_a_label_of_another_size_than_the_map_reads_it_as_drawn_pixels_do(size_px):
    draw = clouds(8)
    found = couple_draw(*draw.arguments)
    map_Dhw = torch.from_numpy(draw.target_MD).float().T.reshape(-1, 5, 4)
    label_HW = np.arange(np.prod(size_px)).reshape(size_px) % 4 - 1
    image = pixel_map(found, map_Dhw, label_HW)
    assert image.risk_HW.shape == size_px
    y_px, x_px = np.nonzero(label_HW >= 0)
    features = features_at(map_Dhw, y_px.astype(np.int32), x_px.astype(np.int32), size_px)
    wanted = found.risks(found.shares(features), label_HW[y_px, x_px])
    np.testing.assert_allclose(image.risk_HW[y_px, x_px], wanted, rtol=1e-6)


def test_the_served_class_is_an_id_and_the_nearest_one_at_small_epsilon():
    features = np.array([[0.0], [1.0], [2.0]])
    found = couple_draw(features, [30, 10, 20], features, [1, 1, 2], epsilon=1e-3)
    map_Dhw, label_HW = image_of(features, np.array([1, 2, 1]), (1, 3))
    assert pixel_map(found, map_Dhw, label_HW).served_HW.tolist() == [[30, 10, 20]]


@pytest.mark.parametrize("solver", ["pot", "emd"])
def test_solvers_without_potentials_are_refused_unless_none_are_needed(solver):
    draw = clouds(9)
    with pytest.raises(TransportError, match=f"solver {solver} leaves no potentials"):
        couple_draw(*draw.arguments, solver=solver)
    couple_draw(*draw.arguments, solver=solver, relaxation="source")


def test_what_does_not_fit_the_draw_is_refused():
    draw = clouds(10)
    found = couple_draw(*draw.arguments)
    with pytest.raises(DataError, match=r"shape \(20, 2\) and the draw's are 3-dimensional"):
        found.shares(draw.target_MD[:, :2])
    with pytest.raises(TransportError, match="1 of 60 feature values are not finite"):
        found.shares(np.where(np.arange(60).reshape(20, 3) == 7, np.nan, draw.target_MD))
    with pytest.raises(DataError, match=r"labels \[9\] occur in no drawn pixel"):
        found.risks(found.shares(draw.target_MD[:2]), [0, 9])
