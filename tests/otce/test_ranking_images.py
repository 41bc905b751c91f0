"""What a ranking says where the influence of every image is known."""

import random
from itertools import pairwise
from math import nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.errors import DataError
from tests.ranked import column, rows_of, summary_of

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
