"""Mask values become class ids by one lookup, and what is neither class nor ignored is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.datasets.label_rule import VOID, LabelRule
from otce.errors import DataError

CLASSES = ("road", "sidewalk", "building", "wall")


def class_ids(raw, *, ignore=frozenset({255}), label_map=None, classes=CLASSES):
    rule = LabelRule(classes, ignore, label_map or {})
    return rule.class_ids(np.array(raw, np.uint16), "l/a.png")


def test_without_a_map_values_are_class_ids():
    found = class_ids([[0, 1], [3, 255]])
    assert found.dtype == np.int16
    assert found.tolist() == [[0, 1], [3, VOID]]


def test_a_map_is_one_lookup_and_does_not_chain():
    assert class_ids([[1, 2, 3]], label_map={1: 2, 2: 3, 3: 1}).tolist() == [[2, 3, 1]]


def test_a_map_sends_values_to_what_is_ignored():
    found = class_ids([[7, 8, 9, 250, 255]], label_map={7: 0, 8: 250, 9: 255}, ignore={250, 255})
    assert found.tolist() == [[0, VOID, VOID, VOID, VOID]]


def test_ignored_values_are_a_set():
    assert class_ids([[250, 255, 2]], ignore={250, 255, -1}).tolist() == [[VOID, VOID, 2]]


def test_an_ignored_class_is_no_class():
    assert class_ids([[0, 1, 2]], ignore={1}).tolist() == [[0, VOID, 2]]


def test_values_of_16_bits_are_mapped():
    found = class_ids([[7000, 65_535]], label_map={7000: 3, 65_535: 0}, ignore=set())
    assert found.tolist() == [[3, 0]]


@given(
    st.dictionaries(st.integers(0, 40), st.integers(0, 3), min_size=1),
    st.sets(st.integers(0, 40), max_size=3),
    st.data(),
)
def test_a_lookup_is_what_a_loop_over_pixels_finds(label_map, ignore, data):
    allowed = sorted({*label_map, *ignore})
    raw = data.draw(st.lists(st.sampled_from(allowed), min_size=1, max_size=20))
    expected = [
        VOID if value in ignore or label_map[value] in ignore else label_map[value] for value in raw
    ]
    assert class_ids([raw], label_map=label_map, ignore=ignore).tolist() == [expected]


def test_the_callers_array_is_untouched():
    raw = np.array([[1, 2], [255, 3]], np.uint16)
    before = raw.copy()
    LabelRule(CLASSES, {255}, {1: 2, 2: 3, 3: 1}).class_ids(raw, "l/a.png")
    assert np.array_equal(raw, before)


@pytest.mark.parametrize(
    ("raw", "options", "says"),
    [
        ([[4, 4, 9, 0]], {}, ["label id 4 (2 pixels) is outside 0..3", "ignore: [255]"]),
        ([[0, 65_535]], {}, ["label id 65535 (1 pixels) is outside 0..3"]),
        ([[1, 5]], {"label_map": {5: 0, 7: 1}}, ["label id 1 (1 pixels) is outside [5, 7]"]),
        ([[254]], {"ignore": {250, 255}}, ["label id 254", "ignore: [250, 255]"]),
    ],
)
def test_a_value_that_is_no_class_and_not_ignored_is_told_with_its_count(raw, options, says):
    with pytest.raises(DataError) as caught:
        class_ids(raw, **options)
    message = str(caught.value)
    assert message.startswith("l/a.png: ")
    assert [said for said in says if said not in message] == [], message
    assert message.endswith("add it to label_map or to ignore")
