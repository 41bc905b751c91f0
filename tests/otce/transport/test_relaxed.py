"""The semi-relaxed coupling is one softmax, however it is cut and whatever its precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.transport import geometry, semi_relaxed
from tests.drawn import clouds, costs, softmin_plan, weights

SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(1, 12)


def coupling(source_ND, target_MD, a_N, b_M, *, epsilon=0.1, tolerance=1e-3):
    """The coupling with an identity as thin matrix: `mass_SM` is the plan."""
    return semi_relaxed(
        *(torch.from_numpy(x) for x in (source_ND, target_MD, a_N, b_M)),
        torch.eye(len(a_N), dtype=torch.float64),
        epsilon=epsilon,
        tolerance=tolerance,
    )


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, n=COUNTS, m=COUNTS, epsilon=st.floats(1e-3, 1e3))
def test_it_is_one_softmax_with_an_exact_target_marginal(seed, n, m, epsilon):
    draw, a_N, b_M = clouds(seed, n=n, m=m), weights(seed, n), weights(seed + 1, m)
    found = coupling(draw.source_ND, draw.target_MD, a_N, b_M, epsilon=epsilon)
    cost_NM = costs(draw.source_ND, draw.target_MD)
    plan_NM = softmin_plan(cost_NM, a_N, b_M, epsilon)
    assert np.abs(found.mass_SM.numpy() - plan_NM).sum() < 1e-9
    assert np.abs(found.mass_SM.numpy().sum(0) - b_M).max() < 1e-15
    assert found.cost == pytest.approx((plan_NM * cost_NM).sum(), abs=1e-9 * cost_NM.max())
    assert (found.converged, found.n_iterations, found.marginal_error) == (True, 0, 0)
    potentials_NM = np.exp((found.g_M.numpy() - cost_NM) / epsilon) * a_N[:, None] * b_M
    assert np.abs(potentials_NM - plan_NM).sum() < 1e-6


@pytest.mark.parametrize("rows", [1, 2, 7, 19, 20])
def test_it_does_not_depend_on_the_pixels_at_once(monkeypatch, rows):
    draw = clouds(4, n=24, m=20)
    problem = draw.source_ND, draw.target_MD, weights(5, 24), weights(6, 20)
    whole = coupling(*problem)
    monkeypatch.setattr(geometry, "_TILE_BYTES", {"cpu": 24 * 8 * rows})
    parts = coupling(*problem)
    np.testing.assert_allclose(parts.mass_SM, whole.mass_SM, atol=1e-15)
    assert parts.cost == pytest.approx(whole.cost)


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 10.0])
def test_single_precision_of_large_problems_loses_nothing_that_counts(epsilon):
    draw = clouds(7, n=1500, m=900, dim=8)
    problem = draw.source_ND, draw.target_MD, weights(5, 1500), weights(6, 900)
    single = coupling(*problem, epsilon=epsilon)
    double = coupling(*problem, epsilon=epsilon, tolerance=1e-9)
    assert np.abs(single.mass_SM.numpy() - double.mass_SM.numpy()).sum() < 1e-4
    assert single.cost == pytest.approx(double.cost, rel=1e-4)
