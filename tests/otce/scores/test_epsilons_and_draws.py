"""Several epsilons, or several draws, give what each gives alone; precision is ours to choose."""

import numpy as np
import pytest
import torch

import otce
from otce.errors import TransportError
from tests.drawn import clouds

DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])


@pytest.mark.parametrize("recipe", [{}, {"relaxation": "source"}, {"class_weights": "balanced"}])
def test_each_epsilon_scores_as_it_does_alone(recipe):
    draw = clouds(1, n=60, m=50)
    epsilons = [0.1, 3.0, 0.02, 0.5]
    together = otce.score_epsilons(*draw.arguments, epsilons=epsilons, tolerance=1e-7, **recipe)
    assert len(together) == len(epsilons)
    for epsilon, score in zip(epsilons, together, strict=True):
        alone = otce.score_pixels(*draw.arguments, epsilon=epsilon, tolerance=1e-7, **recipe)
        assert score.otce == pytest.approx(alone.otce, abs=1e-5)
        np.testing.assert_allclose(score.pixel_risk, alone.pixel_risk, atol=1e-6)
        assert score.pixel_risk.sum() == pytest.approx(-score.otce, abs=1e-12)


def test_a_larger_epsilon_tells_less_until_the_source_label_tells_nothing():
    draw = clouds(2, n=80, m=70)
    scores = otce.score_epsilons(*draw.arguments, epsilons=[1e4, 10, 1, 0.1], tolerance=1e-6)
    assert [score.otce for score in scores] == sorted(score.otce for score in scores)
    assert scores[0].otce == pytest.approx(-scores[0].target_entropy, abs=1e-3)


def test_pot_agrees_on_every_epsilon():
    draw = clouds(3, n=40, m=30)
    ours, pots = (
        otce.score_epsilons(*draw.arguments, epsilons=[1.0, 0.1], solver=solver, tolerance=1e-8)
        for solver in ("auto", "pot")
    )
    for our, pot in zip(ours, pots, strict=True):
        assert our.otce == pytest.approx(pot.otce, abs=1e-6)


def test_one_epsilon_out_of_range_is_refused():
    with pytest.raises(TransportError, match=r"epsilon is -1\.0; it must be a positive number"):
        otce.score_epsilons(*clouds(0).arguments, epsilons=[0.1, -1.0])


@DEVICES
def test_a_draw_depends_on_nothing_but_itself(device):
    draws = [clouds(seed, n=1200, m=1100).arguments for seed in range(3)]
    scores = otce.score_draws(draws, device=device, epsilon=0.3)
    assert [score.otce for score in otce.score_draws(draws[::-1], device=device, epsilon=0.3)][
        ::-1
    ] == pytest.approx([score.otce for score in scores], abs=0 if device == "cpu" else 1e-5)
    alone = otce.score_pixels(*draws[1], device=device, epsilon=0.3)
    assert alone.otce == pytest.approx(scores[1].otce, abs=0 if device == "cpu" else 1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("epsilon", [0.3, 0.01, 0.001])
def test_cuda_gives_what_the_cpu_gives_on_many_pixels(epsilon):
    draw = clouds(4, n=1500, m=1200, dim=19)
    on_cpu = otce.score_pixels(*draw.arguments, epsilon=epsilon)
    on_gpu = otce.score_pixels(*draw.arguments, epsilon=epsilon, device="cuda")
    assert on_gpu.otce == pytest.approx(on_cpu.otce, abs=1e-3)


@DEVICES
def test_a_process_that_allows_less_precision_scores_the_same(device):
    """torch's `medium` lets float32 products be made of bfloat16 ones, on some CPUs too."""
    draws = [clouds(seed, n=1200, m=1100, dim=16).arguments for seed in range(5, 8)]
    wanted = otce.score_draws(draws, device=device, epsilon=0.3)
    torch.set_float32_matmul_precision("medium")
    try:
        scores = otce.score_draws(draws, device=device, epsilon=0.3)
        # Of draws in threads the first that ended put it back while others still computed.
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    for score, want in zip(scores, wanted, strict=True):
        assert score.otce == pytest.approx(want.otce, abs=0 if device == "cpu" else 1e-5)


def test_equal_calls_give_equal_bytes_on_many_pixels():
    draw = clouds(6, n=1500, m=1300, dim=19)
    for epsilon in (1.0, 0.01, 0.001):
        one, other = (otce.score_pixels(*draw.arguments, epsilon=epsilon) for _ in range(2))
        assert one.otce == other.otce
        np.testing.assert_array_equal(one.pixel_risk, other.pixel_risk)
