"""Acceleration is fast where the map is linear and loses nothing where it is not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.transport.fixed_point import Step, accelerate


def told(next_M, error, height):
    return Step(next_M, error, height, float(next_M.abs().max()))


def linear(rates_M, goal_M):
    def step(h_M):
        off_M = h_M - goal_M
        return told(
            goal_M + rates_M * off_M, float(off_M.abs().max()), -float(off_M.square().sum())
        )

    return step


def run(step, count, *, tolerance=1e-8, max_steps=1000, reach=1e9):
    start_M = torch.zeros(count, dtype=torch.float64)
    return accelerate(
        step,
        start_M,
        torch.ones_like(start_M),
        tolerance=tolerance,
        max_steps=max_steps,
        reach=reach,
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 0.999), min_size=1, max_size=6), st.floats(0.1, 10))
def test_a_linear_map_needs_about_a_step_an_eigenvalue(rates, goal):
    rates_M = torch.tensor(rates, dtype=torch.float64)
    found = run(linear(rates_M, torch.full_like(rates_M, goal)), len(rates))
    assert found.error <= 1e-8
    assert found.n_steps <= 3 * len(rates) + 6
    assert float((found.h_M - goal).abs().max()) <= 1e-8


def test_a_bad_mix_is_shortened_and_then_forgotten():
    """A map with a cliff: whatever leaps over it comes back as infinitely bad."""

    def step(h_M):
        if float(h_M) > 1 + 1e-9:
            return told(h_M, float("inf"), -float("inf"))
        return told(h_M + 0.1 * (1 - h_M) ** 2, float(1 - h_M), float(h_M))

    found = run(step, 1, tolerance=0.02)
    assert found.error <= 0.02
    assert 0.9 < float(found.h_M) <= 1


def test_it_ends_out_of_reach():
    found = run(lambda h_M: told(h_M + 7, 1.0, float(h_M)), 1, reach=50)
    assert found.error == 1
    assert 50 < float(found.h_M) < 1000


def test_it_ends_when_nothing_is_finite():
    found = run(lambda h_M: told(h_M * torch.nan, float("nan"), float("nan")), 2)
    assert found.error == float("inf")
    assert found.h_M.tolist() == [0, 0]
    assert found.n_steps == 1


@pytest.mark.parametrize("max_steps", [1, 2, 7])
def test_it_takes_no_more_steps_than_allowed(max_steps):
    calls = []
    step = linear(torch.linspace(0.9, 0.999, 30), torch.ones(30))

    def counted(h_M):
        calls.append(1)
        return step(h_M)

    assert run(counted, 30, max_steps=max_steps).n_steps == len(calls) == max_steps
