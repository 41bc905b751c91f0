"""Truth tables of a user, and what the report makes of them."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from otce import tables
from otce.errors import DataError
from otce.ranking import summarize
from otce.report.page import render
from otce.tables import PAIR
from otce.truth.assess import assess
from otce.truth.baselines import STATIC
from otce.truth.read import Measured, read_baselines, read_truth
from tests.drawn_runs import HOSTILE, scored

MODELS = ("near", "middle", "far", "007")


def written(folder, text, name="truth.csv"):
    path = folder / name
    path.write_text(text)
    return str(path)


def truth_of(*, target="bay", kind="truth", seeds=("0", "1"), models=MODELS):
    return [
        Measured(kind, model, target, seed, 0.6 - 0.1 * n + 0.01 * int(seed))
        for n, model in enumerate(models)
        for seed in seeds
    ]


def run(targets=("bay", "cove"), models=MODELS):
    rows = []
    for target in targets:
        for n, model in enumerate(models):
            joint = [[0.5 - 0.05 * n, 0.05 * n], [0.05 * n, 0.5 - 0.05 * n]]
            rows += scored(model, target, np.array(joint) + 1e-3)[0]
    return summarize(pa.Table.from_pylist(rows, schema=PAIR))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_one_row_a_model_and_target_is_read(tmp_path, kind):
    """A model called 007 stays 007."""
    rows = {"model": ["near", "007"], "target": ["bay", "bay"], "value": [0.5, 0.25]}
    path = str(tmp_path / f"truth.{kind}")
    if kind == "csv":
        written(tmp_path, "model,target,value\nnear,bay,0.5\n007,bay,0.25\n")
    else:
        pq.write_table(pa.table(rows), path)
    assert read_truth(path) == [
        Measured("truth", "near", "bay", "", 0.5),
        Measured("truth", "007", "bay", "", 0.25),
    ]


def test_seeds_and_kinds_are_kept_apart(tmp_path):
    text = (
        "source_model,target_dataset,kind,shots,seed,value,note\n"
        "near,bay,head_retrained,20,0,0.5,x\nnear,bay,head_retrained,20,1,0.6,x\n"
        "near,bay,zero_shot,,0,0.1,x\n"
    )
    found = read_truth(written(tmp_path, text))
    assert [(m.truth, m.seed, m.value) for m in found] == [
        ("head retrained with 20 images", "0", 0.5),
        ("head retrained with 20 images", "1", 0.6),
        ("zero shot", "0", 0.1),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,value\nnear,0.5\n", "lacks the column target"),
        ("model,target,value\nnear,bay,good\n", "row 1: value is 'good'"),
        ("model,target,value\nnear,bay,inf\n", "row 1: value is inf"),
        ("model,target,value\nnear,bay,0.5\nnear,bay,0.6\n", "row 2: near on bay is there twice"),
        ("model,target,value\nnear,bay,\n", "no row with a value"),
        ("", "no CSV or Parquet table"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_truth(written(tmp_path, text))


def test_baselines_hold_for_all_targets_or_one(tmp_path):
    text = "baseline,model,target,value\nsize,near,,3\nsize,far,bay,2\n"
    found = read_baselines(written(tmp_path, text))
    assert [(b.model, b.target, b.value) for b in found] == [("near", None, 3.0), ("far", "bay", 2)]


def test_a_run_is_held_against_the_truth_of_its_targets():
    truth = truth_of() + truth_of(target="cove") + truth_of(target="elsewhere")
    found = assess(run(), truth).to_pylist()
    assert {row["predictor"] for row in found} == {"otce", STATIC}
    perfect = [r for r in found if (r["predictor"], r["measure"]) == ("otce", "tau")]
    assert [r["value"] for r in perfect] == [1.0, 1.0, 1.0]
    assert {r["target_dataset"] for r in perfect} == {"bay", "cove", None}
    assert {r["ceiling"] for r in perfect} == {1.0, None}


def test_untrained_truths_are_baselines_of_trained_ones():
    truth = truth_of(kind="zero shot") + truth_of(kind="head retrained")
    found = assess(run(("bay",)), truth).to_pylist()
    assert {r["predictor"] for r in found if r["truth"] == "head retrained"} == {
        "otce",
        "zero shot",
    }
    assert "head retrained" not in {r["predictor"] for r in found}


def test_sizes_and_results_at_home_are_baselines_and_no_truth():
    """Their order is the wrong one here, and a model that was not judged at home has none."""
    home = [
        Measured("at source", model, "home", "", 0.1 * n) for n, model in enumerate(MODELS[:-1])
    ]
    sized = [replace(one, n_parameters=100 - i) for i, one in enumerate(truth_of())]
    found = assess(run(("bay",)), sized + home).to_pylist()
    taus = {r["predictor"]: r["value"] for r in found if r["measure"] == "tau"}
    assert taus == {
        "otce": pytest.approx(1),
        "parameter count": pytest.approx(1),
        "source mIoU": pytest.approx(-1),
    }
    assert {r["truth"] for r in found} == {"truth"}
    (row,) = (r for r in found if (r["predictor"], r["measure"]) == ("source mIoU", "tau"))
    assert row["n_models"] == len(MODELS) - 1


def test_a_short_fine_tune_is_a_baseline_of_every_truth_and_no_truth():
    """Of each target by itself: its order is the wrong one for bay and the right one for cove."""
    truths = [
        one
        for kind in ("zero shot", "head with 20 images")
        for target in ("bay", "cove")
        for one in truth_of(kind=kind, target=target)
    ]
    name = "short fine tune"
    short = [
        Measured(f"{name} with 20 images", model, target, seed, moved + n * sign)
        for n, model in enumerate(MODELS)
        for target, sign in (("bay", 1), ("cove", -1), ("elsewhere", 1))
        # On average over the seeds, of which either would be in another order.
        for seed, moved in (("0", 9 * (n % 2)), ("1", -9 * (n % 2)))
    ]
    found = assess(run(), truths + short).to_pylist()
    assert {row["truth"] for row in found} == {"zero shot", "head with 20 images"}
    for truth in ("zero shot", "head with 20 images"):
        taus = {
            row["target_dataset"]: row["value"]
            for row in found
            if (row["truth"], row["predictor"], row["measure"]) == (truth, name, "tau")
        }
        assert taus == pytest.approx({"bay": -1, "cove": 1, None: 0})


def test_a_truth_of_other_targets_is_refused():
    with pytest.raises(DataError, match="targets are bay, cove, the truth's reef"):
        assess(run(), truth_of(target="reef"))


def test_the_report_shows_it_and_escapes_every_name():
    models = (*MODELS[:2], *HOSTILE[:2])
    summary = run(models=models)
    truth = truth_of(models=models, kind=HOSTILE[0]) + truth_of(target="cove", models=models)
    page = render(
        manifest={"run_id": "test"},
        scores=tables.SCORES.empty_table(),
        summary=summary,
        joints=tables.JOINTS.empty_table(),
        failures=tables.FAILURES.empty_table(),
        agreement=assess(summary, truth),
    )
    assert "Did it predict the transfer?" in page
    assert HOSTILE[0] not in page
    assert "No predictor agreed better than OTCE." in page


def test_a_run_without_a_coupling_is_held_to_another_metric():
    summary = run()
    other = summary.set_column(
        summary.schema.get_field_index("metric"),
        summary.schema.field("metric"),
        pa.array(["leep"] * summary.num_rows),
    )
    truth = truth_of() + truth_of(target="cove")
    with pytest.raises(DataError, match="no target with three models in common"):
        assess(other, truth)
    found = assess(other, truth, reference="leep").to_pylist()
    own = [row for row in found if row["predictor"] == "leep"]
    assert own
    assert {row["difference"] for row in own} == {0.0}
