"""A repetition's score, and the curve over epsilon that the first one is given."""

import numpy as np
import pytest

from otce import TransportError, score_epsilons, score_pixels
from otce.config import ScoreConfig
from otce.draw import Draw
from tasks import solve
from tasks.solve import Request, solve_parts
from tests.drawn import clouds

CURVE = ("curve_epsilon", "curve_otce", "curve_failure")
SETTINGS = {
    "epsilon": 0.2,
    "feature_scaling": "standardize",
    "relaxation": "none",
    "class_weights": "uniform",
}
DRAW = clouds(5)
SIDES = (DRAW.source_ND, DRAW.source_y), (DRAW.target_MD, DRAW.target_y)


def solved(*, metrics=("otce",), class_map=None, with_curve=True, **changes):
    """Solve with each side cut into two parts, as shards are."""
    parts = [
        Draw(x[part], y[part], np.arange(len(y), dtype=np.int32)[part] // 4)
        for x, y in SIDES
        for part in (slice(8), slice(8, None))
    ]
    request = Request(ScoreConfig(**SETTINGS | changes), tuple(metrics), class_map, with_curve)
    return solve_parts(request, 2, 2, *parts)


def row(**changes):
    return solved(**changes)["otce"]


@pytest.mark.parametrize("relaxation", ["none", "source"])
@pytest.mark.parametrize("solver", ["auto", "pot"])
def test_the_curve_is_what_one_call_at_several_epsilons_gives(solver, relaxation):
    changes = {"solver": solver, "relaxation": relaxation}
    found = row(**changes, epsilon_curve=[0.5, 1.0, 10.0])
    epsilons = [0.1, 0.2, 2.0]
    wanted = score_epsilons(
        *DRAW.arguments, **{n: v for n, v in SETTINGS.items() if n != "epsilon"} | changes,
        epsilons=epsilons, device="cpu",
    )  # fmt: skip
    assert found["curve_epsilon"] == epsilons
    assert found["curve_otce"] == [score.otce for score in wanted]
    assert found["curve_failure"] is None


def test_by_default_the_curve_surrounds_the_epsilon_of_the_recipe():
    found = row()
    assert found["curve_epsilon"] == pytest.approx([0.06, 0.2, 0.6, 2.0])
    assert found["curve_otce"][1] == pytest.approx(found["otce"], abs=1e-3)


@pytest.mark.parametrize("solver", ["auto", "pot", "emd"])
def test_nothing_else_depends_on_the_curve(solver):
    with_curve, without = row(solver=solver), row(solver=solver, epsilon_curve=())
    assert {n: v for n, v in with_curve.items() if n not in CURVE} == {
        n: v for n, v in without.items() if n not in CURVE
    }
    alone = score_pixels(*DRAW.arguments, **SETTINGS, solver=solver, device="cpu")
    assert with_curve["otce"] == alone.otce
    assert with_curve["joint"] == alone.joint.ravel().tolist()


@pytest.mark.parametrize("changes", [{"solver": "emd"}, {"epsilon_curve": ()}])
def test_without_epsilon_or_multiples_there_is_no_curve_and_nothing_failed(changes):
    found = row(**changes)
    assert [found[name] for name in CURVE] == [[], [], None]


def test_a_score_stands_when_its_curve_is_not_solved():
    """At a thousandth of the epsilon this draw needs more iterations than it is allowed."""
    found = row(epsilon_curve=[1e-3, 1.0], solver="pot", max_iterations=60)
    assert found["otce"] == row(epsilon_curve=(), solver="pot").get("otce")
    assert found["converged"]
    assert found["curve_epsilon"] == found["curve_otce"] == []
    assert "is not solved" in found["curve_failure"]
    assert "epsilon 0.0002" in found["curve_failure"]


def test_a_failing_curve_is_no_reason_to_hide_another_error(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(solve, "score_epsilons", fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        solved()


def test_a_score_that_is_not_solved_is_an_error_as_before():
    found = row(epsilon=1e-4, solver="pot", max_iterations=1)
    assert isinstance(found, TransportError)
    assert "is not solved" in str(found)
