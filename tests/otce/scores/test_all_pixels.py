"""Scores over all labelled pixels, with the influence of every block of images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.errors import DataError
from otce.recipe import OVER_ALL_PIXELS
from otce.scores import h_score, h_score_shrunk, logme, nce, zero_shot_miou
from otce.scores.all_pixels import BLOCKS, Block, block_ranges, measured_over_all
from otce.scores.h_score import weighted_h_score, weighted_h_score_shrunk
from otce.scores.influence import image_sums, measured
from otce.scores.labelled import labelled
from otce.scores.logme import weighted_logme
from otce.scores.moments import pixels_moments
from otce.scores.nce import weighted_nce
from otce.scores.zero_shot import weighted_zero_shot_miou

CLASS_MAP = (0, 1, 2, -1)
PLAIN = {"logme": logme, "h_score": h_score, "h_score_shrunk": h_score_shrunk}
WEIGHTED = {
    "logme": weighted_logme,
    "h_score": weighted_h_score,
    "h_score_shrunk": weighted_h_score_shrunk,
}


def drawn(seed, *, images=7, pixels=40):
    generator = np.random.default_rng(seed)
    items = np.repeat(np.arange(images), pixels)
    labels = generator.integers(0, 3, images * pixels)
    x = generator.normal(size=(images * pixels, 5)) + labels[:, None]
    x += generator.normal(size=(images, 5))[items]
    logits = 2 * np.eye(4)[labels] + generator.normal(size=(len(items), 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return x, labels, items, probabilities


def blocks_of(x, labels, items, probabilities):
    found = []
    for item in np.unique(items):
        at = items == item
        count = np.zeros((3, 4), np.int64)
        np.add.at(count, (labels[at], probabilities[at].argmax(axis=1)), 1)
        moments = pixels_moments(x[at], labels[at], 3)
        found.append(Block(int(item), int(at.sum()), moments, count))
    return found


@pytest.mark.parametrize("metric", sorted(OVER_ALL_PIXELS))
def test_value_and_influences_are_those_of_the_pixels(metric):
    """Against the scores of pixels, and their exact derivatives summed by image."""
    x, labels, items, probabilities = drawn(1)
    found = measured_over_all(metric, blocks_of(x, labels, items, probabilities), CLASS_MAP)
    name = metric.removesuffix("_all_px")
    if name in PLAIN:
        value = PLAIN[name](x, labels)
        checked = labelled(x, labels)
        exact = measured(lambda w: WEIGHTED[name](*checked, w), len(labels))
    elif name == "nce":
        value = nce(probabilities, labels)
        exact = measured(lambda w: weighted_nce(probabilities, labels, w), len(labels))
    else:
        value = zero_shot_miou(probabilities, labels, CLASS_MAP)
        exact = measured(
            lambda w: weighted_zero_shot_miou(probabilities, labels, CLASS_MAP, w), len(labels)
        )
    assert found.value == pytest.approx(value, rel=1e-9)
    _, wanted = image_sums(exact.target_influence, items)
    size = np.abs(wanted).max()
    assert found.target_influence == pytest.approx(wanted, abs=0.03 * size)
    assert found.target_influence.sum() == pytest.approx(0, abs=1e-9)
    assert found.source_influence is None


def test_a_class_of_one_block_alone_is_not_lost():
    x, labels, items, probabilities = drawn(2)
    labels[items == 3] = 2
    labels[(items != 3) & (labels == 2)] = 0
    found = measured_over_all("logme_all_px", blocks_of(x, labels, items, probabilities), None)
    assert np.isfinite(found.target_influence).all()
    assert np.abs(found.target_influence).max() < 0.2


def test_what_cannot_be_scored_is_told():
    blocks = blocks_of(*drawn(3))
    with pytest.raises(DataError, match="no labelled target pixels"):
        measured_over_all("logme_all_px", [], CLASS_MAP)
    with pytest.raises(DataError, match="fewer than two class names"):
        measured_over_all("zero_shot_miou_all_px", blocks, None)


@given(st.integers(1, 5000))
def test_blocks_cover_all_images_evenly(n_items):
    blocks = block_ranges(n_items)
    assert [i for block in blocks for i in block] == list(range(n_items))
    assert len(blocks) == min(BLOCKS, n_items)
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
