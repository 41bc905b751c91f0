"""LogME against Gaussian densities, against the published algorithm, and at its limits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from otce.scores.logme import logme, weighted_logme
from tests.drawn import clouds


def published(x, y, steps=11):
    """The fixed point of the authors' code, one class after the other, by an SVD."""
    n, dim = x.shape
    _, s, vh = np.linalg.svd(x, full_matrices=True)
    sigma = np.zeros(dim)
    sigma[: len(s)] = s**2
    evidences = []
    for c in np.unique(y):
        target = (y == c).astype(float)
        alpha = beta = 1.0
        for _ in range(steps):
            t = alpha / beta
            m = vh.T @ ((vh @ (x.T @ target)) / (t + sigma))
            gamma, m2 = (sigma / (sigma + t)).sum(), m @ m
            res2 = ((target - x @ m) ** 2).sum()
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (res2 + 1e-5)
            if steps == 11 and abs(alpha / beta - t) / t <= 1e-3:
                break
        evidence = dim / 2 * np.log(alpha) + n / 2 * np.log(beta)
        evidence -= np.log(alpha + beta * sigma).sum() / 2 + beta / 2 * res2 + alpha / 2 * m2
        evidences.append((evidence - n / 2 * np.log(2 * np.pi)) / n)
    return np.mean(evidences)


def density(x, target, weight, alpha, beta):
    """Log density of N(target; 0, W^-1 / beta + X X' / alpha), but for the weights' own factor."""
    covariance = np.diag(1 / (beta * weight)) + x @ x.T / alpha
    return (
        -len(target) / 2 * np.log(2 * np.pi)
        - np.linalg.slogdet(covariance)[1] / 2
        - target @ np.linalg.solve(covariance, target) / 2
        - np.log(weight).sum() / 2
    )


def largest_evidence(x, y, weight):
    """Climb in both precisions from several places, and take the highest top."""
    weight = weight * len(y) / weight.sum()
    tops = []
    for c in np.unique(y):
        target = (y == c).astype(float)

        def fall(logs, target=target):
            return -density(x, target, weight, *np.exp(np.clip(logs, -30, 30)))

        found = [
            minimize(fall, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
            for start in [(0, 0), (5, 0), (0, 5), (8, 3)]
        ]
        tops.append(-min(one.fun for one in found) / len(y))
    return np.mean(tops)


@pytest.mark.parametrize(("m", "dim"), [(20, 3), (30, 6), (12, 20)])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_largest_gaussian_evidence_of_weighted_pixels(m, dim, seed):
    made = clouds(seed, m=m, dim=dim, n_target=3)
    weight = np.random.default_rng(seed).uniform(0.3, 3, m)
    x, index = torch.as_tensor(made.target_MD), torch.as_tensor(made.target_y)
    for w in (np.ones(m), weight):
        value = float(weighted_logme(x, index, torch.as_tensor(w)))
        # Where the evidence rises for ever to a limit, both stop at bounds of their own.
        assert value == pytest.approx(largest_evidence(made.target_MD, made.target_y, w), abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_agrees_with_the_published_algorithm(seed):
    made = clouds(seed, m=300, dim=8, n_target=5)
    x, y = made.target_MD, made.target_y
    assert logme(x, y) == pytest.approx(published(x, y, steps=500), abs=2e-5)
    assert logme(x, y) == pytest.approx(published(x, y), abs=5e-4)
    assert logme(x, y) >= published(x, y) - 1e-7


def test_ids_that_do_not_occur_are_no_classes():
    """Public code loops from 0 to the largest id, and an empty class has a huge evidence."""
    made = clouds(0)
    assert logme(made.target_MD, 100 * made.target_y) == logme(made.target_MD, made.target_y)


def test_features_without_relation_to_the_labels_give_the_evidence_of_noise_alone():
    x, y = np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.array([0, 0, 1, 1])
    assert logme(x, y) == pytest.approx(-(np.log(2 * np.pi / 2) + 1) / 2, abs=1e-9)
    assert logme(np.zeros((4, 2)), y) == pytest.approx(logme(x, y), abs=1e-9)


def test_perfect_features_score_high_but_not_infinitely():
    y = np.arange(60) % 3
    value = logme(np.eye(3)[y], y)
    assert 5 < value < 20
    assert value > logme(np.eye(3)[y] + np.random.default_rng(0).normal(0, 0.01, (60, 3)), y)


def test_more_pixels_alike_are_more_evidence():
    made = clouds(2, m=30)
    twice = logme(np.repeat(made.target_MD, 2, axis=0), np.repeat(made.target_y, 2))
    assert twice > logme(made.target_MD, made.target_y) + 1e-3
