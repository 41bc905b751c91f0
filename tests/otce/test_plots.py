"""Figures for a page: small, apart from each other, readable."""

import re
from xml.etree import ElementTree as ET

import pytest
from matplotlib.colors import to_rgb

from otce.plots import NARROW_PX, WIDE_PX, convergence_plot, interval_plot, shade

ROW = {"rank": 1, "mean": -0.4, "std": 0.1, "ci95_low": -0.5, "ci95_high": -0.3}


def rows(*ids):
    return [ROW | {"source_model": model} for model in ids]


def luminance(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("percent", range(-10, 111))
def test_text_on_every_shade_has_the_contrast_that_wcag_asks_for(percent):
    dark, light = sorted(luminance(color) for color in shade(percent / 100))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_figures_with_different_names_share_no_id():
    first, second = (
        interval_plot(rows("a", "b"), metric="OTCE", name=name) for name in ("one", "two")
    )
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert first == interval_plot(rows("a", "b"), metric="OTCE", name="one")


@pytest.mark.parametrize("width_px", [WIDE_PX, NARROW_PX])
def test_ids_are_text_of_an_element_as_wide_as_asked(width_px):
    svg = interval_plot(rows("$a$ <b> 名前\x00"), metric="OTCE", name="x", width_px=width_px)
    root = ET.fromstring(svg)  # noqa: S314
    assert float(root.attrib["width"]) == pytest.approx(width_px)
    assert "$a$ <b> 名前\N{REPLACEMENT CHARACTER}" in [text.text for text in root.iter("text")]
    assert root.find(".//style") is None


def test_rows_without_intervals_or_spread_are_dots():
    single = ROW | {"source_model": "a", "std": None, "ci95_low": None, "ci95_high": None}
    assert interval_plot([single], metric="OTCE", name="x").startswith("<svg")
    assert interval_plot([single | {"rank": None}], metric="OTCE", name="x").startswith("<svg")


@pytest.mark.parametrize("tolerance", [None, 1e-3])
@pytest.mark.parametrize("solves", [[(3, 0.0)], [(100, 9e-4), (20_000, 1e-9)]])
def test_convergence_is_drawn_for_few_and_perfect_solves(solves, tolerance):
    svg = convergence_plot(solves, tolerance=tolerance, name="x")
    assert ("tolerance 1e-3" in svg) == (tolerance is not None)
    assert "$" not in svg
