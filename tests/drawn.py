"""Problems drawn from a seed, their answers worked out the slow way, and small stand-ins."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch

from otce.datasets import Item
from otce.errors import DataError
from otce.scaling import scale

# On problems of this size threads cost more than they give.
torch.set_num_threads(1)


@dataclass(frozen=True)
class Draw:
    """Labelled pixels of both sides."""

    source_ND: np.ndarray
    source_y: np.ndarray
    target_MD: np.ndarray
    target_y: np.ndarray

    @property
    def arguments(self):
        return self.source_ND, self.source_y, self.target_MD, self.target_y


def clouds(seed, *, n=24, m=20, dim=3, n_source=3, n_target=3, size=1.0):
    """Gaussian classes with common means on both sides; every class occurs."""
    generator = np.random.default_rng(seed)
    means = 2 * generator.normal(size=(max(n_source, n_target), dim))
    source_y = generator.permutation(np.arange(n) % n_source)
    target_y = generator.permutation(np.arange(m) % n_target)
    source_ND = size * (means[source_y] + generator.normal(size=(n, dim)))
    target_MD = size * (means[target_y] + generator.normal(size=(m, dim)) + 0.5)
    return Draw(source_ND, source_y, target_MD, target_y)


def separated(n=12, m=15, *, size=1.0):
    """Three classes in three directions, so far apart that only equal classes couple: OTCE 0."""
    source_y, target_y = np.arange(n) % 3, np.arange(m) % 3
    jitter = np.random.default_rng(0).normal(size=(n + m, 3)) / 100
    source_ND = size * (np.eye(3)[source_y] + jitter[:n])
    return Draw(source_ND, source_y, size * (np.eye(3)[target_y] + jitter[n:]), target_y + 40)


def weights(seed, count):
    drawn = np.random.default_rng(seed).uniform(0.2, 1.0, count)
    return drawn / drawn.sum()


def uniform(count):
    return np.full(count, 1 / count)


def costs(source_ND, target_MD):
    return np.square(source_ND[:, None] - target_MD[None, :]).sum(-1)


def largest_cost(draw, feature_scaling="none"):
    """Largest cost of a draw, or 1 without any.

    With an epsilon of no less than a tenth of it the iterations contract fast for every draw.
    """
    sides = (torch.from_numpy(features) for features in (draw.source_ND, draw.target_MD))
    scaled = scale(*sides, feature_scaling)
    return float(costs(*(side.numpy() for side in scaled)).max()) or 1.0


def softmin_plan(cost_NM, a_N, b_M, epsilon):
    """The semi-relaxed plan: column j is b_j softmax_i(log a_i - C_ij / epsilon)."""
    log_NM = np.log(a_N)[:, None] - cost_NM / epsilon
    plan_NM = np.exp(log_NM - log_NM.max(axis=0))
    return plan_NM / plan_NM.sum(axis=0) * b_M


def sinkhorn_plan(cost_NM, a_N, b_M, epsilon, *, error=1e-11, most=20_000):
    """The balanced plan by float64 iterations in the log domain, epsilon halved down to its value.

    Ends within `error` (L1, source marginal; the target marginal is exact), or fails.
    """
    g_M = np.zeros(len(b_M))
    halvings = int(np.ceil(np.log2(max(cost_NM.max() / epsilon, 1))))
    for level in epsilon * 2.0 ** np.arange(halvings, -1, -1):
        for step in range(most if level == epsilon else 50):
            f_N = level * (np.log(a_N) - _log_sum_exp((g_M - cost_NM) / level, axis=1))
            g_M = level * (np.log(b_M) - _log_sum_exp((f_N[:, None] - cost_NM) / level, axis=0))
            if level == epsilon and step % 10 == 0:
                plan_NM = np.exp((f_N[:, None] + g_M - cost_NM) / level)
                if np.abs(plan_NM.sum(axis=1) - a_N).sum() < error:
                    return plan_NM
    raise AssertionError("the brute force did not converge; draw an easier problem")


def _log_sum_exp(values, axis):
    largest = values.max(axis=axis, keepdims=True)
    total = np.exp(values - largest).sum(axis=axis, keepdims=True)
    return (largest + np.log(total)).squeeze(axis)


def joint_of(plan_NM, source_y, target_y):
    """Sum a plan over pixels of equal labels; rows and columns by ascending label."""
    rows = [plan_NM[source_y == label].sum(axis=0) for label in np.unique(source_y)]
    return np.array(
        [[row[target_y == label].sum() for label in np.unique(target_y)] for row in rows]
    )


def entropy(probabilities):
    positive = np.asarray(probabilities)[np.asarray(probabilities) > 0]
    return float(-(positive * np.log(positive)).sum())


def otce_of(joint_ST):
    """H(Y_s) - H(Y_s, Y_t), which is minus the conditional entropy of the target label."""
    return entropy(joint_ST.sum(axis=1)) - entropy(joint_ST)


class Patches:
    """A data set in memory; a label mask that is None is corrupt."""

    classes = ("sky", "road", "tree")
    notes = ()

    def __init__(self, labels):
        self.labels = labels
        names = [f"patch-{position:03d}" for position in range(len(labels))]
        self.items = tuple(Item(id=name, image=f"{name}.jpg", label=name) for name in names)

    def digests(self, item):
        return f"image of {item.id}", f"label of {item.id}"

    def image(self, item, expected_digest=None):
        del expected_digest
        height, width = self.label(item).shape
        return np.zeros((height, width, 3), np.uint8)

    def label(self, item, expected_digest=None):
        del expected_digest
        found = self.labels[self.items.index(item)]
        if found is None:
            raise DataError(f"{item.label}: the image is corrupt; replace it")
        return found

    def count(self, item, expected_digest=None):
        label = self.label(item, expected_digest)
        return label.shape, np.bincount(label[label >= 0], minlength=3)


def masks(seed, sizes, *, void=0.3):
    """Label masks of the given (height, width), class ids 0..2, a share of -1."""
    generator = np.random.default_rng(seed)
    return [
        np.where(generator.random(size) < void, -1, generator.integers(0, 3, size)).astype(np.int16)
        for size in sizes
    ]


def widened(values):
    """Move values from their mean by the factor of images that are left out."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    return values.mean() + sqrt(n / (n - 1)) * (values - values.mean())
