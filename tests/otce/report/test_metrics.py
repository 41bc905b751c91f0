"""All metrics of a target beside each other, explained and compared."""

import re
from typing import get_args

from otce.recipe import Metric
from otce.report.metrics import ABOUT, MOST_MODELS, looks_at
from tests.drawn_runs import (
    CONFUSED,
    SEES_NO_SOURCE,
    blurred,
    cells,
    failure,
    measured,
    page,
    scored,
)

DASH = "\N{EN DASH}"


def test_metrics_stand_beside_each_other_in_the_order_of_otce():
    good, fair, poor = (
        scored(m, "bay", blurred(CONFUSED, b)) for m, b in zip("zya", (0, 0.5, 0.9), strict=True)
    )
    reversed_ = [
        measured(p, "logme", lambda otce: 10 - otce, **SEES_NO_SOURCE) for p in (good, fair)
    ]
    html = page(good, fair, poor, *reversed_, failures=[failure("a", "bay", metric="logme")])
    head, *rows = cells(html, "All metrics on bay")
    assert head == ["model", "OTCE", "logme"]
    assert [row[0] for row in rows] == ["z", "y", "a"]
    assert re.fullmatch(r"-0\.\d+ ± 0\.\d+ · #1", rows[0][1])
    assert re.fullmatch(r"10\.\d+ ± 0\.\d+ · #2", rows[0][2])
    assert rows[2][2] == "failed"
    best = re.findall(r'class="n best">(-?\d+)', html)
    assert best == ["-0", "10"]
    legend = {row[0]: row for row in cells(html, "What the metrics are")}
    assert legend["logme"][2:] == ["target features", "nats", "unbounded"]
    assert legend["OTCE"][2:] == ["coupling", "nats", "at most 0"]
    assert legend.keys() == {"metric", "OTCE", "logme"}


def test_every_metric_is_explained():
    assert ABOUT.keys() == set(get_args(Metric))
    assert {looks_at(metric) for metric in ABOUT} == {"coupling", "target features", "predictions"}


def test_agreement_is_told_of_two_metrics_and_a_dash_where_nothing_is_known():
    pairs = [scored(f"m{n}", "bay", blurred(CONFUSED, n / 5)) for n in range(4)]
    against = [measured(pair, "logme", lambda otce: -otce, **SEES_NO_SOURCE) for pair in pairs]
    few = [measured(pair, "nce", lambda otce: otce, **SEES_NO_SOURCE) for pair in pairs[:2]]
    html = page(*pairs, *against, *few)
    assert cells(html, "Agreement of metrics on bay")[1:] == [
        ["OTCE", "1.00", "-1.00", DASH],
        ["logme", "-1.00", "1.00", DASH],
        ["nce", DASH, DASH, DASH],
    ]
    assert "How far the metrics agree" not in page(*pairs)
    assert "their orders cannot be compared" in page(*pairs[:2], *against[:2])


def test_of_many_models_the_first_are_in_the_table_of_metrics():
    pairs = [
        scored(f"m-{n:04d}", "bay", blurred(CONFUSED, n / 60), repetitions=1) for n in range(50)
    ]
    more = [measured(pair, "logme", lambda otce: otce, **SEES_NO_SOURCE) for pair in pairs]
    html = page(*pairs, *more)
    assert len(cells(html, "All metrics on bay")) == 1 + MOST_MODELS
    assert f"The first {MOST_MODELS} of 50 models; the table of the summary has all" in html
