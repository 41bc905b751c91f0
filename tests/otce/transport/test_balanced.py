"""Our balanced coupling is the brute-force plan, obeys the laws, and its certificate is true."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otce.errors import TransportError
from otce.transport import balanced, pot
from tests.drawn import clouds, costs, largest_cost, sinkhorn_plan, uniform, weights

SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(1, 12)
# Both ways hold for every example: the fixture changes what no example resets.
ANY_WAY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def plan(source_ND, target_MD, a_N, b_M, *, epsilon=0.1, tolerance=1e-9, most=20_000):
    """The coupling with an identity as thin matrix: `mass_SM` is the plan."""
    (found,) = balanced(
        *(torch.from_numpy(np.asarray(x, np.float64)) for x in (source_ND, target_MD, a_N, b_M)),
        torch.eye(len(a_N), dtype=torch.float64),
        epsilons=[epsilon],
        tolerance=tolerance,
        max_iterations=most,
    )
    return found


def measured_error(coupling, a_N, b_M):
    plan_NM = coupling.mass_SM.numpy()
    assert (plan_NM >= 0).all()
    return np.abs(plan_NM.sum(1) - a_N).sum() + np.abs(plan_NM.sum(0) - b_M).sum()


def difference(coupling, plan_NM):
    return np.abs(coupling.mass_SM.numpy() - plan_NM).sum()


@pytest.mark.parametrize(
    ("n", "m", "size", "epsilon"),
    [(40, 40, 1, 1.0), (30, 50, 1, 0.3), (200, 150, 0.3, 0.1), (500, 500, 0.3, 0.1)],
)
def test_the_plan_is_that_of_brute_force(n, m, size, epsilon):
    draw = clouds(1, n=n, m=m, size=size)
    sides, masses = (draw.source_ND, draw.target_MD), (weights(2, n), weights(3, m))
    found = plan(*sides, *masses, epsilon=epsilon)
    assert found.converged
    assert difference(found, sinkhorn_plan(costs(*sides), *masses, epsilon)) < 1e-7


@pytest.mark.parametrize(("epsilon", "apart"), [(10.0, 1e-3), (1.0, 1e-3), (0.1, 5e-3)])
@pytest.mark.parametrize("hasty_way", ["as_if_large", "as_if_on_card"])
def test_half_floats_and_few_entries_give_the_same_plan(hasty_way, epsilon, apart, request):
    request.getfixturevalue(hasty_way)
    draw = clouds(1, n=140, m=120)
    sides, masses = (draw.source_ND, draw.target_MD), (weights(2, 140), weights(3, 120))
    found = plan(*sides, *masses, epsilon=epsilon, tolerance=1e-4)
    assert found.converged
    assert difference(found, sinkhorn_plan(costs(*sides), *masses, epsilon, error=1e-7)) < apart


@ANY_WAY
@given(seed=SEEDS, n=COUNTS, m=COUNTS, share=st.floats(0.03, 10))
def test_any_weights_and_counts(way, seed, n, m, share):
    draw = clouds(seed, n=n, m=m)
    epsilon = share * largest_cost(draw)
    masses = weights(seed, n), weights(seed + 1, m)
    wanted_NM = sinkhorn_plan(costs(draw.source_ND, draw.target_MD), *masses, epsilon, error=1e-9)
    found = plan(draw.source_ND, draw.target_MD, *masses, epsilon=epsilon)
    assert difference(found, wanted_NM) < 1e-6


@ANY_WAY
@given(seed=SEEDS, n=st.integers(1, 60), m=st.integers(1, 60), ratio=st.floats(0, 4))
def test_the_certificate_is_true_and_an_upper_bound(way, seed, n, m, ratio):
    draw, a_N, b_M = clouds(seed, n=n, m=m), weights(seed, n), weights(seed + 1, m)
    problem = draw.source_ND, draw.target_MD, a_N, b_M
    epsilon = largest_cost(draw) / 10**ratio
    for most in (1, 20, 5000):
        found = plan(*problem, epsilon=epsilon, most=most, tolerance=1e-3)
        assert measured_error(found, a_N, b_M) <= found.marginal_error + 1e-6
        assert np.abs(found.mass_SM.numpy().sum(0) - b_M).sum() < 1e-5
        assert found.converged == (found.marginal_error <= 1e-3)
        cost_NM = costs(draw.source_ND, draw.target_MD)
        assert found.cost == pytest.approx((found.mass_SM.numpy() * cost_NM).sum(), rel=1e-3)


@ANY_WAY
@given(seed=SEEDS, n=st.integers(1, 40), m=st.integers(1, 40))
def test_the_potentials_are_those_of_the_plan(way, seed, n, m):
    draw, a_N, b_M = clouds(seed, n=n, m=m), weights(seed, n), weights(seed + 1, m)
    epsilon = largest_cost(draw) / 30
    found = plan(draw.source_ND, draw.target_MD, a_N, b_M, epsilon=epsilon, tolerance=1e-3)
    exponent_NM = found.f_N.numpy()[:, None] + found.g_M.numpy()
    exponent_NM = (exponent_NM - costs(draw.source_ND, draw.target_MD)) / epsilon
    assert difference(found, np.exp(exponent_NM) * a_N[:, None] * b_M) < 2e-3


@ANY_WAY
@given(seed=SEEDS, n=COUNTS, m=COUNTS)
def test_exchanging_the_sides_turns_the_plan(way, seed, n, m):
    draw, a_N, b_M = clouds(seed, n=n, m=m), weights(seed, n), weights(seed + 1, m)
    epsilon = largest_cost(draw) / 10
    there = plan(draw.source_ND, draw.target_MD, a_N, b_M, epsilon=epsilon)
    back = plan(draw.target_MD, draw.source_ND, b_M, a_N, epsilon=epsilon)
    assert difference(there, back.mass_SM.numpy().T) < 1e-6


@ANY_WAY
@given(seed=SEEDS, move=st.floats(-50, 50))
def test_moving_both_sides_changes_nothing(way, seed, move):
    draw = clouds(seed, n=30, m=25)
    masses = uniform(30), uniform(25)
    epsilon = largest_cost(draw) / 10
    here = plan(draw.source_ND, draw.target_MD, *masses, epsilon=epsilon)
    there = plan(draw.source_ND + move, draw.target_MD + move, *masses, epsilon=epsilon)
    assert difference(here, there.mass_SM.numpy()) < 1e-5


@ANY_WAY
@given(seed=SEEDS, n=COUNTS, m=COUNTS, dim=st.integers(1, 5))
def test_pixels_in_one_place_couple_as_the_product_of_their_weights(way, seed, n, m, dim):
    a_N, b_M = weights(seed, n), weights(seed + 1, m)
    found = plan(np.zeros((n, dim)), np.zeros((m, dim)), a_N, b_M)
    assert difference(found, np.outer(a_N, b_M)) < 1e-9
    assert found.cost == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_low_epsilon_finds_a_permutation(way, seed):
    draw = clouds(seed, n=60, size=10)
    order = np.random.default_rng(seed).permutation(60)
    found = plan(
        draw.source_ND,
        draw.source_ND[order],
        uniform(60),
        uniform(60),
        epsilon=0.01,
        tolerance=1e-6,
    )
    assert difference(found, np.eye(60)[order].T / 60) < 1e-5


@ANY_WAY
@given(seed=SEEDS, n=st.integers(2, 60), m=st.integers(2, 60))
def test_low_epsilon_on_a_line_couples_in_order(way, seed, n, m):
    """The exact cost on a line is that of the sorted sides; the entropic one is little more."""
    draw = clouds(seed, n=n, m=m, dim=1)
    common = np.lcm(n, m)
    in_order = [
        np.repeat(np.sort(side[:, 0]), common // len(side))
        for side in (draw.source_ND, draw.target_MD)
    ]
    exact = np.square(in_order[0] - in_order[1]).mean()
    epsilon = max(exact, 0.1) / 100
    found = plan(
        draw.source_ND, draw.target_MD, uniform(n), uniform(m), epsilon=epsilon, tolerance=1e-3
    )
    assert found.converged
    slack = 1e-3 * costs(draw.source_ND, draw.target_MD).max()
    assert -slack <= found.cost - exact <= epsilon * np.log(min(n, m)) + slack


@pytest.mark.parametrize("epsilon", [0.03, 0.3, 3.0])
def test_gaussians_couple_as_janati_et_al_have_worked_out(epsilon):
    """On a line: "Entropic optimal transport between unbalanced Gaussian measures", 2020, thm. 1.

    With standard deviations s, t the plan is Gaussian with covariance
    (sqrt(4 s^2 t^2 + (epsilon / 2)^2) - epsilon / 2) / 2. The sides are quantiles: no noise.
    """
    levels = [(np.arange(count) + 0.5) / count for count in (1300, 1100)]
    standard = [np.sqrt(2) * torch.erfinv(torch.from_numpy(2 * level - 1)) for level in levels]
    s, t, apart = 1.0, 0.5, 0.7
    sides = s * standard[0][:, None], t * standard[1][:, None] + apart
    masses = [torch.full((len(side),), 1 / len(side), dtype=torch.float64) for side in sides]
    thin_ND = torch.column_stack([sides[0], torch.ones_like(sides[0])])
    (found,) = balanced(
        *sides, *masses, thin_ND, epsilons=[epsilon], tolerance=1e-5, max_iterations=5000
    )
    covariance = (np.sqrt(4 * s**2 * t**2 + epsilon**2 / 4) - epsilon / 2) / 2
    measured = float(found.mass_SM[0] @ (sides[1][:, 0] - apart))
    assert measured == pytest.approx(covariance, abs=3e-3)
    assert found.cost == pytest.approx(s**2 + t**2 - 2 * covariance + apart**2, abs=1e-2)


@ANY_WAY
@given(seed=SEEDS, ratios=st.lists(st.floats(0, 3), min_size=1, max_size=5))
def test_a_descent_through_many_epsilons_gives_what_each_gives_alone(way, seed, ratios):
    draw = clouds(seed, n=50, m=40)
    epsilons = [largest_cost(draw) / 10**ratio for ratio in ratios]
    arguments = [torch.from_numpy(x) for x in (draw.source_ND, draw.target_MD, uniform(50))]
    arguments += [torch.from_numpy(uniform(40)), torch.eye(50, dtype=torch.float64)]
    together = balanced(*arguments, epsilons=epsilons, tolerance=1e-6, max_iterations=20_000)
    for epsilon, found in zip(epsilons, together, strict=True):
        (alone,) = balanced(*arguments, epsilons=[epsilon], tolerance=1e-6, max_iterations=20_000)
        assert found.converged
        assert difference(found, alone.mass_SM.numpy()) < 1e-3
        assert found.cost == pytest.approx(alone.cost, rel=1e-3)


def test_too_few_iterations_are_told(way):
    draw = clouds(0, n=40, m=30, size=5)
    found = plan(draw.source_ND, draw.target_MD, uniform(40), uniform(30), tolerance=1e-6, most=3)
    assert not found.converged
    assert found.marginal_error > 1e-6


@pytest.mark.parametrize("size", [1e7, 1e160])
def test_costs_that_float64_does_not_resolve_are_refused(size):
    draw = clouds(0)
    with pytest.raises(TransportError, match=r"beyond the 1e\+12 epsilons .* or raise epsilon"):
        plan(size * draw.source_ND, size * draw.target_MD, uniform(24), uniform(20))


def test_equal_calls_give_equal_bytes(way):
    draw = clouds(3, n=130, m=110)
    one, other = (
        plan(draw.source_ND, draw.target_MD, uniform(130), uniform(110), tolerance=1e-3)
        for _ in range(2)
    )
    assert torch.equal(one.mass_SM, other.mass_SM)
    assert one.cost == other.cost


def test_pot_gives_the_same_plan_at_a_cost_of_hundreds_of_epsilons():
    draw = clouds(5, n=90, m=70, dim=19)
    cost_NM = costs(draw.source_ND, draw.target_MD)
    epsilon = cost_NM.mean() / 300
    found = plan(draw.source_ND, draw.target_MD, uniform(90), uniform(70), epsilon=epsilon)
    tensors = [torch.from_numpy(x) for x in (cost_NM, uniform(90), uniform(70), np.eye(90))]
    wanted = pot.sinkhorn(*tensors, epsilon=epsilon, tolerance=1e-7, max_iterations=20_000)
    assert wanted.converged
    assert difference(found, wanted.mass_SM.numpy()) < 1e-5
