"""A `FeatureActor`'s inside: holds a model and turns shards of images into features."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from otce.datasets import open_dataset
from otce.draw import Draw
from otce.errors import ModelError
from otce.features import extract, round_alike
from otce.model_config import ModelConfig
from otce.storage.files import StorageOptions
from otce.zoo import SourceModel, load_model
from tasks.shards import Shard
from tasks.sums import Sums
from tasks.timings import Meter, Spent, device_name

# On a CPU one image at a time gives the same bytes however the work is cut, and more gain little.
_GPU_BATCH: Final = 8
_CPU_BATCH: Final = 1


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
    ) -> Spent:
        """Load a model in place of the one before.

        Args:
            id_: its id.
            config: its configuration.
            python_path: folders searched for its factory.
            options: fsspec options by protocol.
            threads: CPU threads to compute with.
            n_classes: classes of its source data set; None: not checked.

        Returns:
            What it took.

        Raises:
            ModelError: it cannot be loaded.
        """
        meter = Meter()
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
        return meter.spent(device=device_name(self._model.device))

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
            A `Spent`, then an `otce.draw.Draw` of each of the shard's repetitions, then the blocks
            of sums where the shard has some.

        Raises:
            DataError: an image is corrupt or changed.
            ModelError: the tap is not found or features are not finite.
        """
        if self._model is None:
            raise ModelError("no model is loaded; call load first")
        meter = Meter()
        batch = batch_size or (_GPU_BATCH if self._model.device.type == "cuda" else _CPU_BATCH)
        dataset, sample = open_dataset(shard.config, options), shard.sample
        by_item = np.argsort(sample.item, kind="stable")
        ends = np.cumsum(np.bincount(sample.item, minlength=len(shard.items)))
        spans = np.split(by_item, ends[:-1])
        model = self._model
        sums = Sums(model.id, shard.sums, dataset, shard.items) if shard.sums else None
        rows = extract(
            model.id,
            model.features_and_logits if with_logits else model.features,
            range(len(shard.items)),
            lambda i: dataset.image(shard.items[i], shard.digests[i]),
            [(sample.y_px[span], sample.x_px[span]) for span in spans],
            batch_size=batch,
            beside=sums.add if sums else None,
        )
        order = np.argsort(by_item)
        features, *logits = (np.concatenate(maps)[order] for maps in zip(*rows, strict=True))
        items = shard.positions[sample.item]
        masks = [sample.repetition == k for k in shard.repetitions]
        spent = meter.spent(
            images=len(shard.items), batch_size=batch, device=device_name(model.device)
        )
        return [
            spent,
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
            *([sums.blocks] if sums else []),
        ]
