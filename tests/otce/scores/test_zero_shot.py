"""Zero-shot mIoU against sets of pixels, and the class map."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from otce.errors import DataError
from otce.scores.zero_shot import class_map, zero_shot_miou


def defined(predicted, labels, mapped):
    """Intersections over unions as sets of pixels."""
    scored = {y for y in labels if y in mapped}
    kept = [i for i, y in enumerate(labels) if y in scored]
    ious = []
    for c in scored:
        truth = {i for i in kept if labels[i] == c}
        guess = {i for i in kept if mapped[predicted[i]] == c}
        ious.append(len(truth & guess) / len(truth | guess))
    return sum(ious) / len(ious)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=2, max_size=30),
    st.lists(st.integers(-1, 5), min_size=5, max_size=5),
)
def test_it_is_the_mean_over_scored_classes_of_shared_over_joint_pixels(pairs, mapped):
    predicted, labels = (list(values) for values in zip(*pairs, strict=True))
    assume(len(set(labels) & set(mapped)) >= 2)
    score = zero_shot_miou(np.eye(5)[predicted], np.array(labels), mapped)
    assert score == pytest.approx(defined(predicted, labels, mapped), abs=1e-12)
    assert 0 <= score <= 1


def test_right_everywhere_is_one_and_wrong_everywhere_zero():
    labels = np.array([0, 0, 1])
    assert zero_shot_miou(np.eye(2)[labels], labels, (0, 1)) == 1
    assert zero_shot_miou(np.eye(2)[labels], labels, (1, 0)) == 0


def test_pixels_of_classes_the_model_does_not_name_are_left_out():
    labels = np.array([0, 1, 7, 7])
    assert zero_shot_miou(np.eye(2)[[0, 1, 0, 1]], labels, (0, 1)) == 1


def test_a_prediction_that_stands_for_nothing_is_a_miss_and_no_false_alarm():
    labels = np.array([0, 0, 1])
    assert zero_shot_miou(np.eye(3)[[0, 2, 1]], labels, (0, 1, -1)) == 0.75


@pytest.mark.parametrize(
    ("mapped", "said"),
    [
        ((0, -1, 9), "at least 2"),
        ((-1, -1, -1), "at least 2"),
        ((0, 1), "2 source classes and the model has 3"),
        ((0, 1, -2), "-1 for none"),
        ((), "0 source classes"),
        ((0.0, 1.0, 2.0), "target label"),
    ],
)
def test_maps_that_cannot_be_scored_are_refused(mapped, said):
    with pytest.raises(DataError, match=said):
        zero_shot_miou(np.eye(3), np.array([0, 1, 2]), mapped)


def test_names_are_matched_whatever_their_case_and_space():
    assert class_map(("Road", " SKY", "dog"), ("sky ", "tree", "road")) == (2, 0, -1)


def test_several_source_classes_may_stand_for_one_target_class():
    assert class_map(("car", "Car", "sky"), ("car", "sky")) == (0, 0, 1)


def test_of_equal_target_names_the_first_counts():
    assert class_map(("car", "sky"), ("sky", "car", "Sky")) == (1, 0)


@pytest.mark.parametrize(
    ("source", "target"),
    [(("car", "sky"), ("car", "tree")), ((), ("car",)), (("car", "CAR"), ("car", "car"))],
)
def test_fewer_than_two_common_classes_are_no_map(source, target):
    assert class_map(source, target) is None
