"""Figures of maps: readable by any viewer, grey where nothing is known, deaf to hostile text."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from otce.maps import PixelMap
from otce.patches import PatchMap
from otce.report.overlays import overlay
from tests.drawn_runs import HOSTILE


def pixel_map_of(risk_HW):
    mask_HW = np.isfinite(risk_HW)
    classes = np.arange(2)
    served_HW = np.where(mask_HW, 0, -1).astype(np.int32)
    return PixelMap(risk_HW.astype(np.float32), mask_HW, served_HW, classes, classes)


def drawn(risk_HW, *, photo=None, **options):
    photo = np.full((*risk_HW.shape, 3), 90, np.uint8) if photo is None else photo
    return overlay(photo, pixel_map_of(risk_HW), ceiling_nats=2.0, **{"title": "a"} | options)


def pixels(png):
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def colored(png):
    """Share of pixels that are no grey."""
    return (np.ptp(pixels(png), axis=2) > 60).mean()


def test_what_is_unscored_has_no_colour_of_the_scale():
    unscored, half = np.full((30, 40), np.nan), np.ones((30, 40))
    half[:, :20] = np.nan
    bar = colored(drawn(unscored))
    # Both have the colour bar; beyond it half of a panel is coloured, or all of it.
    assert colored(drawn(half)) - bar == pytest.approx(
        (colored(drawn(np.ones((30, 40)))) - bar) / 2, rel=0.05
    )
    assert colored(drawn(np.ones((30, 40)))) > bar + 0.1


def test_equal_maps_give_equal_bytes_and_others_do_not():
    risk_HW = np.linspace(0, 3, 1200).reshape(30, 40)
    assert drawn(risk_HW) == drawn(risk_HW)
    assert drawn(risk_HW) != drawn(risk_HW[::-1])


@pytest.mark.parametrize("title", [*HOSTILE, "", "a\x1b[2J"])
def test_any_text_can_be_a_title(title):
    assert pixels(drawn(np.ones((6, 8)), title=title)).shape[2] == 3


@pytest.mark.parametrize("shape", [(1, 1), (700, 3), (40, 1500)])
def test_any_size_of_image_is_drawn_on_a_page(shape):
    height, width, _ = pixels(drawn(np.ones(shape))).shape
    assert max(height, width) < 2000


def test_a_patch_map_stands_beside_the_pixel_map():
    risk_RC = np.array([[0.5, np.nan], [1.5, 2.5]])
    patches = PatchMap(risk_RC, risk_RC / 3, np.isfinite(risk_RC))
    alone, beside = (pixels(drawn(np.ones((30, 40)), patches=found)) for found in (None, patches))
    assert beside.shape[1] > 1.3 * alone.shape[1]
