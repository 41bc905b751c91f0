"""The ranking claims no more than images and pixels allow."""

import random
from itertools import pairwise
from math import inf, nan, sqrt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otce import tables
from otce.errors import DataError
from otce.ranking import summarize

KEYS = ("target_dataset", "source_model", "metric")


def rows_of(model, scores, **columns):
    return [
        dict.fromkeys(tables.PAIR.names)
        | {
            "pair_fingerprint": f"fp-{model}-{columns.get('target_dataset', 'bay')}",
            "metric": "otce",
            "preset": "default",
            "source_model": model,
            "source_dataset": f"{model}-data",
            "target_dataset": "bay",
            "repetition": repetition,
            "otce": score,
            "normalized": 0.8 + 0.01 * repetition,
            "marginal_error": 1e-4 * (repetition + 1),
            "n_source_px": 1000,
            "n_target_px": 1000,
            "degenerate": "none",
        }
        | columns
        for repetition, score in enumerate(scores)
    ]


def summary_of(*rows):
    return summarize(tables.table([row for model in rows for row in model], tables.PAIR))


def column(summary, name):
    return dict(zip(summary["source_model"].to_pylist(), summary[name].to_pylist(), strict=True))


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


TARGET = "ab" * 32


def imaged(model, mean, influence, *, source=None, metric="leep", repetitions=2, **columns):
    """Rows of a pair with a value, whose pixels are drawn alike and whose images are not."""
    sides = {"target": (influence, TARGET), "source": (source or [], "cd" * 32)}
    lists = {
        f"{role}_{name}": values
        for role, (moved, _) in sides.items()
        for name, values in (("items", list(range(len(moved)))), ("influence", list(moved)))
    }
    rows = rows_of(
        model,
        [-9.0] * repetitions,
        metric=metric,
        **{f"{role}_digest": digest for role, (_, digest) in sides.items()},
        **columns,
    )
    shifts = 1e-3 * (np.arange(repetitions) - (repetitions - 1) / 2)
    rows = [row | {"value": mean + shift} for row, shift in zip(rows, shifts, strict=True)]
    return [rows[0] | lists, *rows[1:]]


def drawn_zoo(seed, models=5, images=12, **columns):
    generator = np.random.default_rng(seed)
    alike = generator.normal(size=images)
    zoo = []
    for name in "abcdef"[:models]:
        moved = 0.05 * (alike + 0.3 * generator.normal(size=images)) / images
        moved = (moved - moved.mean()).tolist()
        zoo.append(imaged(name, -0.5 + 0.01 * generator.normal(), moved, **columns))
    return zoo


WIDE = [-0.03, -0.01, 0.0, 0.01, 0.03]
OTHER = [0.03, -0.01, 0.0, 0.01, -0.03]


def test_the_total_covers_images_and_the_interval_of_pixels_does_not():
    (row,) = summary_of(imaged("unet", -0.5, WIDE, source=OTHER)).to_pylist()
    assert row["mean"] == pytest.approx(-0.5)
    variance = 2 * (5 / 4) ** 2 * 0.002
    assert row["total_stderr"] == pytest.approx(sqrt(variance))
    # Both sides have four degrees of freedom and as much variance: eight together.
    assert row["total95_high"] - row["mean"] == pytest.approx(2.306004 * sqrt(variance))
    assert row["total95_low"] < row["ci95_low"] < row["ci95_high"] < row["total95_high"]
    assert (row["n_source_images"], row["n_target_images"]) == (5, 5)
    assert (row["p_best"], row["p_best_so_far"], row["p_beats_next"]) == (1, 1, None)


def test_the_same_images_tell_models_apart_that_their_totals_do_not():
    near = imaged("near", -0.50, WIDE)
    far = imaged("far", -0.53, WIDE)
    apart = imaged("far", -0.53, OTHER)
    alike, unlike = (summary_of(near, other) for other in (far, apart))
    assert column(alike, "total95_low")["near"] < column(alike, "total95_high")["far"]
    assert column(alike, "rank") == {"near": 1, "far": 2}
    assert column(alike, "p_beats_next") == {"near": 1, "far": None}
    assert column(unlike, "rank") == {"near": 1, "far": 1}
    assert column(unlike, "tied_with") == {"near": ["far"], "far": ["near"]}
    assert 0.5 < column(unlike, "p_beats_next")["near"] < 0.975


def test_rows_from_before_influences_have_no_totals():
    summary = summary_of(rows_of("a", [-0.5, -0.4]), rows_of("b", [-0.9, -0.8]))
    for name in ("total_stderr", "total95_low", "total95_high", "p_best", "rank_low"):
        assert summary[name].null_count == 2
    assert summary["n_target_images"].null_count == 2


