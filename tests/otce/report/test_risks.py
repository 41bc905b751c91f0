"""Where the score is lost, in numbers and in pictures."""

from statistics import fmean

import pytest

from otce.report.risks import Overlay
from tests.drawn_runs import CONFUSED, blurred, cells, page, risks, scored


def test_risks_of_the_best_and_the_worst_stand_beside_each_other():
    good, poor = (scored(m, "bay", blurred(CONFUSED, b)) for m, b in (("good", 0.1), ("poor", 0.8)))
    cuts = {"boundary": [("boundary", 0.2, 0.5), ("interior", 0.8, 0.5)]}
    cuts["image"] = [("easy <b>", 0.5, 0.2), ("hard", 0.25, 0.6), ("fair", 0.25, 0.2)]
    html = page(good, poor, risks=risks(good, cuts) + risks(poor, cuts))
    lost = [-fmean(row["otce"] for row in pair[0]) for pair in (good, poor)]
    head, at, inside = cells(html, "near a boundary or not, bay")
    assert [word.split()[0] for word in head[2:]] == ["best", "best", "worst", "worst"]
    assert at[1:] == ["20.0 %"] + [
        f"{value:.3f}" for nats in lost for value in (nats * 0.5 / 0.2, nats * 0.5)
    ]
    assert sum(float(row[3]) for row in (at, inside)) == pytest.approx(lost[0], abs=2e-3)
    _, *images = cells(html, "hardest images, bay")
    assert [row[0] for row in images] == ["hard", "fair", "easy <b>"]
    assert images[0][2:] == [f"{nats * 0.6 / 0.25:.3f}" for nats in lost]
    assert "Where the score is lost" not in page(good, poor, risks=[])


def test_maps_are_part_of_the_page_if_they_are_of_its_pairs():
    pair = scored("unet", "bay", CONFUSED)
    shown = Overlay("unet/bay", "unet", "bay", "cam <1>", 0.25, b"\x89PNG")
    overlays = [
        shown,
        shown._replace(image="huge", png=None),
        shown._replace(image="old", pair_fingerprint="other"),
    ]
    html = page(pair, overlays=overlays)
    assert html.count("<img") == 1
    assert 'src="data:image/png;base64,iVBORw=="' in html
    assert "cam &lt;1&gt;: mean risk 0.250 nats a pixel" in html
    assert "The map of huge is too large for this page" in html
    assert "old" not in html[html.index("Maps of images") :][:1500]
    assert "Maps of images" not in page(pair)
