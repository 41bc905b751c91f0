"""Features of a model's images: shards of items through a `FeatureActor` that holds the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from otce.config import DatasetConfig, ExecutionConfig
from otce.datasets import Item, open_dataset
from otce.draw import Draw
from otce.errors import ModelError
from otce.features import extract, round_alike
from otce.files import StorageOptions
from otce.model_config import ModelConfig
from otce.sampling import Sample
from otce.zoo import SourceModel, load_model
from tasks.census import Census, shard_ranges
from tasks.cluster import Plan, Slot
from tasks.ray_calls import Ref, Refs, inside, result
from tasks.retry import attempt
from tasks.stopping import begin

# On a CPU one image at a time gives the same bytes however the work is cut, and more gain little.
_GPU_BATCH, _CPU_BATCH = 8, 1


@dataclass(frozen=True)
class Shard:
    """Some items of a data set and the pixels drawn from them.

    Attributes:
        config: the data set.
        items: its items that have drawn pixels.
        positions: of those among all items.
        digests: digest of each item's image, as counted.
        sample: the drawn pixels; `item` is the position in `items`.
        repetitions: which draws.
    """

    config: DatasetConfig
    items: tuple[Item, ...]
    positions: NDArray[np.int32]
    digests: tuple[str, ...]
    sample: Sample
    repetitions: range


class FeatureWorker:
    """Holds one source model at a time and turns shards into features; a Ray actor's inside."""

    def __init__(self) -> None:
        self._model: SourceModel | None = None

    def load(
        self,
        id_: str,
        config: ModelConfig,
        python_path: Sequence[str],
        options: StorageOptions,
        threads: int,
        n_classes: int | None = None,
    ) -> None:
        """Load a model in place of the one before.

        Args:
            id_: its id.
            config: its configuration.
            python_path: folders searched for its factory.
            options: fsspec options by protocol.
            threads: CPU threads to compute with.
            n_classes: classes of its source data set; None: not checked.

        Raises:
            ModelError: it cannot be loaded.
        """
        self._model = None
        torch.set_num_threads(threads)
        round_alike()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = load_model(
            id_,
            config,
            python_path=python_path,
            device=device,
            options=options,
            n_classes=n_classes,
        )

    def extract(
        self, shard: Shard, options: StorageOptions, batch_size: int | None, *, with_logits: bool
    ) -> list[Any]:
        """Extract the features of a shard's drawn pixels.

        Args:
            shard: items and pixels.
            options: fsspec options by protocol.
            batch_size: images a forward pass; None chooses by device.
            with_logits: whether the model's predictions at these pixels are needed as well.

        Returns:
            The feature dimension, then an `otce.draw.Draw` of each of the shard's repetitions.

        Raises:
            DataError: an image is corrupt or changed.
            ModelError: the tap is not found or features are not finite.
        """
        if self._model is None:
            raise ModelError("no model is loaded; call load first")
        on_gpu = self._model.device.type == "cuda"
        dataset, sample = open_dataset(shard.config, options), shard.sample
        by_item = np.argsort(sample.item, kind="stable")
        ends = np.cumsum(np.bincount(sample.item, minlength=len(shard.items)))
        spans = np.split(by_item, ends[:-1])
        model = self._model
        rows = extract(
            model.id,
            model.features_and_logits if with_logits else model.features,
            range(len(shard.items)),
            lambda i: dataset.image(shard.items[i], shard.digests[i]),
            [(sample.y_px[span], sample.x_px[span]) for span in spans],
            batch_size=batch_size or (_GPU_BATCH if on_gpu else _CPU_BATCH),
        )
        order = np.argsort(by_item)
        features, *logits = (np.concatenate(maps)[order] for maps in zip(*rows, strict=True))
        items = shard.positions[sample.item]
        masks = [sample.repetition == k for k in shard.repetitions]
        return [
            features.shape[1],
            *(
                Draw(
                    features[at],
                    sample.label[at],
                    items[at],
                    logits[0][at] if logits else None,
                    sample.boundary[at],
                )
                for at in masks
            ),
        ]


def actor_maker(plan: Plan) -> Callable[[], Any]:
    """Say how a `FeatureActor` is started.

    Args:
        plan: the share of the cluster that each holds.

    Returns:
        A function that starts one and returns its handle.
    """
    # Restarts are ours to decide (tasks.retry): a fresh actor has no model.
    remote = ray.remote(
        num_gpus=plan.actor_gpus, num_cpus=plan.actor_cpus, max_restarts=0, max_task_retries=0
    )
    return remote(FeatureWorker).remote


