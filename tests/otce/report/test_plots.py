"""Figures for a page: small, apart from each other, readable."""

import re
from xml.etree import ElementTree as ET

import pytest
from matplotlib.colors import to_rgb

from otce.report.plots import (
    CURVE_PX,
    NARROW_PX,
    WIDE_PX,
    convergence_plot,
    curve_plot,
    interval_plot,
    shade,
)

UNKNOWN = {"total95_low": None, "total95_high": None}
ROW = {"rank": 1, "mean": -0.4, "std": 0.1, "ci95_low": -0.5, "ci95_high": -0.3} | UNKNOWN


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


def test_total_intervals_are_drawn_thinner_beside_those_of_pixels():
    both = [row | {"total95_low": -0.7, "total95_high": -0.1} for row in rows("a")]
    widths = [
        {float(width) for width in re.findall(r"stroke-width: ([\d.]+)", svg)}
        for svg in (interval_plot(found, metric="OTCE", name="x") for found in (rows("a"), both))
    ]
    assert widths[0] == widths[1] - {1.4}
    assert max(widths[0]) > 1.4


@pytest.mark.parametrize("tolerance", [None, 1e-3])
@pytest.mark.parametrize("solves", [[(3, 0.0)], [(100, 9e-4), (20_000, 1e-9)]])
def test_convergence_is_drawn_for_few_and_perfect_solves(solves, tolerance):
    svg = convergence_plot(solves, tolerance=tolerance, name="x")
    assert ("tolerance 1e-3" in svg) == (tolerance is not None)
    assert "$" not in svg


def curve(points, *, model="unet", name="x", marked=0.1, limits=(-0.6, -0.2)):
    return curve_plot(points, marked=marked, others=[], limits=limits, model=model, name=name)


def test_a_curve_says_its_points_to_those_who_cannot_see_it():
    points = {0.03: -0.3, 0.1: -0.3125, 1.0: -0.0}
    svg = curve(points, model="<$a$> \x00")
    root = ET.fromstring(svg)  # noqa: S314
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == (
        "OTCE of <$a$> \N{REPLACEMENT CHARACTER} (nats) by epsilon: "
        "-0.300 at 0.03, -0.312 at 0.1, 0.000 at 1"
    )
    assert float(root.attrib["width"]) == CURVE_PX
    assert 2 * CURVE_PX < NARROW_PX
    assert [text.text for text in root.iter("text")] == ["0.03", "0.1", "1", "-0.60", "-0.20"]
    assert svg == curve(points, model="<$a$> \x00")


@pytest.mark.parametrize(
    ("points", "named"),
    [
        ({0.1: -0.4, 1.0: -0.5}, ["0.1", "1"]),
        ({0.09: -0.4, 0.1: -0.4, 1.0: -0.5}, ["0.1", "1"]),
        ({0.0001: -0.3, 0.05: -0.4, 0.1: -0.4}, ["0.0001", "0.1"]),
    ],
)
def test_the_epsilon_of_the_recipe_is_named_and_no_name_covers_another(points, named):
    texts = [text.text for text in ET.fromstring(curve(points)).iter("text")]  # noqa: S314
    assert texts[: len(named)] == named


def test_curves_on_one_scale_put_equal_scores_at_equal_heights():
    def heights(points):
        root = ET.fromstring(curve(points))  # noqa: S314
        return [dot.attrib["y"] for dot in root.iter("use")]

    assert heights({0.1: -0.3, 1.0: -0.5})[1] == heights({0.1: -0.5, 10.0: -0.2})[0]


def test_a_flat_curve_of_a_perfect_model_is_drawn():
    assert curve({0.1: 0.0, 1.0: 0.0}, limits=(0.0, 0.0)).startswith("<svg")
