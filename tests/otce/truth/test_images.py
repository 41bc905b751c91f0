"""Images move all scores and all transfers that see them, together."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.errors import DataError
from otce.intervals import Side
from otce.transfer.confusion import Confusion
from otce.truth import Cell, judge
from otce.truth.assess import assess
from otce.truth.baselines import LEARNED, with_learned
from otce.truth.images import held_back, spread_by_data_set
from otce.truth.read import Measured, read_truth
from tests.truths import IMAGES, MODELS, confusion, truth_of, written


def tau(rows, predictor="good", target="bay"):
    (row,) = (
        r
        for r in rows
        if (r["predictor"], r["measure"], r["target_dataset"]) == (predictor, "tau", target)
    )
    return row


@given(st.lists(st.integers(0, 3), min_size=IMAGES, max_size=IMAGES), st.integers(0, 99))
def test_drawn_images_are_judged_as_if_they_were_all_there_is(counts, seed):
    generator = np.random.default_rng(seed)
    found = {(model, "0"): confusion(generator) for model in MODELS}
    ious_MS = held_back(found, MODELS, ["0"]).mean_iou(np.array(counts, float))
    for model, (iou,) in zip(MODELS, ious_MS, strict=True):
        one = found[model, "0"]
        again = [np.repeat(px, counts, axis=0) for px in (one.right, one.labelled, one.predicted)]
        if sum(counts):
            assert iou == pytest.approx(Confusion(*again).mean_iou, rel=1e-12)
        else:
            assert np.isnan(iou)


def test_pixels_must_be_known_of_all_trainings_and_of_the_same_images():
    generator = np.random.default_rng(0)
    some = {("a", "0"): confusion(generator), ("b", "0"): None}
    assert held_back(some, MODELS, ["0"]) is None
    other = {("a", "0"): confusion(generator), ("b", "0"): confusion(generator, images=4)}
    assert held_back(other, MODELS, ["0"]) is None
    # A training that was not made takes nothing from the others.
    one = held_back({("a", "0"): some["a", "0"]}, MODELS, ["0"])
    assert one.mean_iou(np.ones(IMAGES))[0, 0] == pytest.approx(some["a", "0"].mean_iou)


def test_drawn_images_give_a_score_the_variance_of_its_interval():
    generator = np.random.default_rng(0)
    side = Side("ab", np.arange(9), np.random.default_rng(1).normal(size=9))
    spreads = {"otce": spread_by_data_set([[side]])}
    cell = Cell("bay", np.zeros((1, 1)), {"otce": np.zeros(1)}, {"otce": np.zeros(1)}, spreads)
    moved = [
        cell.moved("otce", {"ab": generator.multinomial(9, [1 / 9] * 9) - 1.0}, np.ones(1))[0]
        for _ in range(20_000)
    ]
    assert np.var(moved) == pytest.approx(side.variance, rel=0.03)
    assert np.mean(moved) == pytest.approx(0, abs=0.03 * np.std(moved))


def perfect(noise, spreads=None):
    """A predictor that is the truth, but for the noise of its images."""
    truth_M = np.arange(8.0)
    scores, stderrs = ({"good": values} for values in (truth_M, np.full(8, noise)))
    return Cell("bay", truth_M[:, None], scores, stderrs, {"good": spreads} if spreads else {})


def test_what_images_do_to_all_models_alike_costs_nothing():
    alike = Side("ab", np.arange(9), np.random.default_rng(1).normal(size=9))
    together = perfect(0.0, spread_by_data_set([[alike]] * 8))
    assert tau(judge([together], "good"))["low95"] == pytest.approx(1)
    apart = perfect(np.sqrt(alike.variance))
    assert tau(judge([apart], "good"))["low95"] < 0.8


def test_what_images_do_to_each_model_differently_costs():
    generator = np.random.default_rng(1)
    sides = [[Side("ab", np.arange(9), generator.normal(size=9))] for _ in range(8)]
    assert tau(judge([perfect(0.0, spread_by_data_set(sides))], "good"))["low95"] < 0.8


def test_a_data_set_is_drawn_once_for_all_predictors():
    """Of two predictors with the same noise no draw prefers one, whatever images did to both."""
    generator = np.random.default_rng(1)
    spreads = spread_by_data_set(
        [[Side("ab", np.arange(9), generator.normal(size=9))] for _ in range(8)]
    )
    cell = perfect(0.0, spreads)
    twins = Cell(
        "bay",
        cell.truth_MS,
        dict.fromkeys(("good", "otce"), cell.scores["good"]),
        dict.fromkeys(("good", "otce"), np.zeros(8)),
        dict.fromkeys(("good", "otce"), spreads),
    )
    row = tau(judge([twins], "otce"))
    assert row["low95"] < 0.8
    assert row["difference_low95"] == row["difference_high95"] == 0


def test_a_side_that_saw_fewer_images_of_a_data_set_moves_by_the_same_draw():
    long, short = (Side("ab", np.arange(n), np.linspace(-1, 1, n)) for n in (9, 4))
    cell = perfect(0.0, spread_by_data_set([[long]] * 8))
    both = Cell(
        "bay",
        cell.truth_MS,
        {"good": cell.scores["good"], "otce": cell.scores["good"]},
        dict.fromkeys(("good", "otce"), np.zeros(8)),
        {**cell.spreads, "otce": spread_by_data_set([[short]] * 8)},
    )
    assert both.sizes() == {"ab": 9}
    weights = {"ab": np.array([-1.0, 0, 0, 1, 0, 0, 0, 0, 0])}
    moved = both.moved("otce", weights, np.zeros(8)) - both.scores["otce"]
    np.testing.assert_allclose(moved, short.spread[3] - short.spread[0])


def test_images_that_judge_differently_make_the_truth_uncertain():
    """Where every image gives the same order no draw of them can change it."""
    generator = np.random.default_rng(3)
    steady, shaky = [], []
    for n, model in enumerate(MODELS):
        one = confusion(np.random.default_rng(0), images=1)
        right = np.maximum(one.right - n, 0)
        same = Confusion(*(np.repeat(px, 6, 0) for px in (right, one.labelled, one.labelled)))
        steady.append(Measured("head", model, "bay", "0", same.mean_iou, same))
        other = confusion(generator)
        shaky.append(Measured("head", model, "bay", "0", other.mean_iou, other))
    for truth, certain in ((steady, True), (shaky, False)):
        summary = predicting(truth)
        row = tau(assess(summary, truth).to_pylist(), "otce")
        assert row["value"] == pytest.approx(1)
        assert (row["low95"] > 1 - 1e-9) is certain
        unknown = [Measured(*[getattr(m, f) for f in FIELDS]) for m in truth]
        assert tau(assess(summary, unknown).to_pylist(), "otce")["low95"] == pytest.approx(1)


FIELDS = ("truth", "model", "target", "seed", "value")


def predicting(truth):
    """A run whose OTCE orders models as the truth does, without noise."""
    columns = ("source_model", "target_dataset", "metric", "mean", "stderr", "total_stderr")
    rows = [
        dict(zip(columns, (m.model, m.target, "otce", m.value, 0.0, 0.0), strict=True))
        | {"degenerate": "none"}
        for m in truth
    ]
    return pa.Table.from_pylist(rows)


def test_a_mixture_moves_as_its_parts_do():
    generator = np.random.default_rng(0)
    cells = []
    for target in "xyz":
        truth_M = generator.normal(size=8)
        scores = {name: truth_M + 0.3 * generator.normal(size=8) for name in ("otce", "leep")}
        spread_MI = generator.normal(size=(8, 5))
        stderrs = {"otce": np.zeros(8), "leep": np.full(8, 0.5)}
        spreads = {"otce": {"ab": spread_MI}}
        cells.append(Cell(target, truth_M[:, None], scores, stderrs, spreads))
    (cell, *_), noise_M = with_learned(cells, ["otce", "leep"]), generator.normal(size=8)
    weights = {"ab": generator.normal(size=5)}
    moved = {name: cell.moved(name, weights, noise_M) - cell.scores[name] for name in cell.scores}
    shares = np.linalg.lstsq(
        np.stack([moved["otce"], moved["leep"]], axis=1), moved[LEARNED], rcond=None
    )
    np.testing.assert_allclose(shares[1], 0, atol=1e-20)
    mixed = shares[0] @ [cell.scores["otce"], cell.scores["leep"]]
    np.testing.assert_allclose(np.ptp(mixed - cell.scores[LEARNED]), 0, atol=1e-12)


def test_images_beside_a_truth_are_read_with_it(tmp_path):
    truth = truth_of(np.random.default_rng(0))
    path = written(tmp_path, truth)
    for found, wanted in zip(read_truth(path), truth, strict=True):
        np.testing.assert_array_equal(found.images.right, wanted.images.right)
        np.testing.assert_array_equal(found.images.predicted, wanted.images.predicted)
    (tmp_path / "truth_images.parquet").unlink()
    assert [one.images for one in read_truth(path)] == [None] * len(MODELS)


def test_images_of_another_measurement_are_refused(tmp_path):
    path = written(tmp_path, truth_of(np.random.default_rng(0)), right=1)
    with pytest.raises(DataError, match=r"row 1: a on bay has the value .* write both tables anew"):
        read_truth(path)
