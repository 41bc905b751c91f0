"""The ranking claims no more than images and pixels allow."""

import random
from math import inf, nan, sqrt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce import tables
from otce.errors import DataError
from otce.ranking import summarize
from tests.ranked import column, rows_of, summary_of

KEYS = ("target_dataset", "source_model", "metric")


def test_numbers_by_hand():
    (row,) = summary_of(rows_of("unet", [-0.5, -0.4, -0.3])).to_pylist()
    assert row["mean"] == pytest.approx(-0.4)
    assert row["std"] == pytest.approx(0.1)
    assert row["stderr"] == pytest.approx(0.1 / sqrt(3))
    assert row["ci95_low"] == pytest.approx(-0.4 - 4.302653 * 0.1 / sqrt(3), abs=1e-6)
    assert row["normalized"] == pytest.approx(0.81)
    assert row["max_marginal_error"] == pytest.approx(3e-4)
    assert (row["k_done"], row["rank"], row["tied_with"]) == (3, 1, [])
    assert (row["source_dataset"], row["preset"]) == ("unet-data", "default")
    assert row["pair_fingerprint"] == "fp-unet-bay"


def test_a_single_repetition_has_a_mean_only_and_ranks_by_it():
    summary = summary_of(rows_of("a", [-0.3]), rows_of("b", [-0.2]), rows_of("c", [-0.3]))
    assert summary["source_model"].to_pylist() == ["b", "a", "c"]
    assert summary["rank"].to_pylist() == [1, 2, 2]
    assert column(summary, "tied_with") == {"a": ["c"], "b": [], "c": ["a"]}
    for name in ("std", "stderr", "ci95_low", "ci95_high"):
        assert summary[name].null_count == 3


def test_overlapping_intervals_share_a_rank_and_name_each_other():
    summary = summary_of(
        rows_of("good", [-0.30, -0.31, -0.29]),
        rows_of("also-good", [-0.31, -0.32, -0.30]),
        rows_of("bad", [-0.90, -0.91, -0.89]),
    )
    assert column(summary, "rank") == {"good": 1, "also-good": 1, "bad": 3}
    assert column(summary, "tied_with")["good"] == ["also-good"]
    assert column(summary, "tied_with")["also-good"] == ["good"]
    assert summary["source_model"].to_pylist() == ["good", "also-good", "bad"]


def test_intervals_that_touch_overlap():
    summary = summary_of(rows_of("a", [-0.5]), rows_of("b", [-0.5]))
    assert summary["rank"].to_pylist() == [1, 1]
    assert column(summary, "tied_with") == {"a": ["b"], "b": ["a"]}


def test_a_model_that_left_a_race_keeps_its_numbers_and_has_no_rank():
    summary = summary_of(
        rows_of("early", [-0.1, -0.1]),
        rows_of("first", [-0.4, -0.4, -0.4]),
        rows_of("second", [-0.5, -0.5, -0.5]),
    )
    assert summary["source_model"].to_pylist() == ["first", "second", "early"]
    assert summary["rank"].to_pylist() == [1, 2, None]
    assert summary["k_done"].to_pylist() == [3, 3, 2]
    assert summary["mean"].to_pylist()[2] == pytest.approx(-0.1)
    assert summary["tied_with"].to_pylist() == [[], [], []]


def test_degenerate_pairs_are_never_ranked_and_come_last():
    blind = rows_of("blind", [0.0, 0.0], degenerate="target")
    blind[1]["degenerate"] = "none"
    summary = summary_of(blind, rows_of("seeing", [-0.5, -0.4]))
    assert summary["source_model"].to_pylist() == ["seeing", "blind"]
    assert summary["rank"].to_pylist() == [1, None]
    assert summary["degenerate"].to_pylist() == ["none", "target"]
    assert summary["tied_with"].to_pylist() == [[], []]


def test_a_normalized_score_that_does_not_exist_stays_absent():
    (row,) = summary_of(
        rows_of("blind", [0.0, 0.0], degenerate="target", normalized=None)
    ).to_pylist()
    assert row["normalized"] is None


