"""A draw is uniform, without replacement, and depends on its key alone."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from otce.errors import DataError
from otce.sampling import FEWEST_IMAGES, draw_images, draw_ranks, locate, pixels_to_draw
from tests.drawn import masks

KEY = {"seed": 7, "dataset_digest": "ab" * 32, "repetition": 0}
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)


@settings(max_examples=100, deadline=None)
@given(
    labelled=st.integers(1, 5000),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**64),
    digest=HEX,
    repetition=st.integers(0, 100),
)
def test_a_draw_has_exactly_n_ranks_in_order_and_none_twice(
    labelled, share, seed, digest, repetition
):
    pixels = round(share * labelled)
    ranks = draw_ranks(labelled, pixels, seed=seed, dataset_digest=digest, repetition=repetition)
    assert ranks.shape == (pixels,)
    assert ranks.dtype == np.int64
    assert (np.diff(ranks) > 0).all()
    assert pixels == 0 or (ranks[0] >= 0 and ranks[-1] < labelled)


def test_all_pixels_can_be_drawn():
    assert draw_ranks(50, 50, **KEY).tolist() == list(range(50))


def test_a_draw_from_billions_of_pixels_is_quick():
    ranks = draw_ranks(6_000_000_000, 1000, **KEY)
    assert len(np.unique(ranks)) == 1000
    assert ranks.max() > 2**32


def test_equal_keys_draw_equal_pixels():
    first, second = (draw_ranks(10_000, 100, **KEY) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_draws_are_those_of_the_first_release():
    """Stored samples of an equal fingerprint hold these pixels; see `SAMPLING_VERSION`."""
    assert draw_ranks(1000, 6, **KEY).tolist() == [32, 147, 285, 464, 817, 970]
    assert draw_ranks(10**9, 3, **KEY).tolist() == [148_319_980, 287_255_006, 820_023_697]


def test_a_draw_has_no_other_argument_than_its_key():
    """Neither K, shards, workers nor other data sets can reach a draw."""
    assert set(inspect.signature(draw_ranks).parameters) == {"labelled_px", "pixels", *KEY}


def test_a_draw_neither_reads_nor_moves_the_global_generator():
    np.random.seed(1)  # noqa: NPY002 - the global generator is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = draw_ranks(100, 10, **KEY)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(draw_ranks(100, 10, **KEY), one)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 8},
        {"seed": 7 + 2**32},
        {"seed": 7 + 2**40},
        {"repetition": 1},
        {"repetition": 7},
        {"dataset_digest": "ab" * 31 + "ac"},
        {"dataset_digest": "0b" + "ab" * 31},
    ],
    ids=str,
)
def test_every_part_of_the_key_changes_the_draw(other):
    """Two independent draws of 1000 of 10 000 share about 100 pixels."""
    shared = np.intersect1d(
        draw_ranks(10_000, 1000, **KEY), draw_ranks(10_000, 1000, **KEY | other)
    )
    assert 50 < len(shared) < 150


def test_repetitions_are_uniform_over_all_pixels():
    """Chi-square over 2000 draws of 5 out of 20: every pixel is as likely as any other."""
    counts = np.zeros(20)
    for repetition in range(2000):
        counts[draw_ranks(20, 5, **KEY | {"repetition": repetition})] += 1
    # Without replacement the counts vary less than a multinomial's, by (1 - 5 / 20) / (1 - 1 / 20).
    statistic = np.square(counts - 500).sum() / (500 * 0.75) * (19 / 20)
    assert stats.chi2.sf(statistic, 19) > 1e-4


def test_images_get_pixels_in_proportion_to_their_labelled_pixels():
    labelled_px = np.array([10_000, 500, 40_000, 1, 25_000, 0, 7000])
    edges = np.concatenate([[0], np.cumsum(labelled_px)])
    counts = np.zeros(len(labelled_px))
    for repetition in range(20):
        ranks = draw_ranks(int(edges[-1]), 1000, **KEY | {"repetition": repetition})
        counts += np.histogram(ranks, edges)[0]
    some = labelled_px > 1
    expected = 20_000 * labelled_px / labelled_px.sum()
    assert counts[5] == 0
    statistic = np.square(counts - expected)[some] / expected[some]
    assert stats.chi2.sf(statistic.sum(), some.sum() - 1) > 1e-4


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    void=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_ranks_are_located_at_labelled_pixels_in_row_major_order(seed, size, void):
    [mask] = masks(seed, [size], void=void)
    labelled = np.argwhere(mask >= 0)
    ranks = np.arange(0, len(labelled), 2)
    y_px, x_px, label = locate(mask, ranks)
    np.testing.assert_array_equal(np.stack([y_px, x_px], axis=1), labelled[ranks])
    np.testing.assert_array_equal(label, mask[y_px, x_px])
    assert (label >= 0).all()
    assert y_px.dtype == x_px.dtype == label.dtype == np.int32


def test_enough_pixels_are_drawn_as_asked_for():
    assert pixels_to_draw(1000, 1000, shrink=False, where="bay") == 1000
    assert pixels_to_draw(1001, 1000, shrink=True, where="bay") == 1000


def test_too_few_pixels_shrink_or_are_refused():
    assert pixels_to_draw(999, 1000, shrink=True, where="bay") == 999
    with pytest.raises(DataError, match=r"bay: 999 labelled pixels, fewer than the 1000 .* shrink"):
        pixels_to_draw(999, 1000, shrink=False, where="bay")


@pytest.mark.parametrize("shrink", [False, True])
def test_a_data_set_without_a_labelled_pixel_is_refused(shrink):
    with pytest.raises(DataError, match="bay: every pixel is ignored; check ignore and label_map"):
        pixels_to_draw(0, 1000, shrink=shrink, where="bay")


IMAGES = {"seed": 7, "dataset_digest": "ab" * 32}


@settings(max_examples=100, deadline=None)
@given(
    labelled_px=st.lists(st.integers(0, 3), min_size=1, max_size=200).filter(any),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 2**64),
    digest=HEX,
)
def test_repetitions_over_fewer_images_use_up_one_order_of_the_labelled_images(
    labelled_px, share, seed, digest
):
    labelled_px = np.array(labelled_px)
    usable = np.flatnonzero(labelled_px)
    key = {"seed": seed, "dataset_digest": digest}
    parts = [draw_images(labelled_px, share, repetition=k, **key) for k in range(6)]
    count = len(parts[0])
    assert count >= min(share * len(usable), len(usable))
    assert count >= min(FEWEST_IMAGES, len(usable))
    for part in parts:
        assert len(part) == count
        assert (np.diff(part) > 0).all()
        assert np.isin(part, usable).all()
    for used in range(1, 7):
        expected = min(used * count, len(usable))
        assert len(np.unique(np.concatenate(parts[:used]))) == expected


@settings(max_examples=50, deadline=None)
@given(shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), items=st.integers(1, 300))
def test_a_smaller_share_begins_with_part_of_the_images_of_a_larger_one(shares, items):
    smaller, larger = (
        draw_images(np.ones(items, int), share, repetition=0, **IMAGES) for share in sorted(shares)
    )
    assert np.isin(smaller, larger).all()


def test_every_image_is_as_likely_as_any_other_to_come_first():
    counts = np.zeros(40)
    for seed in range(2000):
        counts[draw_images(np.ones(40, int), 0.1, repetition=0, **IMAGES | {"seed": seed})] += 1
    expected = 2000 * FEWEST_IMAGES / 40
    # Without replacement: see above.
    share = (1 - FEWEST_IMAGES / 40) / (1 - 1 / 40)
    assert stats.chi2.sf(np.square(counts - expected).sum() / (expected * share), 39) > 1e-4


def test_another_seed_and_another_data_set_have_other_orders_of_images():
    orders = [
        tuple(draw_images(np.ones(200, int), 0.2, repetition=0, **key))
        for key in (IMAGES, IMAGES | {"seed": 8}, IMAGES | {"dataset_digest": "ac" * 32})
    ]
    assert len(set(orders)) == 3


def test_images_are_those_of_the_first_release():
    """Heats of an equal name hold pixels of these images."""
    found = draw_images(np.ones(400, int), 0.01, repetition=1, **IMAGES)
    assert found[:6].tolist() == [1, 16, 48, 53, 83, 142]
