"""The same solver on a card: plans of brute force, derivatives of the CPU, kernels streamed."""

import numpy as np
import pytest
import torch

from otce.transport import balanced, semi_relaxed
from tests.drawn import clouds, costs, sinkhorn_plan, softmin_plan, weights

pytestmark = pytest.mark.gpu


def on_card(*arrays):
    return [torch.from_numpy(np.asarray(x, np.float64)).cuda() for x in arrays]


def problem(seed, n, m):
    draw = clouds(seed, n=n, m=m)
    return draw, (draw.source_ND, draw.target_MD, weights(seed + 1, n), weights(seed + 2, m))


def solved(arrays, epsilon, *, tolerance=1e-3, **given):
    n = len(arrays[2])
    (found,) = balanced(
        *on_card(*arrays, np.eye(n)),
        epsilons=[epsilon],
        tolerance=tolerance,
        max_iterations=20_000,
        **given,
    )
    assert found.converged
    return found


@pytest.mark.parametrize("epsilon", [1.0, 0.1])
def test_the_plan_is_that_of_brute_force(epsilon):
    draw, arrays = problem(1, 140, 120)
    found = solved(arrays, epsilon, tolerance=1e-9)
    wanted_NM = sinkhorn_plan(costs(draw.source_ND, draw.target_MD), *arrays[2:], epsilon)
    assert np.abs(found.mass_SM.cpu().numpy() - wanted_NM).sum() < 1e-7


@pytest.mark.parametrize(("epsilon", "apart"), [(10.0, 1e-3), (1.0, 1e-3), (0.1, 5e-3)])
def test_few_entries_give_the_same_plan(as_if_large, epsilon, apart):
    draw, arrays = problem(1, 140, 120)
    found = solved(arrays, epsilon, tolerance=1e-4)
    costs_NM = costs(draw.source_ND, draw.target_MD)
    wanted_NM = sinkhorn_plan(costs_NM, *arrays[2:], epsilon, error=1e-7)
    assert np.abs(found.mass_SM.cpu().numpy() - wanted_NM).sum() < apart


def test_a_free_source_marginal_is_the_closed_form(as_if_large):
    draw, arrays = problem(5, 140, 120)
    found = semi_relaxed(*on_card(*arrays, np.eye(140)), epsilon=0.3)
    wanted_NM = softmin_plan(costs(draw.source_ND, draw.target_MD), *arrays[2:], 0.3)
    assert np.abs(found.mass_SM.cpu().numpy() - wanted_NM).sum() < 1e-4


def test_derivatives_are_those_of_the_cpu():
    draw, arrays = problem(7, 140, 120)
    onehot_MT = np.eye(3)[draw.target_y]
    arguments = {"epsilons": [1.0], "tolerance": 1e-9, "max_iterations": 20_000}
    sums = np.random.default_rng(0).normal(size=(260, 2))
    gradients = []
    for place in (torch.Tensor.cpu, torch.Tensor.cuda):
        given = [place(torch.from_numpy(x)) for x in (*arrays, np.eye(140))]
        (found,) = balanced(*given, **arguments, onehot_MT=place(torch.from_numpy(onehot_MT)))
        masses = [np.asarray(weight)[:, None] for weight in arrays[2:]]
        parts = [sums[:140] * masses[0], sums[140:] * masses[1]]
        gradient = found.derivative.gradient(*(place(torch.from_numpy(part)) for part in parts))
        gradients.append([side.cpu().numpy() for side in gradient])
    for on_cpu, on_gpu in zip(*gradients, strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-9)


def test_a_kernel_that_is_too_large_is_streamed():
    """Of 25 000 pixels a side it is 2.5 GB of floats; that much is never held."""
    draw = clouds(9, n=25_000, m=25_000, dim=8)
    sides = on_card(draw.source_ND, draw.target_MD, *[np.full(25_000, 1 / 25_000)] * 2)
    onehot_NS = torch.nn.functional.one_hot(torch.from_numpy(draw.source_y)).double().cuda()
    torch.cuda.reset_peak_memory_stats()
    (found,) = balanced(*sides, onehot_NS, epsilons=[1.0], tolerance=1e-3, max_iterations=20_000)
    assert found.converged
    shares = found.mass_SM.sum(1).cpu().numpy() - np.bincount(draw.source_y) / 25_000
    assert np.abs(shares).max() <= 1e-3
    assert torch.cuda.max_memory_allocated() < 2e9
