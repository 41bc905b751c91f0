"""Predictors that predict by construction are told from those that do not."""

import numpy as np
import pytest

from otce.truth import Cell, judge
from otce.truth.baselines import LEARNED, STATIC, with_learned, with_static
from otce.truth.judge import noise_ceiling, pool_spread

MODELS = 12


def planted(*, targets=8, seeds=2, noise=0.2, seed=0):
    """`good` is the truth and noise, `bad` noise alone, `otce` in between."""
    generator = np.random.default_rng(seed)
    cells = []
    for target in range(targets):
        truth_M = generator.normal(size=MODELS)
        truth_MS = truth_M[:, None] + 0.1 * generator.normal(size=(MODELS, seeds))
        scores = {
            "otce": truth_M + generator.normal(size=MODELS),
            "good": truth_M + noise * generator.normal(size=MODELS),
            "bad": generator.normal(size=MODELS),
        }
        stderrs = {name: np.full(MODELS, 0.02) for name in scores}
        cells.append(Cell(f"target-{target}", truth_MS, scores, stderrs))
    return cells


def means(rows, measure="weighted_tau"):
    return {
        row["predictor"]: row
        for row in rows
        if row["target_dataset"] is None and row["measure"] == measure
    }


@pytest.fixture(scope="module")
def rows():
    return judge(planted(), "otce", draws=60)


def test_a_planted_truth_is_recognised_with_its_interval(rows):
    found = means(rows)
    assert found["good"]["low95"] > 0.5
    assert found["bad"]["low95"] < 0 < found["bad"]["high95"]
    assert found["good"]["difference_low95"] > 0
    assert found["bad"]["difference_high95"] < 0
    assert found["otce"]["difference"] == found["otce"]["difference_high95"] == 0
    for row in rows:
        if row["low95"] is not None and row["measure"] in {"tau", "pearson", "weighted_tau"}:
            assert -1 <= row["low95"] <= row["high95"] <= 1


def test_the_mean_is_that_of_the_targets_and_nothing_is_pooled(rows):
    mine = [r["value"] for r in rows if (r["predictor"], r["measure"]) == ("good", "tau")]
    assert len(mine) == 8 + 1
    assert mine[-1] == pytest.approx(np.mean(mine[:-1]))
    # Levels that differ by target change no mean over targets.
    shifted = [
        Cell(c.target, c.truth_MS + 100 * n, c.scores, c.stderrs) for n, c in enumerate(planted())
    ]
    again = means(judge(shifted, "otce", draws=2), "tau")
    assert again["good"]["value"] == pytest.approx(mine[-1])


def test_the_same_seed_gives_the_same_rows():
    cells = planted(targets=2)
    assert judge(cells, "otce", draws=5) == judge(cells, "otce", draws=5)


def test_one_target_has_rows_of_its_own_and_no_mean():
    rows = judge(planted(targets=1), "otce", draws=5)
    assert {row["target_dataset"] for row in rows} == {"target-0"}


def test_seeds_that_agree_little_lower_the_ceiling():
    generator = np.random.default_rng(1)
    truth_M = generator.normal(size=(40, 1))
    steady, shaky = (
        noise_ceiling(truth_M + noise * generator.normal(size=(40, 3)), "pearson")
        for noise in (0.05, 2.0)
    )
    assert steady > 0.99
    assert shaky < 0.6
    assert noise_ceiling(truth_M, "pearson") is None


def test_pools_are_all_that_lack_a_tenth_or_two_hundred_of_them():
    order = np.arange(30.0)
    assert pool_spread(order, order) == 0
    assert pool_spread(order, np.random.default_rng(0).permutation(order)) > 0
    assert pool_spread(order[:3], order[:3]) is None


def test_the_static_ranking_never_sees_its_own_target():
    cells = planted(targets=3)
    models = {cell.target: [f"m{i}" for i in range(MODELS)] for cell in cells}
    before = with_static(cells, models)[0].scores[STATIC]
    other = Cell("target-0", cells[0].truth_MS[::-1], cells[0].scores, cells[0].stderrs)
    after = with_static([other, *cells[1:]], models)[0].scores[STATIC]
    np.testing.assert_array_equal(before, after)
    assert STATIC not in with_static(cells[:1], models)[0].scores


def test_the_learned_mixture_never_sees_its_own_target_and_finds_who_predicts():
    cells = planted(targets=6)
    found = with_learned(cells, ["otce", "good", "bad"])
    other = Cell("target-0", -cells[0].truth_MS, cells[0].scores, cells[0].stderrs)
    again = with_learned([other, *cells[1:]], ["otce", "good", "bad"])
    np.testing.assert_array_equal(found[0].scores[LEARNED], again[0].scores[LEARNED])
    best = means(judge(found, "otce", draws=5))
    assert best[LEARNED]["value"] > best["otce"]["value"]
    assert best[LEARNED]["value"] > best["good"]["value"] - 0.1


def test_a_mixture_needs_three_targets_and_two_complete_predictors():
    cells = planted(targets=3)
    assert LEARNED not in with_learned(cells[:2], ["otce", "good"])[0].scores
    cells[1].scores["good"][0] = np.nan
    assert LEARNED not in with_learned(cells, ["otce", "good"])[0].scores
