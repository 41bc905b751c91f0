"""Figures of a segmentation, against what is counted by hand."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from otce.errors import DataError
from otce.transfer.confusion import confusion
from otce.zoo.libraries import library

LABEL = np.array([[0, 0, 0, 1], [1, 2, -1, -1]])
GUESS = np.array([[0, 0, 1, 1], [-1, 1, 0, 3]])


def test_figures_are_those_counted_by_hand():
    found = confusion([(LABEL, GUESS)], 4)
    # Class 0: 2 of 3 right, no false alarm. Class 1: 1 of 2 right, 2 false alarms. Class 2: 0 of 1.
    assert found.right.tolist() == [[2, 1, 0, 0]]
    assert found.labelled.tolist() == [[3, 2, 1, 0]]
    assert found.predicted.tolist() == [[2, 3, 0, 0]]
    assert found.class_iou == [2 / 3, 1 / 4, 0.0, None]
    assert found.class_accuracy == [2 / 3, 1 / 2, 0.0, None]
    assert found.mean_iou == pytest.approx((2 / 3 + 1 / 4) / 3)
    assert found.pixel_accuracy == 3 / 6


def test_images_are_counted_apart_and_judged_together():
    other = np.array([[3, 3]]), np.array([[3, 0]])
    found = confusion([(LABEL, GUESS), other], 4)
    assert found.labelled.tolist() == [[3, 2, 1, 0], [0, 0, 0, 2]]
    assert found.class_iou == [2 / 4, 1 / 4, 0.0, 1 / 2]


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=40))
def test_figures_agree_with_sets_of_pixels(pixels):
    label, guess = (np.array([part]) for part in zip(*pixels, strict=True))
    if (label < 0).all():
        with pytest.raises(DataError, match="none of 1 images has a labelled pixel"):
            confusion([(label, guess)], 4)
        return
    found, ious = confusion([(label, guess)], 4), []
    places = {n for n, (true, _) in enumerate(pixels) if true >= 0}
    for c in range(4):
        true = {n for n in places if pixels[n][0] == c}
        said = {n for n in places if pixels[n][1] == c}
        ious.append(len(true & said) / len(true | said) if true else None)
    assert found.class_iou == pytest.approx(ious)
    assert found.mean_iou == pytest.approx(np.mean([iou for iou in ious if iou is not None]))


N_CLASSES, NONE = 5, -1


@pytest.fixture(scope="module")
def torchmetrics():
    """Like a model's library: torchvision, which it imports, may be of another build of torch."""
    return library("torchmetrics.functional.classification", "dev")


@st.composite
def judged_images(draw):
    """Some images of one size: labels of some classes, ignored pixels, predictions of all kinds."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)))
    some = st.sets(st.integers(NONE, N_CLASSES - 1), min_size=1).map(sorted)
    return tuple(draw(arrays(np.int64, shape, elements=st.sampled_from(draw(some)))) for _ in "lp")


@given(judged_images())
def test_figures_are_those_of_torchmetrics(torchmetrics, images):
    """Its macro mean holds classes that are only predicted as well, so it is ours without them."""
    label, guess = images
    assume((label >= 0).any())
    found = confusion(zip(label, guess, strict=True), N_CLASSES)
    # What stands for no class is one more class there, which nothing is labelled with.
    pixels = torch.from_numpy(np.where(guess == NONE, N_CLASSES, guess)), torch.from_numpy(label)

    def theirs(figure, average):
        told = {"num_classes": N_CLASSES + 1, "ignore_index": NONE, "average": average}
        return getattr(torchmetrics, f"multiclass_{figure}")(*pixels, **told).numpy()

    labelled = [c in label for c in range(N_CLASSES)]
    for ours, figure in ((found.class_iou, "jaccard_index"), (found.class_accuracy, "accuracy")):
        assert [one is not None for one in ours] == labelled
        expected = theirs(figure, "none")[:N_CLASSES][labelled]
        assert [one for one in ours if one is not None] == pytest.approx(expected.tolist())
    assert found.mean_iou == pytest.approx(
        theirs("jaccard_index", "none")[:N_CLASSES][labelled].mean()
    )
    if set(guess[label != NONE]) <= set(label[label != NONE]):
        assert found.mean_iou == pytest.approx(float(theirs("jaccard_index", "macro")))
    assert found.pixel_accuracy == pytest.approx(float(theirs("accuracy", "micro")))
