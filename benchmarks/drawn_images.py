"""Data sets of images with pixels that are alike within an image, and scores with influences.

Images differ in size, in their mix of classes and in a shift of all their features. Models stretch
the features by a gain and see the images' shifts in a way of their own. Features are not scaled,
so that a score depends on the draw by its pixels alone.

Legend: `M` target pixels, `D` feature dimensions.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from otce.recipe import Relaxation
from otce.scores.coupled import measure_pixels
from otce.scores.influence import measured
from otce.scores.leep import weighted_leep

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
    found = measured(partial(weighted_leep, _softmax(target), target_labels), len(target))
    return found.value, found.target_influence, None


def otce(
    source: Numbers,
    labels: NDArray[np.int64],
    target: Numbers,
    target_labels: NDArray[np.int64],
    *,
    relaxation: Relaxation = "none",
) -> Found:
    """Take OTCE; with a free source marginal where `relaxation` says so."""
    found = measure_pixels(
        source,
        labels,
        target,
        target_labels,
        epsilon=EPSILON,
        feature_scaling="none",
        relaxation=relaxation,
        tolerance=1e-4,
    ).otce
    return found.value, found.target_influence, found.source_influence


SCORES = {
    "mean": mean,
    "leep": leep,
    "otce source free": partial(otce, relaxation="source"),
    "otce": otce,
}


def _softmax(target: Numbers) -> Numbers:
    logits = -((target[:, None] * DIM**0.5 - MEANS) ** 2).sum(2) / 2
    exps = np.exp(logits - logits.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)
