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
from otce.errors import DataError
from otce.zoo import load_model
from tasks.census import Census, Listed
from tasks.cluster import Slots
from tasks.extract import FeatureWorker, ModelOnSlot, actor_maker, cut
from tasks.retry import GaveUpError
from tests.zoo import write_zoo, zoo_config

REPETITIONS = 3


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
        repetitions=REPETITIONS,
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


def joined(parts):
    """Features and labels of each repetition from the parts of all shards."""
    return [
        (np.concatenate([f for f, _ in column]), np.concatenate([y for _, y in column]))
        for column in zip(*parts, strict=True)
    ]


def test_features_are_those_of_the_drawn_pixels(config, census):
    """Against the whole map, resized and indexed."""
    import torch  # noqa: PLC0415

    model = load_model("net-0", config.models["net-0"], python_path=config.execution.python_path)
    dataset, sample = open_dataset(config.datasets["birch"]), census.sample
    parts = [worker(config).extract(shard, {}, None)[1:] for shard in cut(census, 64, REPETITIONS)]
    for repetition, (features, labels) in enumerate(joined(parts)):
        rows = np.flatnonzero(sample.repetition == repetition)
        np.testing.assert_array_equal(labels, sample.label[rows])
        for row, feature in zip(rows[:20], features[:20], strict=True):
            image = dataset.image(dataset.items[sample.item[row]])
            maps = model.feature_maps([image])
            resized = torch.nn.functional.interpolate(maps, image.shape[:2], mode="bilinear")
            wanted = resized[0, :, sample.y_px[row], sample.x_px[row]].numpy()
            np.testing.assert_allclose(feature, wanted, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(items_per_shard=st.integers(1, 8))
def test_any_shard_size_gives_the_same_bytes(config, census, items_per_shard):
    holder = worker(config)

    def features(size):
        return joined([holder.extract(s, {}, None)[1:] for s in cut(census, size, REPETITIONS)])

    for (f, y), (wanted_f, wanted_y) in zip(features(items_per_shard), features(64), strict=True):
        assert f.tobytes() == wanted_f.tobytes()
        assert y.tobytes() == wanted_y.tobytes()


def test_shards_leave_out_items_without_drawn_pixels(config):
    few = take(config, pixels=1)
    shards = cut(few, 2, REPETITIONS)
    assert sum(len(shard.items) for shard in shards) == len(np.unique(few.sample.item)) <= 3


def test_a_dead_actor_is_replaced_and_its_shard_repeated(ray_plan, config, census):
    with Slots(1, actor_maker(ray_plan)).lease() as slot:
        model = ModelOnSlot(slot, "net-0", config.models["net-0"], config.execution, threads=1)
        model.load()
        before = model.features(census, REPETITIONS)
        # Of this test's own Ray: others may run beside it.
        victims = [p for p in psutil.Process().children(recursive=True) if is_actor(p)]
        assert victims
        for process in victims:
            process.kill()
        after = model.features(census, REPETITIONS)
        for refs, wanted in zip(after, before, strict=True):
            for got, kept in zip(ray.get(refs), ray.get(wanted), strict=True):
                assert got[0].tobytes() == kept[0].tobytes()
        slot.drop()


def is_actor(process):
    return any("FeatureWorker" in part for part in process.cmdline())


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
    with Slots(1, actor_maker(ray_plan)).lease() as slot:
        model = ModelOnSlot(slot, "net-0", config.models["net-0"], config.execution, threads=1)
        with pytest.raises(GaveUpError, match=r"a\.png: changed since") as caught:
            model.features(bad, REPETITIONS)
        slot.drop()
    assert isinstance(caught.value.error, DataError)
    assert caught.value.attempts == 1
