"""Data sets of images with pixels that are alike within an image, and scores with influences.

Images differ in size, in their mix of classes and in a shift of all their features. Models stretch
the features by a gain and see the images' shifts in a way of their own. Features are not scaled,
so that a score depends on the draw by its pixels alone.

Legend: `N` source pixels, `M` target pixels, `D` feature dimensions.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from otce.scores.influence import measured
from otce.transport import balanced, semi_relaxed

CLASSES, DIM, EPSILON = 4, 6, 0.1
SHARES = np.array([0.4, 0.3, 0.2, 0.1])
_RULES = np.random.default_rng(7)
MEANS = _RULES.normal(size=(CLASSES, DIM))
MODELS = ((1.0, 0.9, 0), (1.1, 1.0, 0), (0.9, 0.8, 0), (1.05, 1.2, 1))
"""Gain, strength of the own view of shifts, and which source data set."""
VIEWS = [_RULES.normal(size=(DIM, DIM)) / DIM**0.5 for _ in MODELS]
Numbers = NDArray[np.float64]
Found = tuple[float, Numbers, Numbers | None]
"""A score, its influences by target pixel, and by source pixel if it sees those."""


class Images(NamedTuple):
    """All pixels of a data set."""

    item: NDArray[np.int64]
    label: NDArray[np.int64]
    latent: Numbers
    shift: Numbers
    """(images, D)."""

    def features(self, model: int, pixels: NDArray[np.int64]) -> Numbers:
        """Take a model's features of pixels."""
        gain, own, _ = MODELS[model]
        seen = own * (self.shift @ VIEWS[model])[self.item[pixels]]
        return (gain * self.latent[pixels] + seen) / DIM**0.5


def images(
    generator: np.random.Generator, count: int, unlike: float, offset: float, shares: Numbers
) -> Images:
    """Draw images; `unlike` is how much they differ, `offset` moves all features."""
    sizes = generator.integers(150, 800, count)
    item = np.repeat(np.arange(count), sizes)
    mix = generator.dirichlet(shares * 5 / unlike**2, count).cumsum(axis=1)
    label = (generator.random((len(item), 1)) > mix[item]).sum(axis=1).clip(0, CLASSES - 1)
    shift = 0.4 * unlike * generator.normal(size=(count, DIM)) + offset
    noise = 0.7 * generator.normal(size=(len(item), DIM))
    return Images(item, label, MEANS[label] + shift[item] + noise, shift)


def mean(
    _source: Numbers, _labels: object, target: Numbers, target_labels: NDArray[np.int64]
) -> Found:
    """Average the log probability that a fixed classifier gives to the true class."""
    value_M = np.log(_softmax(target)[np.arange(len(target)), target_labels])
    return float(value_M.mean()), (value_M - value_M.mean()) / len(value_M), None


def leep(
    _source: Numbers, _labels: object, target: Numbers, target_labels: NDArray[np.int64]
) -> Found:
    """Take LEEP of the same classifier."""
    theta_MZ = torch.from_numpy(_softmax(target))
    labels_M = torch.from_numpy(target_labels)
    onehot_MT = torch.nn.functional.one_hot(labels_M, CLASSES).double()

    def weighted(weight_M: torch.Tensor) -> torch.Tensor:
        joint_TZ = (onehot_MT * weight_M[:, None]).T @ theta_MZ
        given_TZ = joint_TZ / joint_TZ.sum(0)
        return weight_M @ (given_TZ[labels_M] * theta_MZ).sum(1).log() / weight_M.sum()

    found = measured(weighted, len(labels_M))
    return found.value, found.target_influence, None


def otce_relaxed(
    source: Numbers, labels: NDArray[np.int64], target: Numbers, target_labels: NDArray[np.int64]
) -> Found:
    """Take OTCE with a free source marginal; column j of the plan is b_j softmax_i."""
    plan_NM = _plan(source, target, relaxed=True)
    value, log_NM = _entropy(plan_NM, labels, target_labels)
    # The score moves by the log conditional that a moved unit of plan meets.
    column_M = (plan_NM * log_NM).sum(0) * len(target)
    target_M = (column_M - column_M.mean()) / len(target)
    return value, target_M, (plan_NM * (log_NM - column_M)).sum(1)


def otce(
    source: Numbers, labels: NDArray[np.int64], target: Numbers, target_labels: NDArray[np.int64]
) -> Found:
    """Take the paper's OTCE; weights move it by the additive part of the log conditional."""
    plan_NM = _plan(source, target, relaxed=False)
    value, log_NM = _entropy(plan_NM, labels, target_labels)
    n, m = plan_NM.shape
    # Least squares of log_NM by row_i + column_j under the plan: how its potentials follow weights.
    normal = np.block(
        [[np.diag(plan_NM.sum(1)), plan_NM], [plan_NM.T, np.diag(plan_NM.sum(0))]]
    ) + 1e-9 / n * np.eye(n + m)
    moments = np.concatenate([(plan_NM * log_NM).sum(axis) for axis in (1, 0)])
    row_N, column_M = np.split(np.linalg.solve(normal, moments), [n])
    return value, (column_M - column_M.mean()) / m, (row_N - row_N.mean()) / n


SCORES = {"mean": mean, "leep": leep, "otce source free": otce_relaxed, "otce": otce}


def _softmax(target: Numbers) -> Numbers:
    logits = -((target[:, None] * DIM**0.5 - MEANS) ** 2).sum(2) / 2
    exps = np.exp(logits - logits.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)


def _plan(source: Numbers, target: Numbers, *, relaxed: bool) -> Numbers:
    centre = np.concatenate([source, target]).mean(0)
    sides = [torch.from_numpy(side - centre) for side in (source, target)]
    weights = [torch.full((len(side),), 1 / len(side), dtype=torch.float64) for side in sides]
    whole = torch.eye(len(source), dtype=torch.float64)
    if relaxed:
        found = semi_relaxed(*sides, *weights, whole, epsilon=EPSILON, tolerance=1e-6)
    else:
        (found,) = balanced(
            *sides, *weights, whole, epsilons=[EPSILON], tolerance=1e-4, max_iterations=20_000
        )
    return found.mass_SM.numpy()


def _entropy(
    plan_NM: Numbers, labels: NDArray[np.int64], target_labels: NDArray[np.int64]
) -> tuple[float, Numbers]:
    """Give the score and log P(y_j | y_i) of every pair of pixels."""
    onehot = np.eye(CLASSES)
    joint_ST = onehot[labels].T @ plan_NM @ onehot[target_labels]
    positive = joint_ST > 0
    row_S1 = np.where(positive, joint_ST, 0).sum(1, keepdims=True)
    log_ST = np.log(np.where(positive, joint_ST, 1) / np.where(positive, row_S1, 1))
    return float((joint_ST * log_ST).sum()), log_ST[labels][:, target_labels]
