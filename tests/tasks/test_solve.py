"""A repetition's score, and the curve over epsilon that the first one is given."""

import pytest

from otce import TransportError, score_epsilons, score_pixels
from otce.config import ScoreConfig
from tasks import solve
from tasks.solve import solve_parts
from tests.drawn import clouds

CURVE = ("curve_epsilon", "curve_otce", "curve_failure")
SETTINGS = {
    "epsilon": 0.2,
    "feature_scaling": "standardize",
    "relaxation": "none",
    "class_weights": "uniform",
}
DRAW = clouds(5)
SOURCE, TARGET = (DRAW.source_ND, DRAW.source_y), (DRAW.target_MD, DRAW.target_y)


def solved(**changes):
    """Solve with each side cut into two parts, as shards are."""
    parts = [(x[part], y[part]) for x, y in (SOURCE, TARGET) for part in (slice(7), slice(7, None))]
    return solve_parts(ScoreConfig(**SETTINGS | changes), 2, *parts)


@pytest.mark.parametrize("relaxation", ["none", "source"])
@pytest.mark.parametrize("solver", ["auto", "pot"])
def test_the_curve_is_what_one_call_at_several_epsilons_gives(solver, relaxation):
    changes = {"solver": solver, "relaxation": relaxation}
    row = solved(**changes, epsilon_curve=[0.5, 1.0, 10.0])
    epsilons = [0.1, 0.2, 2.0]
    wanted = score_epsilons(
        *DRAW.arguments, **{n: v for n, v in SETTINGS.items() if n != "epsilon"} | changes,
        epsilons=epsilons, device="cpu",
    )  # fmt: skip
    assert row["curve_epsilon"] == epsilons
    assert row["curve_otce"] == [score.otce for score in wanted]
    assert row["curve_failure"] is None


def test_by_default_the_curve_surrounds_the_epsilon_of_the_recipe():
    row = solved()
    assert row["curve_epsilon"] == pytest.approx([0.06, 0.2, 0.6, 2.0])
    assert row["curve_otce"][1] == pytest.approx(row["otce"], abs=1e-3)


@pytest.mark.parametrize("solver", ["auto", "pot", "emd"])
def test_nothing_else_depends_on_the_curve(solver):
    with_curve, without = solved(solver=solver), solved(solver=solver, epsilon_curve=())
    assert {n: v for n, v in with_curve.items() if n not in CURVE} == {
        n: v for n, v in without.items() if n not in CURVE
    }
    alone = score_pixels(*DRAW.arguments, **SETTINGS, solver=solver, device="cpu")
    assert with_curve["otce"] == alone.otce
    assert with_curve["joint"] == alone.joint.ravel().tolist()


@pytest.mark.parametrize("changes", [{"solver": "emd"}, {"epsilon_curve": ()}])
def test_without_epsilon_or_multiples_there_is_no_curve_and_nothing_failed(changes):
    row = solved(**changes)
    assert [row[name] for name in CURVE] == [[], [], None]


def test_a_score_stands_when_its_curve_is_not_solved():
    """At a thousandth of the epsilon this draw needs more iterations than it is allowed."""
    row = solved(epsilon_curve=[1e-3, 1.0], solver="pot", max_iterations=60)
    assert row["otce"] == solved(epsilon_curve=(), solver="pot").get("otce")
    assert row["converged"]
    assert row["curve_epsilon"] == row["curve_otce"] == []
    assert "is not solved" in row["curve_failure"]
    assert "epsilon 0.0002" in row["curve_failure"]


def test_a_failing_curve_is_no_reason_to_hide_another_error(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(solve, "score_epsilons", fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        solved()


def test_a_score_that_is_not_solved_is_an_error_as_before():
    with pytest.raises(TransportError, match="is not solved"):
        solved(epsilon=1e-4, solver="pot", max_iterations=1)
