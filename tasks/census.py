"""Count a data set's labels once and draw its pixels: Ray tasks over shards of its items."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from otce import tables
from otce.census import concatenated, count_labels, dataset_digest, draw_pixels, item_digests
from otce.config import DatasetConfig, RunConfig
from otce.datasets import Item, open_dataset
from otce.files import StorageOptions
from otce.identity import sample_fingerprint
from otce.sampling import Sample, pixels_to_draw
from otce.store import Store
from tasks.retry import GaveUpError, Ref, Window


@dataclass(frozen=True)
class Census:
    """A data set as counted and drawn.

    Attributes:
        config: its configuration.
        items: all its items.
        image_digests: digest of each item's image.
        digest: digest of the whole.
        classes: class names.
        class_px: (classes,) labelled pixels of each class.
        sample: the drawn pixels.
        reused: whether the drawn pixels were found in the store.
    """

    config: DatasetConfig
    items: tuple[Item, ...]
    image_digests: tuple[str, ...]
    digest: str
    classes: tuple[str, ...]
    class_px: tuple[int, ...]
    sample: Sample
    reused: bool


@task(task_run_name="census {dataset_id}", cache_policy=NO_CACHE, persist_result=False)
def take_census(dataset_id: str, config: RunConfig, store: Store, window: Window) -> Census:
    """Digest, count and draw one data set; what the store has is not done again.

    Args:
        dataset_id: its id.
        config: the run.
        store: where drawn pixels are kept.
        window: bounds the Ray tasks.

    Returns:
        The census.

    Raises:
        OtceError: the data set cannot be read, labelled or drawn as configured.
    """
    chosen, options = config.datasets[dataset_id], config.execution.storage_options
    dataset = open_dataset(chosen, options)
    shards = shard_ranges(len(dataset.items), config.execution.items_per_shard)
    digests = _over_shards(window, shards, lambda s: _digest_shard.remote(chosen, options, s))
    whole = dataset_digest(dataset, [pair for part in digests for pair in part])
    key = f"samples/{sample_fingerprint(config, whole)}.parquet"
    reused = store.exists(key)
    if reused:
        table = store.get_table(key, tables.SAMPLES)
    else:
        table = _draw(dataset_id, config, dataset.items, whole, shards, window)
        store.put_table(key, table)
    columns = (table[name].to_numpy() for name in ("repetition", "item", "y_px", "x_px", "label"))
    return Census(
        config=chosen,
        items=dataset.items,
        image_digests=tuple(image for part in digests for image, _ in part),
        digest=whole,
        classes=dataset.classes,
        class_px=tuple(json.loads(table.schema.metadata[b"class_px"])),
        sample=Sample(*columns),
        reused=reused,
    )


def shard_ranges(n_items: int, items_per_shard: int) -> list[range]:
    """Cut the items of a data set into shards.

    Args:
        n_items: number of items.
        items_per_shard: most items of a shard.

    Returns:
        Positions of each shard's items, in order.

    Example:
        >>> shard_ranges(5, 2)
        [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(n_items)[i : i + items_per_shard] for i in range(0, n_items, items_per_shard)]


def _draw(
    dataset_id: str,
    config: RunConfig,
    items: Sequence[Item],
    digest: str,
    shards: list[range],
    window: Window,
) -> pa.Table:
    chosen, options = config.datasets[dataset_id], config.execution.storage_options
    counts = _over_shards(window, shards, lambda s: _count_shard.remote(chosen, options, s))
    counts_px: NDArray[np.int64] = np.concatenate(counts)
    labelled_px = counts_px.sum(axis=1)
    recipe = {
        "pixels": pixels_to_draw(
            int(labelled_px.sum()),
            config.sampling.pixels,
            shrink=config.sampling.too_few_pixels == "shrink",
            where=f"data set {dataset_id}",
        ),
        "repetitions": config.sampling.repetitions,
        "seed": config.seed,
        "digest_of_dataset": digest,
    }
    parts = _over_shards(
        window, shards, lambda s: _draw_shard.remote(chosen, options, s, labelled_px, recipe)
    )
    return _sample_table(parts, items, digest, counts_px.sum(axis=0).tolist())


def _sample_table(
    parts: list[Sample], items: Sequence[Item], digest: str, class_px: list[int]
) -> pa.Table:
    drawn = concatenated(parts)
    ids = pa.array([item.id for item in items])
    columns = [
        pa.array([digest] * len(drawn.item)),
        drawn.repetition,
        drawn.item,
        ids.take(pa.array(drawn.item)),
        drawn.y_px,
        drawn.x_px,
        drawn.label,
    ]
    schema = tables.SAMPLES
    metadata = {**schema.metadata, b"class_px": json.dumps(class_px).encode()}
    return pa.table(columns, schema=schema.with_metadata(metadata))


def _over_shards(window: Window, shards: list[range], submit: Callable[[range], Ref]) -> list[Any]:
    """Run one Ray task a shard; results in order of shards, the first failure raised."""
    results: dict[int, Any] = {}
    for index, result in window.run([lambda s=shard: submit(s) for shard in shards]):  # type: ignore[misc]
        if isinstance(result, GaveUpError):
            raise result.error
        results[index] = result
    return [results[index] for index in range(len(shards))]


@ray.remote(max_retries=0, num_cpus=0.5)
def _digest_shard(
    config: DatasetConfig, options: StorageOptions, positions: range
) -> list[tuple[str, str]]:
    dataset = open_dataset(config, options)
    return item_digests(dataset, dataset.items[positions.start : positions.stop])


@ray.remote(max_retries=0, num_cpus=0.5)
def _count_shard(
    config: DatasetConfig, options: StorageOptions, positions: range
) -> NDArray[np.int64]:
    dataset = open_dataset(config, options)
    return count_labels(dataset, dataset.items[positions.start : positions.stop])


@ray.remote(max_retries=0, num_cpus=0.5)
def _draw_shard(
    config: DatasetConfig,
    options: StorageOptions,
    positions: range,
    labelled_px: NDArray[np.int64],
    recipe: dict[str, Any],
) -> Sample:
    return draw_pixels(open_dataset(config, options), positions, labelled_px, **recipe)