class ModelOnSlot:
    """A model loaded on a leased actor; loads itself again when the actor had to be replaced.

    Args:
        slot: the leased place.
        model_id: the model.
        config: its configuration.
        execution: the execution half of the run.
        threads: CPU threads of the actor.
        n_classes: classes of its source data set; None: not checked.
    """

    def __init__(
        self,
        slot: Slot,
        model_id: str,
        config: ModelConfig,
        execution: ExecutionConfig,
        threads: int,
        n_classes: int | None = None,
    ) -> None:
        self._slot = slot
        self._execution = execution
        self._arguments = (
            model_id,
            config,
            execution.python_path,
            execution.storage_options,
            threads,
            n_classes,
        )
        self._loaded: Any = None

    def load(self) -> None:
        """Load the model now.

        Raises:
            GaveUpError: it cannot be loaded.
        """
        attempt(self._ready, attempts=self._execution.attempts, recover=self._replace)

    def features(self, census: Census, repetitions: range, *, with_logits: bool) -> Refs:
        """Extract some draws of one data set, two shards in flight.

        Args:
            census: the data set and its drawn pixels.
            repetitions: which draws; images that they do not see are not looked at.
            with_logits: whether the model's predictions are needed as well.

        Returns:
            References of the parts of each draw, in order of items.

        Raises:
            GaveUpError: a shard failed for good.
            StoppingError: the run is to end before all shards have begun.
        """
        self.load()
        shards = cut(census, self._execution.items_per_shard, repetitions)

        def start(index: int) -> list[Ref]:
            return self._start(shards[index], with_logits=with_logits)

        started = {0: start(0)}
        parts = []
        for index in range(len(shards)):
            if index + 1 < len(shards):
                begin()
                started[index + 1] = start(index + 1)
            parts.append(self._finish(start, started, index))
        return dict(zip(repetitions, map(list, zip(*parts, strict=True)), strict=True))

    def _finish(
        self, start: Callable[[int], list[Ref]], started: dict[int, list[Ref]], index: int
    ) -> list[Ref]:
        def finish() -> list[Ref]:
            self._ready()
            refs = started[index] = started.get(index) or start(index)
            result(refs[0], self._execution.time_limit_s)
            return refs[1:]

        def repeat() -> None:
            self._replace()
            started.clear()

        found = attempt(finish, attempts=self._execution.attempts, recover=repeat)
        started.pop(index)
        return found

    def _start(self, shard: Shard, *, with_logits: bool) -> list[Ref]:
        execution = self._execution
        method = self._slot.actor.extract.options(num_returns=len(shard.repetitions) + 1)
        with inside():
            refs: list[Ref] = method.remote(
                shard, execution.storage_options, execution.batch_size, with_logits=with_logits
            )
        return refs

    def _ready(self) -> None:
        actor = self._slot.actor
        if self._loaded is not actor:
            with inside():
                loaded = actor.load.remote(*self._arguments)
            result(loaded, self._execution.time_limit_s)
            self._loaded = actor

    def _replace(self) -> None:
        self._slot.drop()
        self._loaded = None


def cut(census: Census, items_per_shard: int, repetitions: range) -> list[Shard]:
    """Cut a data set's drawn pixels into shards of items; items without pixels fall out.

    Args:
        census: the data set and its drawn pixels.
        items_per_shard: most items of a shard.
        repetitions: which draws.

    Returns:
        Shards in order of items.
    """
    drawn = census.sample.take(np.isin(census.sample.repetition, np.array(repetitions)))
    used = np.unique(drawn.item)
    shards = []
    for positions in shard_ranges(len(used), items_per_shard):
        members = used[positions.start : positions.stop]
        inside = drawn.take((drawn.item >= members[0]) & (drawn.item <= members[-1]))
        local = np.searchsorted(members, inside.item).astype(np.int32)
        shards.append(
            Shard(
                config=census.listed.config,
                items=tuple(census.listed.items[i] for i in members),
                positions=members.astype(np.int32),
                digests=tuple(census.listed.image_digests[i] for i in members),
                sample=replace(inside, item=local),
                repetitions=repetitions,
            )
        )
    return shards
