"""Shards change nothing, and a dead actor is replaced with its shard repeated."""

import numpy as np
import psutil
import pytest
import ray
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.census import count_labels, dataset_digest, draw_pixels, item_digests
from otce.config import FolderDataset
from otce.config_file import load_config
from otce.datasets import open_dataset
from otce.draw import joined
from otce.errors import DataError
from otce.zoo import load_model
from tasks.actor import actor_maker
from tasks.census import Census, Listed
from tasks.extract import ModelOnSlot
from tasks.retry import GaveUpError
from tasks.shards import cut
from tasks.slots import Slots
from tasks.worker import FeatureWorker
from tests.zoo import N_CLASSES, write_zoo, zoo_config

REPETITIONS = range(3)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return load_config(str(write_zoo(tmp_path_factory.mktemp("zoo"), zoo_config())))


@pytest.fixture(scope="module")
def census(config):
    return take(config)


def take(config, pixels=64):
    dataset = open_dataset(config.datasets["birch"])
    digests = item_digests(dataset, dataset.items)
    whole = dataset_digest(dataset, digests)
    counts = count_labels(dataset, dataset.items)
    sample = draw_pixels(
        dataset,
        range(len(dataset.items)),
        counts.sum(axis=1),
        pixels=pixels,
        repetitions=len(REPETITIONS),
        seed=0,
        digest_of_dataset=whole,
    )
    images = tuple(image for image, _ in digests)
    listed = Listed(
        "birch", config.datasets["birch"], dataset.items, images, whole, dataset.classes
    )
    return Census(listed, tuple(counts.sum(axis=0)), sample)


def worker(config):
    found = FeatureWorker()
    model = config.models["net-0"]
    found.load("net-0", model, config.execution.python_path, {}, threads=1)
    return found


def extracted(holder, shards, *, with_logits=False):
    """The draw of each repetition, put together from the parts of all shards."""
    parts = [holder.extract(shard, {}, None, with_logits=with_logits)[1:] for shard in shards]
    return [joined(column) for column in zip(*parts, strict=True)]


def test_features_are_those_of_the_drawn_pixels(config, census):
    """Against the whole map, resized and indexed."""
    import torch  # noqa: PLC0415

    model = load_model("net-0", config.models["net-0"], python_path=config.execution.python_path)
    dataset, sample = open_dataset(config.datasets["birch"]), census.sample
    draws = extracted(worker(config), cut(census, 2, REPETITIONS), with_logits=True)
    for repetition, draw in enumerate(draws):
        rows = np.flatnonzero(sample.repetition == repetition)
        np.testing.assert_array_equal(draw.labels, sample.label[rows])
        np.testing.assert_array_equal(draw.items, sample.item[rows])
        for n, row in enumerate(rows[:20]):
            image = dataset.image(dataset.items[sample.item[row]])
            for maps, found in zip(
                model.features_and_logits([image]), (draw.features, draw.logits), strict=True
            ):
                resized = torch.nn.functional.interpolate(maps, image.shape[:2], mode="bilinear")
                wanted = resized[0, :, sample.y_px[row], sample.x_px[row]].numpy()
                np.testing.assert_allclose(found[n], wanted, atol=1e-5)


def test_logits_are_taken_only_when_asked_for_and_change_no_feature(config, census):
    shards = cut(census, 64, REPETITIONS)
    without, with_logits = (
        extracted(worker(config), shards, with_logits=asked) for asked in (False, True)
    )
    for one, other in zip(without, with_logits, strict=True):
        assert one.logits is None
        assert other.logits.shape == (len(other.labels), N_CLASSES)
        assert one.features.tobytes() == other.features.tobytes()


@settings(max_examples=15, deadline=None)
@given(items_per_shard=st.integers(1, 8))
def test_any_shard_size_gives_the_same_bytes(config, census, items_per_shard):
    holder = worker(config)

    found, wanted = (
        extracted(holder, cut(census, size, REPETITIONS)) for size in (items_per_shard, 64)
    )
    for one, other in zip(found, wanted, strict=True):
        for array, wanted_array in zip(one[:3], other[:3], strict=True):
            assert array.tobytes() == wanted_array.tobytes()


def test_shards_leave_out_items_without_drawn_pixels(config):
    few = take(config, pixels=1)
    shards = cut(few, 2, REPETITIONS)
    assert sum(len(shard.items) for shard in shards) == len(np.unique(few.sample.item)) <= 3


def test_a_dead_actor_is_replaced_and_its_shard_repeated(ray_plan, config, census):
    with Slots(1, actor_maker(ray_plan, config.execution)).lease() as slot:
        model = ModelOnSlot(slot, "net-0", config.models["net-0"], config.execution, threads=1)
        model.load()
        before = model.features(census, REPETITIONS, with_logits=False)
        # Of this test's own Ray: others may run beside it.
        victims = [p for p in psutil.Process().children(recursive=True) if is_actor(p)]
        assert victims
        for process in victims:
            process.kill()
        after = model.features(census, REPETITIONS, with_logits=False)
        for refs, wanted in zip(after.values(), before.values(), strict=True):
            for got, kept in zip(ray.get(refs), ray.get(wanted), strict=True):
                assert got[0].tobytes() == kept[0].tobytes()
        slot.drop()


def is_actor(process):
    try:
        return any("FeatureWorker" in part for part in process.cmdline())
    except psutil.Error:  # it ended meanwhile
        return False


def test_an_image_that_changed_since_it_was_counted_fails_for_good(
    ray_plan, config, census, tmp_path
):
    path = tmp_path / "a.png"
    path.write_bytes(b"not what was counted")
    changed = {
        "layout": f"folder:{tmp_path}",
        "images": "*.png",
        "labels": "*.png",
        "classes": ("a",),
    }
    listed = census.listed
    folder = FolderDataset.model_validate(changed)
    item = open_dataset(folder).items[0]
    bad = Census(
        Listed("birch", folder, (item,) * len(listed.items), listed.image_digests, "0", ("a",)),
        census.class_px,
        census.sample,
    )
    with Slots(1, actor_maker(ray_plan, config.execution)).lease() as slot:
        model = ModelOnSlot(slot, "net-0", config.models["net-0"], config.execution, threads=1)
        with pytest.raises(GaveUpError, match=r"a\.png: changed since") as caught:
            model.features(bad, REPETITIONS, with_logits=False)
        slot.drop()
    assert isinstance(caught.value.error, DataError)
    assert caught.value.attempts == 1
