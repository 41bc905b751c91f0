"""JC-OTCE against POT on the cost matrix written out, and its laws."""

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.scores import score_pixels
from otce.scores.jc_otce import jc_otce, label_aware
from otce.scores.pixels import Pixels
from tests.drawn import clouds, costs, joint_of, otce_of, softmin_plan, uniform

EXAMPLES = settings(max_examples=25, deadline=None)


def label_aware_costs(draw, share=0.5):
    """The cost pair by pair, W from the closed form for Gaussians with diagonal covariances."""

    def fits(features, labels):
        chosen = {label: features[labels == label] for label in np.unique(labels)}
        return {label: (each.mean(axis=0), each.std(axis=0)) for label, each in chosen.items()}

    source = fits(draw.source_ND, draw.source_y)
    target = fits(draw.target_MD, draw.target_y)
    between = {
        (s, t): np.square(source[s][0] - target[t][0]).sum()
        + np.square(source[s][1] - target[t][1]).sum()
        for s in source
        for t in target
    }
    label_NM = np.array([[between[s, t] for t in draw.target_y] for s in draw.source_y])
    return share * costs(draw.source_ND, draw.target_MD) + (1 - share) * label_NM


@pytest.mark.parametrize("dim", [1, 3, 20])
def test_the_balanced_score_is_that_of_pot_on_the_cost_matrix(dim):
    draw = clouds(1, n=30, m=26, dim=dim, n_source=4, n_target=3, size=0.5)
    cost_NM = label_aware_costs(draw)
    epsilon = cost_NM.max() / 8
    plan_NM = ot.sinkhorn(
        uniform(30), uniform(26), cost_NM, epsilon, method="sinkhorn_log", stopThr=1e-12
    )
    wanted = otce_of(joint_of(plan_NM, draw.source_y, draw.target_y))
    found = jc_otce(*draw.arguments, epsilon=epsilon, feature_scaling="none", tolerance=1e-9)
    assert found == pytest.approx(wanted, abs=1e-7)
    assert found != pytest.approx(score_pixels(*draw.arguments, epsilon=epsilon).otce, abs=1e-3)


def test_the_exact_score_is_that_of_pot_on_the_cost_matrix():
    draw = clouds(2, n=25, m=31, dim=4, n_source=3, n_target=4)
    plan_NM = ot.emd(uniform(25), uniform(31), label_aware_costs(draw))
    wanted = otce_of(joint_of(plan_NM, draw.source_y, draw.target_y))
    found = jc_otce(*draw.arguments, feature_scaling="none", solver="emd")
    assert found == pytest.approx(wanted, abs=1e-9)


def test_the_semi_relaxed_score_is_the_softmax_of_the_cost_matrix():
    draw = clouds(3, n=25, m=31, dim=4, n_source=3, n_target=4)
    plan_NM = softmin_plan(label_aware_costs(draw), uniform(25), uniform(31), 2.0)
    wanted = otce_of(joint_of(plan_NM, draw.source_y, draw.target_y))
    recipe = {"epsilon": 2.0, "feature_scaling": "none", "relaxation": "source"}
    assert jc_otce(*draw.arguments, **recipe) == pytest.approx(wanted, abs=1e-9)


@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 14),
    m=st.integers(1, 14),
    dim=st.integers(1, 9),
    share=st.floats(0, 1),
)
def test_squared_distances_of_label_aware_pixels_are_the_cost(seed, n, m, dim, share):
    draw = clouds(seed, n=n, m=m, dim=dim, n_source=4)
    pixels = Pixels.of(
        *draw.arguments, feature_scaling="none", class_weights="uniform", device=None
    )
    made = label_aware(pixels, share)
    assert made.source_ND.shape[1] <= dim + min(2 * dim, 4 + 3)
    cost_NM = torch.cdist(made.source_ND, made.target_MD).square().numpy()
    np.testing.assert_allclose(cost_NM, label_aware_costs(draw, share), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("class_weights", ["balanced", "target_prior"])
def test_classes_without_weight_are_not_fitted(class_weights):
    draw = clouds(3, n=20, m=16, n_source=4, n_target=2)
    score = jc_otce(*draw.arguments, class_weights=class_weights)
    assert -np.log(2) <= score <= 0


def test_knowing_labels_that_agree_with_features_raises_the_score():
    draw = clouds(7, n=60, m=60)
    recipe = {"epsilon": 1.0, "feature_scaling": "none"}
    assert jc_otce(*draw.arguments, **recipe) > score_pixels(*draw.arguments, **recipe).otce
