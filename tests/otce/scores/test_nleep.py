"""N-LEEP against its parts made independently, its bounds and its limits."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from otce.scores.nleep import nleep

# `otce.scores.nleep` is the function of that name.
module = sys.modules["otce.scores.nleep"]


@st.composite
def drawn(draw):
    n, dimensions = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = generator.integers(0, 3, n)
    # Rounded features repeat, as those of rectified nets do.
    features = generator.normal(size=(n, dimensions)) + labels[:, None]
    return features.round(draw(st.sampled_from([0, 1, 9]))), labels


def clouds(n=600, dimensions=6, apart=3.0):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, n)
    centre = apart * generator.normal(size=(3, dimensions))
    return centre[labels] + generator.normal(size=(n, dimensions)), labels


@given(drawn())
def test_it_lies_between_minus_the_label_entropy_and_zero(made):
    shares = np.unique(made[1], return_counts=True)[1] / len(made[1])
    assert (shares * np.log(shares)).sum() - 1e-9 <= nleep(*made) <= 1e-12


def test_it_is_leep_of_the_posteriors_of_the_mixture():
    """Equation by equation in NumPy, but for the fitted parameters."""
    features, labels = clouds(apart=0.7)
    x = module._principal(torch.from_numpy(features / np.abs(features).max()))
    mixture = module._fitted(x[x[:, 0].argsort(stable=True)], 15)
    density = np.stack(
        [
            float(share) * multivariate_normal(mean.numpy(), np.diag(variance.numpy())).pdf(x)
            for share, mean, variance in zip(*mixture, strict=True)
        ],
        axis=1,
    )
    theta = density / density.sum(axis=1, keepdims=True)
    given_y = np.stack([theta[labels == y].sum(0) for y in range(3)]) / theta.sum(0)
    expected = np.log((given_y[labels] * theta).sum(1)).mean()
    assert nleep(features, labels) == pytest.approx(expected, abs=1e-9)


def test_a_step_of_the_fit_is_that_of_expectation_maximisation(monkeypatch):
    x = torch.from_numpy(clouds(dimensions=2)[0])
    monkeypatch.setattr(module, "_ENOUGH_NATS", -math.inf)
    fits = []
    for steps in (3, 4):
        monkeypatch.setattr(module, "_STEPS", steps)
        fits.append(module._fitted(x, 4))
    before, after = fits
    posterior = before.log_joint(x).exp().numpy()
    posterior /= posterior.sum(1, keepdims=True)
    for v in range(4):
        mass = posterior[:, v].sum()
        mean = (posterior[:, v, None] * x.numpy()).sum(0) / mass
        variance = (posterior[:, v, None] * (x.numpy() - mean) ** 2).sum(0) / mass
        assert float(after.share_V[v]) == pytest.approx(mass / len(x))
        np.testing.assert_allclose(after.mean_VP[v], mean, atol=1e-9)
        np.testing.assert_allclose(after.variance_VP[v], variance, atol=1e-9)


def test_no_step_makes_the_pixels_less_likely(monkeypatch):
    x = torch.from_numpy(clouds(apart=1.0)[0])
    monkeypatch.setattr(module, "_ENOUGH_NATS", -math.inf)
    evidence = []
    for steps in range(1, 12):
        monkeypatch.setattr(module, "_STEPS", steps)
        evidence.append(float(module._fitted(x, 8).log_joint(x).logsumexp(1).mean()))
    assert np.diff(evidence).min() > -1e-9
    assert evidence[-1] > evidence[0] + 0.01


def test_the_fewest_components_that_keep_most_of_the_variance_are_kept():
    features = torch.from_numpy(clouds(dimensions=9)[0])
    singular = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2
    shares = singular.cumsum() / singular.sum()
    kept = module._principal(features)
    assert kept.shape[1] == np.searchsorted(shares, 0.8) + 1
    assert float(kept.square().sum()) == pytest.approx(singular[: kept.shape[1]].sum())


@pytest.mark.parametrize("seed", range(5))
def test_a_rotation_of_the_features_changes_nothing(seed):
    features, labels = clouds(n=60, dimensions=3)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    assert nleep(features @ turn + 5.0, labels) == pytest.approx(nleep(features, labels), abs=1e-6)


def test_separate_classes_score_zero_and_noise_hardly_more_than_the_label_entropy():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 600)
    separate = 50.0 * np.eye(3)[labels] + generator.normal(size=(600, 3))
    assert nleep(separate, labels) == pytest.approx(0, abs=1e-6)
    noise, labels = generator.normal(size=(3000, 8)), generator.integers(0, 3, 3000)
    assert -math.log(3) - 1e-3 <= nleep(noise, labels) <= -math.log(3) + 0.03


def test_features_that_separate_classes_better_score_higher():
    scores = [nleep(*clouds(apart=apart)) for apart in (0.0, 0.3, 0.6, 1.2, 3.0)]
    assert scores == sorted(scores)


@pytest.mark.parametrize("offset", [0.0, 0.1, 1e6])
def test_constant_features_score_minus_the_label_entropy(offset):
    labels = np.array([0, 1, 1, 1] * 11)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    constant = np.tile([0.7, offset, 1 / 3], (44, 1))
    assert nleep(constant, labels) == pytest.approx(-entropy, abs=1e-12)


def test_a_single_class_or_pixel_scores_zero():
    assert nleep(clouds()[0], np.full(600, 2)) == pytest.approx(0, abs=1e-12)
    assert nleep(np.array([[3.0, 1.0]]), np.array([5])) == 0.0


def test_components_start_at_distinct_pixels():
    x = torch.tensor([[0.0], [0.0], [1.0], [1.0], [1.0], [7.0]], dtype=torch.float64)
    start = module._start(x, 5)
    assert sorted(start[:, 0].tolist()) == [0.0, 1.0, 7.0]


def test_of_many_pixels_some_are_fitted_and_all_are_scored():
    features, labels = clouds(n=9000, apart=1.0)
    once = nleep(features, labels)
    assert once == nleep(features, labels)
    order = np.random.default_rng(0).permutation(9000)
    assert nleep(features[order], labels[order]) == pytest.approx(once, abs=1e-6)
    assert once == pytest.approx(nleep(features[:3000], labels[:3000]), abs=0.1)
