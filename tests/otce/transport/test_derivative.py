"""The adjoint system against a dense solution, and the kernels' products against the plan."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otce.transport import balanced, semi_relaxed
from otce.transport.derivative import in_memory, solve_adjoint
from tests.drawn import clouds, costs, sinkhorn_plan, softmin_plan, weights

EXAMPLES = settings(max_examples=40, deadline=None)


def onehot(labels):
    return torch.nn.functional.one_hot(torch.from_numpy(labels)).double()


def dense_gradients(plan_NM, q_NM):
    """Solve the whole system for both sides by a pseudoinverse."""
    a_N, b_M = plan_NM.sum(axis=1), plan_NM.sum(axis=0)
    whole = np.block([[np.diag(a_N), plan_NM], [plan_NM.T, np.diag(b_M)]])
    sums = np.concatenate([(plan_NM * q_NM).sum(axis=1), (plan_NM * q_NM).sum(axis=0)])
    solution = np.linalg.lstsq(whole, sums, rcond=1e-12)[0]
    found = [a_N * solution[: len(a_N)], b_M * solution[len(a_N) :]]
    return [centred(value, weight) for value, weight in zip(found, (a_N, b_M), strict=True)]


def centred(gradient, weight):
    return gradient - weight * gradient.sum() / weight.sum()


@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 20), m=st.integers(2, 20))
@example(seed=140, n=3, m=19)  # its first step is short by chance and ended the solution
def test_gradients_are_those_of_a_dense_solution(seed, n, m):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(m) % 3)
    plan_NM = generator.uniform(0.1, 1, (n, m)) ** 4
    plan_NM /= plan_NM.sum()
    q_NM = generator.normal(size=(n, m))
    wanted = dense_gradients(plan_NM, q_NM)
    plan, paid = torch.from_numpy(plan_NM), torch.from_numpy(plan_NM * q_NM)
    found = solve_adjoint(
        in_memory(plan),
        plan.sum(0),
        onehot(labels),
        plan @ onehot(labels),
        paid.sum(1)[:, None],
        paid.sum(0)[:, None],
    )
    for got, want, weight in zip(found, wanted, (plan.sum(1), plan.sum(0)), strict=True):
        difference = centred(got[:, 0].numpy(), weight.numpy()) - want
        assert np.linalg.norm(difference) <= 0.05 * np.linalg.norm(want) + 1e-12


def test_groups_of_classes_that_exchange_nothing_are_differentiated_apart():
    generator = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 1, 1, 2, 2])
    plan_NM = np.zeros((6, 7))
    plan_NM[:3, :3] = generator.uniform(0.5, 1, (3, 3))
    plan_NM[3:, 3:] = generator.uniform(0.5, 1, (3, 4))
    plan_NM /= plan_NM.sum()
    q_NM = generator.normal(size=(6, 7))
    plan, paid = torch.from_numpy(plan_NM), torch.from_numpy(plan_NM * q_NM)
    rows, columns = paid.sum(1)[:, None], paid.sum(0)[:, None]
    mass_NT = plan @ onehot(labels)
    _, by_target = solve_adjoint(
        in_memory(plan), plan.sum(0), onehot(labels), mass_NT, rows, columns
    )
    for pixels in (slice(0, 3), slice(3, 7)):
        part_NM = np.where(np.arange(7)[None, :] < 3, plan_NM, 0)[:, pixels]
        if pixels.start:
            part_NM = plan_NM[:, pixels]
        kept = part_NM.sum(axis=1) > 0
        _, wanted = dense_gradients(part_NM[kept], q_NM[kept][:, pixels])
        got = centred(by_target[pixels, 0].numpy(), part_NM.sum(axis=0))
        np.testing.assert_allclose(got, wanted, atol=0.02 * np.linalg.norm(wanted))


@pytest.mark.parametrize("epsilon", [1.0, 0.2])
@pytest.mark.parametrize("relaxation", ["none", "source"])
def test_products_and_gradients_of_solvers_are_those_of_the_plan(relaxation, epsilon, way):
    draw = clouds(3, n=60, m=50, n_source=4)
    source, target = (torch.from_numpy(each) for each in (draw.source_ND, draw.target_MD))
    a_N, b_M = weights(1, 60), weights(2, 50)
    cost_NM = costs(draw.source_ND, draw.target_MD)
    problem = source, target, torch.from_numpy(a_N), torch.from_numpy(b_M), onehot(draw.source_y)
    size = epsilon * 10
    labels = onehot(draw.target_y)
    if relaxation == "none":
        plan_NM = sinkhorn_plan(cost_NM, a_N, b_M, size)
        (found,) = balanced(
            *problem, epsilons=[size], tolerance=1e-4, max_iterations=5000, onehot_MT=labels
        )
    else:
        plan_NM = softmin_plan(cost_NM, a_N, b_M, size)
        found = semi_relaxed(*problem, epsilon=size, onehot_MT=labels)
    known = found.derivative
    paid_NM = plan_NM * cost_NM
    np.testing.assert_allclose(known.mass_NT, plan_NM @ labels.numpy(), atol=2e-4)
    np.testing.assert_allclose(known.cost_N, paid_NM.sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(known.cost_M, paid_NM.sum(axis=0), atol=1e-3)
    assert float(known.cost_M.sum()) == pytest.approx(found.cost, rel=1e-9)
    by_source, by_target = known.gradient(known.cost_N[:, None], known.cost_M[:, None])
    if relaxation == "none":
        wanted = dense_gradients(plan_NM, cost_NM)
    else:
        columns = paid_NM.sum(axis=0)
        wanted = [paid_NM.sum(axis=1) - plan_NM @ (columns / b_M), centred(columns, b_M)]
    sides = (by_source, a_N, wanted[0]), (by_target, b_M, wanted[1])
    for got, weight, want in sides:
        difference = centred(got[:, 0].numpy(), weight) - want
        assert np.linalg.norm(difference) <= 0.02 * np.linalg.norm(want)
