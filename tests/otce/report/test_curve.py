"""What the page shows and says about epsilon: no more than curves show and solvers can know."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce import tables
from otce.ranking import summarize
from otce.report.curve import MOST_CURVES, SOLVED_NATS, Curve, Swap, swaps
from otce.report.page import render
from otce.storage.store import Store
from tests.drawn_runs import CONFUSED, Tags, blurred, curved, page, scored, text_of

EPSILONS = (0.03, 0.1, 1.0)


def curve(model, *points, epsilons=EPSILONS):
    return Curve(model, 1, 0.1, dict(zip(epsilons, points, strict=True)))


def test_neighbours_swap_where_the_order_is_another_one():
    a, b = curve("a", -0.3, -0.2, -0.5), curve("b", -0.2, -0.3, -0.4)
    assert swaps([a, b]) == [Swap("a", "b", [0.03, 1.0])]


def test_a_first_draw_that_disagrees_with_the_ranking_is_no_swap_by_itself():
    """Ranked after `a` over all draws, `b` is the better one in the first, at every epsilon."""
    a, b = curve("a", -0.3, -0.3, -0.3), curve("b", -0.2, -0.2, -0.2)
    assert swaps([a, b]) == []
    assert swaps([a, curve("b", -0.4, -0.2, -0.2)]) == [Swap("b", "a", [0.03])]


@pytest.mark.parametrize("here", [0.0, 0.9 * SOLVED_NATS])
def test_what_the_solver_may_be_off_by_is_no_order(here):
    a = curve("a", -0.3, -0.3, -0.3)
    assert swaps([a, curve("b", -0.2, -0.3 - here, -0.2)]) == []
    assert swaps([a, curve("b", -0.3 + here, -0.4, -0.3)]) == []


def test_only_neighbours_and_common_epsilons_are_compared():
    a, b = curve("a", -0.1, -0.1, -0.5), curve("b", -0.2, -0.2, -0.6)
    c = curve("c", -0.3, -0.3, -0.4, epsilons=(0.03, 0.1, 2.0))
    assert swaps([a, b, c]) == []
    assert swaps([a]) == swaps([]) == []


@given(st.lists(st.tuples(*[st.floats(-3, 0)] * 3), min_size=2, max_size=6))
def test_a_swap_is_a_change_of_sign(points):
    curves = [curve(str(place), *values) for place, values in enumerate(points)]
    by_model = {found.model: found.points for found in curves}
    for better, worse, epsilons in swaps(curves):
        assert by_model[better][0.1] > by_model[worse][0.1]
        assert all(by_model[better][e] < by_model[worse][e] for e in epsilons)
        assert abs(int(better) - int(worse)) == 1


def test_curves_show_and_tell_who_swaps_places():
    """`b` overtakes `a` at epsilon 1, where both have a curve; `c` stays below."""
    html = page(
        curved(scored("a", "bay", CONFUSED), {0.03: 0.0, 1.0: -0.2}),
        curved(scored("b", "bay", blurred(CONFUSED, 0.2)), {0.03: 0.0, 1.0: 0.0}),
        curved(scored("c", "bay", blurred(CONFUSED, 0.5)), {0.03: 0.0, 1.0: 0.0}),
    )
    told = text_of(html)
    assert re.findall(
        r"(\w) and (\w) swap places in the first draw at epsilon ([^<]*)\.", told
    ) == [("a", "b", "1")]
    assert "Red line: the recipe's epsilon, 0.1." in told
    assert re.findall(r'aria-label="OTCE of (\w) \(nats\) by epsilon: .*? at 1"', html) == [*"abc"]
    assert len(Tags(html).ids) == len(set(Tags(html).ids))


def test_curves_that_do_not_cross_say_so():
    flat = {0.03: 0.0, 1.0: -0.001}
    told = text_of(
        page(
            curved(scored("a", "bay", CONFUSED), flat),
            curved(scored("b", "bay", blurred(CONFUSED, 0.2)), flat),
        )
    )
    assert "No neighbours in the ranking swap places in the first draw" in told
    alone = text_of(page(curved(scored("a", "bay", CONFUSED), flat)))
    assert "owe to epsilon" in alone
    assert "swap places" not in alone


def test_a_curve_that_could_not_be_had_says_why():
    reason = "the coupling is <not> solved"
    told = page(
        curved(scored("a", "bay", CONFUSED), {1.0: -0.2}),
        curved(scored("b", "bay", CONFUSED), {}, curve_failure=reason),
    )
    assert "1 model without a curve" in told
    assert "<b>b</b>: the coupling is &lt;not&gt; solved" in told
    assert len(re.findall('aria-label="OTCE of', told)) == 1
    only = page(curved(scored("b", "bay", CONFUSED), {}, curve_failure=reason))
    assert "1 model without a curve" in only
    assert "Red line" not in only


def test_without_curves_nothing_is_said_of_them(tmp_path):
    """Neither when none was asked for, nor in a run from before there were any."""
    pair = scored("a", "bay", CONFUSED)
    empty = page(curved(pair, {}))
    assert "owe to epsilon" not in empty
    scores = tables.table(curved(pair, {})[0], tables.SCORES)
    store = Store(str(tmp_path))
    old = [name for name in tables.SCORES.names if name.startswith("curve_")]
    store.put_table("scores.parquet", scores.drop_columns(old))
    assert empty == render(
        manifest={},
        scores=store.get_table("scores.parquet", tables.SCORES),
        summary=summarize(tables.table(pair[0], tables.PAIR)),
        joints=tables.table(pair[1], tables.JOINTS),
        failures=tables.table([], tables.FAILURES),
    )


def test_of_many_curves_the_best_are_drawn():
    pairs = [
        curved(scored(f"m-{n:02d}", "bay", blurred(CONFUSED, n / 30)), {1.0: -0.2})
        for n in range(MOST_CURVES + 2)
    ]
    html = page(*pairs)
    assert html.count('aria-label="OTCE of') == MOST_CURVES
    assert f"The first {MOST_CURVES} of {MOST_CURVES + 2} models" in html
