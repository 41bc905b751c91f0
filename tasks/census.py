"""Count the labels of a data set once and draw its pixels."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from otce import tables
from otce.census import concatenated, count_labels, draw_pixels, draw_settings
from otce.config import DatasetConfig, RunConfig
from otce.counts import keep_counts, kept_counts
from otce.datasets import Item, open_dataset
from otce.identity import heat_sample_fingerprint, sample_fingerprint
from otce.readable import Readable
from otce.sampling import Sample
from otce.storage.files import StorageOptions
from otce.storage.store import Store
from tasks.ray_calls import Ref, inside
from tasks.retry import GaveUpError, Window


@dataclass(frozen=True)
class Listed:
    """A data set whose content is known by its digest.

    Attributes:
        id: its id.
        config: its configuration.
        items: all its items.
        image_digests: digest of each item's image.
        digest: digest of the whole.
        classes: class names.
        notes: what was left out, in words.
        label_digests: digest of each item's label; none: not known, and not checked.
        left_out: what is wrong with each corrupt item that was left out, by id.
    """

    id: str
    config: DatasetConfig
    items: tuple[Item, ...]
    image_digests: tuple[str, ...]
    digest: str
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    label_digests: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, id_: str, config: DatasetConfig, found: Readable) -> "Listed":
        """Keep what is known of a data set once it was listed and hashed.

        Args:
            id_: its id.
            config: its configuration.
            found: what was read.

        Returns:
            All but the open data set.
        """
        return cls(
            id=id_,
            config=config,
            items=found.dataset.items,
            image_digests=tuple(image for image, _ in found.digests),
            digest=found.digest,
            classes=found.dataset.classes,
            notes=found.notes,
            label_digests=tuple(label for _, label in found.digests),
            left_out=found.left_out,
        )

    def digests(self, positions: range) -> list[tuple[str, str]] | None:
        """Digests of some items' images and labels.

        Args:
            positions: of the items.

        Returns:
            (image digest, label digest) of each; None when labels' are not known.
        """
        if not self.label_digests:
            return None
        return [(self.image_digests[n], self.label_digests[n]) for n in positions]


@dataclass(frozen=True)
class Census:
    """A data set as counted and drawn.

    Attributes:
        listed: its items.
        class_px: (classes,) labelled pixels of each class.
        sample: the drawn pixels.
    """

    listed: Listed
    class_px: tuple[int, ...]
    sample: Sample

    @property
    def is_degenerate(self) -> bool:
        """Whether a draw has pixels of one class only, or there is no draw."""
        n_classes = len(self.class_px)
        found = np.unique(self.sample.repetition * np.int64(n_classes) + self.sample.label)
        _, counts = np.unique(found // n_classes, return_counts=True)
        return not found.size or bool((counts == 1).any())


@task(task_run_name="census {listed.id}", cache_policy=NO_CACHE, persist_result=False)
def take_census(
    listed: Listed, config: RunConfig, store: Store, window: Window, *, heat: bool = False
) -> Census:
    """Count and draw one data set, in Ray tasks over shards of its items, and keep both.

    Labels that were counted by any earlier run are not counted again.

    Args:
        listed: the data set.
        config: the run.
        store: where counts and drawn pixels are kept.
        window: bounds the Ray tasks.
        heat: draw for the heats of a race. All heats of a race have equally many pixels: where a
            heat's images have fewer, nothing is drawn.

    Returns:
        The census.

    Raises:
        OtceError: the data set cannot be decoded, labelled or drawn as configured.
    """
    counts_px = _counts(listed, config, store, window)
    settings = draw_settings(config, listed.id, listed.digest, counts_px.sum(axis=1), heat=heat)
    table = _draw(listed, config, counts_px, settings, window)
    store.put_table(_key(listed, config, heat=heat), table)
    return _census(listed, table)


def kept_census(
    listed: Listed, config: RunConfig, store: Store, *, heat: bool = False
) -> Census | None:
    """Read the draw that an earlier run kept.

    Args:
        listed: the data set.
        config: the run.
        store: where drawn pixels are kept.
        heat: that for the heats of a race.

    Returns:
        The census, or None when nobody drew these pixels yet, or what was drawn is damaged.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    table = store.sound_table(_key(listed, config, heat=heat), tables.SAMPLES)
    return None if table is None else _census(listed, table)


def _key(listed: Listed, config: RunConfig, *, heat: bool) -> str:
    name = heat_sample_fingerprint if heat else sample_fingerprint
    return f"samples/{name(config, listed.digest)}.parquet"


def _census(listed: Listed, table: pa.Table) -> Census:
    columns = (table[column.name].to_numpy(zero_copy_only=False) for column in fields(Sample))
    class_px = json.loads(table.schema.metadata[b"class_px"])
    return Census(listed, tuple(class_px), Sample(*columns))


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


def _counts(listed: Listed, config: RunConfig, store: Store, window: Window) -> NDArray[np.int64]:
    """(items, classes) labelled pixels, from the store or counted now."""
    kept = kept_counts(listed.digest, store)
    if kept is not None:
        return kept
    chosen, options = listed.config, config.execution.storage_options
    shards = shard_ranges(len(listed.items), config.execution.items_per_shard)
    parts = _over_shards(
        window,
        shards,
        lambda s: _count_shard.remote(
            chosen, options, listed.items[s.start : s.stop], listed.digests(s)
        ),
    )
    counts_px: NDArray[np.int64] = np.concatenate(parts)
    keep_counts(counts_px, listed.items, listed.digest, store)
    return counts_px


def _draw(
    listed: Listed,
    config: RunConfig,
    counts_px: NDArray[np.int64],
    settings: Mapping[str, Any],
    window: Window,
) -> pa.Table:
    chosen, options = listed.config, config.execution.storage_options
    shards = shard_ranges(len(listed.items), config.execution.items_per_shard)
    with inside():
        items = ray.put(listed.items)
    labelled_px = counts_px.sum(axis=1)
    full = {**settings, "label_digests": listed.label_digests or None}
    parts = _over_shards(
        window,
        shards,
        lambda s: _draw_shard.remote(chosen, options, items, s, labelled_px, full),
    )
    return _sample_table(parts, listed, counts_px.sum(axis=0).tolist())


def _sample_table(parts: list[Sample], listed: Listed, class_px: list[int]) -> pa.Table:
    drawn = concatenated(parts)
    ids = pa.array([item.id for item in listed.items])
    columns = [
        pa.array([listed.digest] * len(drawn.item)),
        drawn.repetition,
        drawn.item,
        ids.take(pa.array(drawn.item)),
        drawn.y_px,
        drawn.x_px,
        drawn.label,
        drawn.boundary,
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


@ray.remote(max_retries=0, num_cpus=1)
def _count_shard(
    config: DatasetConfig,
    options: StorageOptions,
    items: tuple[Item, ...],
    digests: list[tuple[str, str]] | None,
) -> NDArray[np.int64]:
    return count_labels(open_dataset(config, options, items), items, digests)


@ray.remote(max_retries=0, num_cpus=1)
def _draw_shard(
    config: DatasetConfig,
    options: StorageOptions,
    items: tuple[Item, ...],
    positions: range,
    labelled_px: NDArray[np.int64],
    recipe: dict[str, Any],
) -> Sample:
    return draw_pixels(open_dataset(config, options, items), positions, labelled_px, **recipe)