def test_models_scored_with_other_pixel_counts_are_shown_but_not_ranked():
    """Fewer source pixels lower the score on their own, beyond the interval."""
    summary = summary_of(
        rows_of("a", [-0.5, -0.4]),
        rows_of("b", [-0.9, -0.8]),
        rows_of("small", [-0.1, -0.2], n_source_px=650),
    )
    assert column(summary, "rank") == {"a": 1, "b": 1, "small": None}
    assert column(summary, "tied_with") == {"a": ["b"], "b": ["a"], "small": []}
    assert column(summary, "n_source_px")["small"] == 650


def test_of_equally_frequent_pixel_counts_the_larger_is_ranked():
    summary = summary_of(
        rows_of("small", [-0.1], n_source_px=650), rows_of("full", [-0.5]), rows_of("one", [-0.1])
    )
    assert column(summary, "rank") == {"one": 1, "full": 2, "small": None}
    summary = summary_of(rows_of("small", [-0.1], n_source_px=650), rows_of("full", [-0.5]))
    assert column(summary, "rank") == {"full": 1, "small": None}


def test_targets_and_metrics_are_ranked_apart():
    summary = summary_of(
        rows_of("a", [-0.5]),
        rows_of("a", [-0.1], target_dataset="avon"),
        rows_of("b", [-0.4]),
        rows_of("b", [-9.0], target_dataset="avon"),
        rows_of("a", [-0.1], metric="leep"),
    )
    found = summary.select([*KEYS, "rank"]).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("avon", "a", "otce", 1),
        ("avon", "b", "otce", 2),
        ("bay", "a", "leep", 1),
        ("bay", "b", "otce", 1),
        ("bay", "a", "otce", 2),
    ]


def test_no_rows_give_an_empty_summary():
    assert summary_of() == tables.table([], tables.SUMMARY)


@pytest.mark.parametrize("score", [nan, -inf, None])
def test_a_score_that_is_no_number_is_refused(score):
    with pytest.raises(DataError, match=r"unet on bay: repetition 1 .* failures table"):
        summary_of(rows_of("unet", [-0.5, score]))


def test_a_pair_that_is_there_twice_is_refused():
    with pytest.raises(DataError, match="one run at a time"):
        summary_of(rows_of("unet", [-0.5]), rows_of("unet", [-0.5]))


def test_two_recipes_of_a_pair_are_not_averaged():
    rows = rows_of("unet", [-0.5, -0.4])
    rows[1]["pair_fingerprint"] = "other"
    with pytest.raises(DataError, match=r"2 fingerprint\(s\)"):
        summary_of(rows)


ZOOS = st.lists(st.lists(st.floats(-3, 0), min_size=1, max_size=4), min_size=1, max_size=6)


@given(zoo=ZOOS, seed=st.integers(0, 2**16))
def test_the_order_of_rows_changes_nothing(zoo, seed):
    rows = [
        row for name, scores in zip("abcdef", zoo, strict=False) for row in rows_of(name, scores)
    ]
    shuffled = random.Random(seed).sample(rows, len(rows))  # noqa: S311
    expected = summarize(tables.table(rows, tables.PAIR))
    assert summarize(tables.table(shuffled, tables.PAIR)) == expected


@given(zoo=ZOOS)
def test_better_beyond_the_intervals_ranks_before_and_ties_are_mutual(zoo):
    rows = summary_of(
        *(rows_of(name, scores) for name, scores in zip("abcdef", zoo, strict=False))
    ).to_pylist()
    rows = [row for row in rows if row["k_done"] == max(other["k_done"] for other in rows)]
    for better in rows:
        for worse in rows:
            low = better["mean"] if better["ci95_low"] is None else better["ci95_low"]
            high = worse["mean"] if worse["ci95_high"] is None else worse["ci95_high"]
            if low > high:
                assert better["rank"] < worse["rank"]
                assert worse["source_model"] not in better["tied_with"]
            mutual = (worse["source_model"] in better["tied_with"]) == (
                better["source_model"] in worse["tied_with"]
            )
            assert mutual
    assert rows[0]["mean"] == max(row["mean"] for row in rows)
    assert rows[0]["rank"] == 1


def test_the_result_has_the_schema_of_summaries():
    summary = summary_of(rows_of("unet", [-0.5, -0.4]))
    assert isinstance(summary, pa.Table)
    assert summary.schema.equals(tables.SUMMARY, check_metadata=True)
