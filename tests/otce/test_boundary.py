"""A boundary is another label near by, found at drawn pixels as in the whole mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.boundary import RADIUS_PX, near_boundary
from otce.census import draw_pixels
from tests.drawn import Patches, masks


def by_hand(mask, y, x, radius_px):
    near = mask[
        max(y - radius_px, 0) : y + radius_px + 1, max(x - radius_px, 0) : x + radius_px + 1
    ]
    return bool(((near >= 0) & (near != mask[y, x])).any())


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    radius_px=st.integers(1, 4),
)
def test_it_is_what_a_look_at_every_neighbour_finds(seed, height, width, radius_px):
    (mask,) = masks(seed, [(height, width)], void=0.5)
    mask[mask == 2] = 1
    y_px, x_px = np.nonzero(mask >= 0)
    found = near_boundary(mask, y_px, x_px, radius_px=radius_px)
    assert found.tolist() == [
        by_hand(mask, y, x, radius_px) for y, x in zip(y_px, x_px, strict=True)
    ]


@pytest.mark.parametrize("turn", [lambda mask: mask, np.fliplr, np.flipud, np.transpose])
def test_a_diagonal_neighbour_is_one_step_away_on_every_side(turn):
    mask = turn(np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1]]))
    y_px, x_px = np.nonzero(mask == 0)
    assert near_boundary(mask, y_px, x_px, radius_px=1).sum() == 3


def test_ignored_pixels_are_no_other_class():
    mask = np.array([[-1, 3, -1, -1, 4]])
    assert not near_boundary(mask, np.array([0]), np.array([1]), radius_px=2).any()
    assert near_boundary(mask, np.array([0]), np.array([1]), radius_px=3).all()


def test_drawn_pixels_of_a_data_set_are_told_in_the_order_of_the_sample():
    labels = masks(1, [(8, 9), (7, 5), (6, 6)], void=0.1)
    dataset = Patches(labels)
    labelled_px = np.array([(label >= 0).sum() for label in labels])
    sample = draw_pixels(
        dataset,
        range(3),
        labelled_px,
        pixels=30,
        repetitions=2,
        seed=0,
        digest_of_dataset="ab",
    )
    pixels = zip(sample.item, sample.y_px, sample.x_px, strict=True)
    assert sample.boundary.tolist() == [
        by_hand(labels[item], y, x, RADIUS_PX) for item, y, x in pixels
    ]