@pytest.mark.parametrize(
    "one_image", [{"influence": [0.0], "source": WIDE}, {"influence": WIDE, "source": [0.0]}]
)
def test_one_image_has_no_total_noise(one_image):
    """Its influence is 0 because there is no other, not because it is known that well."""
    summary = summary_of(imaged("one", -0.4, **one_image), imaged("two", -0.5, WIDE, source=WIDE))
    assert column(summary, "total_stderr")["one"] is None
    assert column(summary, "total_stderr")["two"] > 0
    for name in ("p_best", "p_best_so_far", "p_beats_next", "rank_low", "rank_high"):
        assert summary[name].null_count == 2
    assert column(summary, "rank") == {"one": 1, "two": 2}


def test_source_pixels_that_a_metric_does_not_see_do_not_matter():
    zoo = drawn_zoo(0, models=2)
    small = imaged("small", -0.1, WIDE, n_source_px=650)
    assert column(summary_of(*zoo, small), "rank")["small"] == 1
    seen = imaged("small", -0.1, WIDE, n_source_px=650, source=WIDE)
    seeing = [imaged(name, -0.5, WIDE, source=WIDE) for name in "ab"]
    assert column(summary_of(*seeing, seen), "rank")["small"] is None
    fewer = imaged("small", -0.1, WIDE, n_target_px=650)
    assert column(summary_of(*zoo, fewer), "rank")["small"] is None


def test_a_degenerate_pair_has_no_chance():
    blind = imaged("blind", 0.0, [0.0] * 12, degenerate="target")
    summary = summary_of(*drawn_zoo(1, models=2), blind)
    assert column(summary, "rank")["blind"] is None
    assert column(summary, "p_best")["blind"] is None
    assert sum(filter(None, column(summary, "p_best").values())) == pytest.approx(1)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_chances_ranks_and_ties_agree(seed):
    rows = summary_of(*drawn_zoo(seed)).to_pylist()
    assert sum(row["p_best"] for row in rows) == pytest.approx(1)
    assert rows[-1]["p_best_so_far"] == pytest.approx(1)
    assert rows[-1]["p_beats_next"] is None
    for row, following in pairwise(rows):
        assert row["mean"] >= following["mean"]
        assert row["rank"] <= following["rank"]
        assert row["p_beats_next"] >= 0.5
        certain = row["p_beats_next"] >= 0.975
        assert certain != (following["source_model"] in row["tied_with"])
        assert row["p_best_so_far"] <= following["p_best_so_far"]
    for row in rows:
        assert row["rank_low"] <= row["rank"] <= row["rank_high"]
        for other in rows:
            assert (other["source_model"] in row["tied_with"]) == (
                row["source_model"] in other["tied_with"]
            )


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16), constant=st.floats(-2, 2))
def test_a_constant_moves_means_only(seed, constant):
    zoo = drawn_zoo(seed)
    moved = [[row | {"value": row["value"] + constant} for row in rows] for rows in zoo]
    one, other = (summary_of(*rows).to_pylist() for rows in (zoo, moved))
    for before, after in zip(one, other, strict=True):
        assert after["mean"] - before["mean"] == pytest.approx(constant)
        for name in ("rank", "source_model", "tied_with", "rank_low", "rank_high"):
            assert after[name] == before[name]
        assert after["total_stderr"] == before["total_stderr"]
        assert after["p_best"] == pytest.approx(before["p_best"], abs=2e-3)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_the_order_of_rows_with_influences_changes_nothing(seed):
    rows = [row for pair in drawn_zoo(seed) for row in pair]
    shuffled = random.Random(seed).sample(rows, len(rows))  # noqa: S311
    assert summary_of(shuffled) == summary_of(rows)


def test_models_that_are_the_same_are_tied_and_share_their_chance():
    zoo = drawn_zoo(2, models=1)
    twin = [row | {"source_model": "twin", "pair_fingerprint": "twin"} for row in zoo[0]]
    first, second = summary_of(*zoo, twin).to_pylist()
    assert first["tied_with"] == ["twin"]
    assert (first["rank"], second["rank"]) == (1, 1)
    assert (first["p_best"], second["p_best"], first["p_beats_next"]) == (0.5, 0.5, 0.5)
    assert (second["rank_low"], second["rank_high"]) == (1, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_influence": [0.1, -0.1]},
        {"target_influence": [0.1, -0.1, nan]},
        {"target_items": [0, 2, 1]},
        {"target_digest": None},
    ],
)
def test_influences_that_fit_no_images_are_refused(wrong):
    rows = imaged("unet", -0.5, [0.1, -0.1, 0.0])
    with pytest.raises(DataError, match=r"unet on bay: \d target influences of 3 images"):
        summary_of([rows[0] | wrong, *rows[1:]])
