"""Sums off a map are those of the features at every labelled pixel, one by one."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from otce.dense import map_confusion, map_moments
from otce.features import features_at
from otce.scores.moments import pixels_moments

N_CLASSES = 4


@st.composite
def maps(draw):
    """A map of any stride up to and below one, and a label with ignored pixels."""
    sides = [draw(st.integers(1, 7)) for _ in range(2)]
    label_px = [draw(st.integers(1, 9)) for _ in range(2)]
    dims, seed = draw(st.integers(1, 4)), draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    values = generator.normal(draw(st.sampled_from([0.0, 50.0])), 1, size=(dims, *sides))
    labels = generator.integers(-1, N_CLASSES, size=label_px).astype(np.int16)
    return torch.from_numpy(values.astype(np.float32)), labels


def pixel_by_pixel(map_Dhw, labels):
    y, x = (side.astype(np.int32) for side in np.nonzero(labels >= 0))
    return features_at(map_Dhw.double(), y, x, labels.shape).numpy(), labels[y, x]


@given(maps())
def test_moments_are_those_of_all_pixels(case):
    map_Dhw, labels = case
    untouched = map_Dhw.clone()
    found = map_moments(map_Dhw, labels, N_CLASSES)
    assert torch.equal(map_Dhw, untouched)
    features, classes = pixel_by_pixel(map_Dhw, labels)
    if not len(classes):
        assert found is None
        return
    wanted = pixels_moments(features, classes, N_CLASSES)
    for name, one, other in zip(found._fields, found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9, err_msg=name)


@given(maps())
def test_predictions_are_counted_at_all_pixels(case):
    map_Zhw, labels = case
    logits, classes = pixel_by_pixel(map_Zhw, labels)
    wanted = np.zeros((N_CLASSES, len(map_Zhw)), int)
    np.add.at(wanted, (classes, logits.astype(np.float32).argmax(axis=1)), 1)
    found = map_confusion(map_Zhw, labels, N_CLASSES)
    assert found.sum() == len(classes)
    # Two logits may be equal but for the rounding of one interpolation.
    top = np.sort(logits, axis=1)[:, -2:]
    close = int((np.ptp(top, axis=1) < 1e-4).sum()) if logits.shape[1] > 1 else 0
    assert np.abs(found - wanted).sum() <= 2 * close


def test_equal_logits_count_for_the_first_class():
    found = map_confusion(torch.zeros(3, 2, 2), np.array([[0, 1]], np.int16), 2)
    assert found.tolist() == [[1, 0, 0], [1, 0, 0]]
