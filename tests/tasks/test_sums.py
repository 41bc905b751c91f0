"""Sums over all labelled pixels come from the same pass, and no cut of the work changes them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from otce.config_file import load_config
from otce.datasets import open_dataset
from otce.errors import ModelError
from otce.features import features_at
from otce.scores.all_pixels import block_ranges
from otce.scores.moments import merged, pixels_moments
from otce.zoo import load_model
from tasks.shards import cut
from tasks.sums import NO_SUMS, Kinds, Sums, kinds_of, sums_of, whole_blocks
from tests.tasks.test_extract import REPETITIONS, take, worker
from tests.zoo import N_CLASSES, write_zoo, zoo_config

BOTH = Kinds(moments=True, predictions=True)
IMAGES = 40


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    written = write_zoo(tmp_path_factory.mktemp("zoo"), zoo_config(images=IMAGES))
    return load_config(str(written))


@pytest.fixture(scope="module")
def census(config):
    return take(config)


def extracted(config, shards):
    holder = worker(config)
    parts = [
        holder.extract(shard, {}, None, with_logits=shard.sums is not None)[1:] for shard in shards
    ]
    draws = [part[: len(REPETITIONS)] for part in parts]
    return draws, [block for part in parts for some in part[len(REPETITIONS) :] for block in some]


def test_sums_are_those_of_every_labelled_pixel_and_change_no_drawn_one(config, census):
    draws, blocks = extracted(config, cut(census, 64, REPETITIONS, BOTH))
    model = load_model("net-0", config.models["net-0"], python_path=config.execution.python_path)
    dataset = open_dataset(config.datasets["birch"])
    features, labels, predicted = [], [], []
    for item in dataset.items:
        class_ids = dataset.label(item)
        y, x = (side.astype(np.int32) for side in np.nonzero(class_ids >= 0))
        maps = model.features_and_logits([dataset.image(item)])
        of_item, logits = (features_at(m[0], y, x, class_ids.shape).numpy() for m in maps)
        features.append(of_item)
        predicted.append(logits.argmax(axis=1))
        labels.append(class_ids[y, x])
    labels = np.concatenate(labels)
    wanted = pixels_moments(np.concatenate(features), labels, len(dataset.classes))
    found = merged([block.moments for block in blocks])
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())
    count = np.zeros((len(dataset.classes), N_CLASSES), int)
    np.add.at(count, (labels, np.concatenate(predicted)), 1)
    np.testing.assert_array_equal(sum(block.count_TZ for block in blocks), count)
    assert [b.first_item for b in blocks] == [block.start for block in block_ranges(IMAGES)]
    assert sum(block.n_pixels for block in blocks) == len(labels) == sum(census.class_px)
    without, none = extracted(config, cut(census, 64, REPETITIONS))
    assert none == []
    assert [draw.features.tobytes() for draw in without[0]] == [
        draw.features.tobytes() for draw in draws[0]
    ]


@pytest.mark.parametrize("items_per_shard", [1, 3, 7])
def test_any_shard_size_gives_the_same_sums_to_the_last_bit(config, census, items_per_shard):
    sizes = items_per_shard, 64
    _, found = extracted(config, cut(census, sizes[0], REPETITIONS, BOTH))
    _, wanted = extracted(config, cut(census, sizes[1], REPETITIONS, BOTH))
    for one, other in zip(found, wanted, strict=True):
        assert one.first_item == other.first_item
        for a, b in zip(one.moments, other.moments, strict=True):
            assert np.array_equal(a, b)


@given(st.integers(1, 500), st.integers(1, 100))
def test_shards_end_where_blocks_end(n_items, items_per_shard):
    shards = whole_blocks(n_items, items_per_shard)
    assert [i for shard in shards for i in shard] == list(range(n_items))
    blocks = block_ranges(n_items)
    assert {shard.stop for shard in shards} <= {block.stop for block in blocks}
    longest = max(map(len, blocks))
    assert all(len(shard) <= max(items_per_shard, longest) for shard in shards)


def test_only_what_metrics_ask_for_is_summed():
    assert kinds_of(["otce", "logme", "nce"]) == NO_SUMS
    assert kinds_of(["logme_all_px"]) == Kinds(moments=True, predictions=False)
    assert kinds_of(["otce", "nce_all_px"]) == Kinds(moments=False, predictions=True)
    assert kinds_of(["h_score_all_px", "zero_shot_miou_all_px"]) == BOTH


def sums_over(census):
    listed = census.listed
    span = range(len(listed.items))
    return Sums("net-0", sums_of(listed, span, BOTH), open_dataset(listed.config), listed.items)


def test_an_image_that_is_shown_again_counts_once(census):
    """A batch that was too much for the memory is run again."""
    once, twice = sums_over(census), sums_over(census)
    maps = (torch.rand(3, 6, 8), torch.rand(N_CLASSES, 6, 8))
    once.add(0, maps)
    for _ in range(2):
        twice.add(0, maps)
    assert twice.blocks[0].n_pixels == once.blocks[0].n_pixels


def test_a_map_that_is_not_finite_is_refused_with_its_image(census):
    maps = (torch.full((3, 6, 8), torch.nan), torch.rand(N_CLASSES, 6, 8))
    with pytest.raises(ModelError, match=rf"net-0: 144 of 144 .* {census.listed.items[0].id} are"):
        sums_over(census).add(0, maps)
