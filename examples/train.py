"""Train the zoo of a configuration: every model on its own source data set.

    python examples/train.py examples/demo.yaml [--steps N] [MODEL_ID ...]

Reads the same file as `otce run` and writes each model's weights where the file says they are.
Random crops and flips, Adam, cross-entropy over labelled pixels, a rate that falls as a cosine.
The same machine gives the same bytes again: threads are fixed and every model has its own seed.
"""

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import cyclopts
import safetensors.torch
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from otce.config import RunConfig
from otce.config_file import load_config
from otce.datasets import open_dataset
from otce.datasets.expand import expanded
from otce.errors import ConfigError, OtceError
from otce.fingerprint import fingerprint
from otce.model_config import ModelConfig, Preprocessing
from otce.storage.files import write_bytes
from otce.zoo.factories import build
from otce.zoo.libraries import library
from otce.zoo.preprocess import chosen, to_input

THREADS = 2
BATCH_SIZE = 8
CROP = 0.75
"""Side of a crop relative to the smallest image."""
HIGHEST_RATE = 4e-3
IGNORED = -1
REPORT_EVERY_S = 2.0

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Labelled:
    """A data set as a model sees it."""

    images: list[Tensor]
    """(3, h, w) network inputs."""
    labels: list[Tensor]
    """(h, w) class ids, or `IGNORED`."""
    n_classes: int


@dataclass(frozen=True)
class Accuracy:
    """How well a model fits the images it was trained on, both 0..1."""

    pixels: float
    """Share of labelled pixels that are right."""
    mean_iou: float
    """Mean intersection over union of the classes that occur."""


def main(config: str, /, *model_ids: str, steps: int = 300) -> None:
    """Train source models and write their weights.

    Args:
        config: the YAML file of a run.
        model_ids: which models; all when none is named.
        steps: batches per model.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(mode=True)
    try:
        _train_zoo(expanded(load_config(config)), model_ids, steps)
    except OtceError as error:
        console.print(f"[red]{type(error).__name__}[/]: {error}")
        sys.exit(2)


def _train_zoo(run: RunConfig, model_ids: tuple[str, ...], steps: int) -> None:
    unknown = [name for name in model_ids if name not in run.models]
    if unknown:
        raise ConfigError(f"no model is called {unknown[0]}; there are {', '.join(run.models)}")
    seen: dict[object, Labelled] = {}
    for name in model_ids or run.models:
        model, start_s = run.models[name], time.monotonic()
        if model.source not in run.datasets:
            raise ConfigError(f"model {name} has no source images here; train the others by name")
        key = model.source, model.preprocessing
        if key not in seen:
            seen[key] = _read(run, model)
        network = _train(name, run, seen[key], steps)
        state = safetensors.torch.save(network.state_dict())
        write_bytes(str(model.weights), state, run.execution.storage_options)
        accuracy = _accuracy(network, seen[key])
        console.print(
            f"[bold]{name}[/]: on {model.source} pixel accuracy {accuracy.pixels:.1%}, "
            f"mIoU {accuracy.mean_iou:.1%}, {time.monotonic() - start_s:.0f} s, "
            f"{len(state) / 1000:.0f} kB in {model.weights}"
        )


def _read(run: RunConfig, model: ModelConfig) -> Labelled:
    """Decode a model's source data set once, at the size that the model wants."""
    dataset = open_dataset(run.datasets[model.source], run.execution.storage_options)
    wanted = chosen(model.preprocessing, Preprocessing())
    images, labels = [], []
    for item in dataset.items:
        images.append(to_input([dataset.image(item)], wanted, torch.device("cpu"))[0])
        label = torch.from_numpy(dataset.label(item)).float()[None, None]
        nearest = functional.interpolate(label, images[-1].shape[1:], mode="nearest-exact")
        labels.append(nearest[0, 0].long())
    return Labelled(images, labels, len(dataset.classes))


def _train(name: str, run: RunConfig, data: Labelled, steps: int) -> nn.Module:
    seed = int(fingerprint([run.seed, name])[:8], 16)
    torch.manual_seed(seed)
    network = _built(run.models[name], run).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=HIGHEST_RATE, weight_decay=1e-4)
    batches, reported_s = _batches(data, torch.Generator().manual_seed(seed)), time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = HIGHEST_RATE * (1 + math.cos(math.pi * step / steps)) / 2
        images, labels = next(batches)
        loss = functional.cross_entropy(network(images), labels, ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if time.monotonic() - reported_s > REPORT_EVERY_S:
            reported_s = time.monotonic()
            console.print(f"{name}: step {step + 1} of {steps}, loss {loss.item():.3f}")
    return network.eval()


def _built(model: ModelConfig, run: RunConfig) -> nn.Module:
    """Build an untrained network, of a trusted factory or of segmentation-models-pytorch."""
    if not model.reference.startswith("smp:"):
        return build(model, run.execution.python_path)
    architecture, _, encoder = model.name.partition("/")
    smp = library("segmentation_models_pytorch", "smp")
    return smp.create_model(architecture, encoder, encoder_weights=None, **model.arguments)


def _batches(data: Labelled, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut crops of one size at random places of random images, half of them mirrored."""
    height_px, width_px = (
        int(CROP * min(label.shape[side] for label in data.labels)) for side in (0, 1)
    )

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    def crop() -> tuple[Tensor, Tensor]:
        which = below(len(data.images))
        image, label = data.images[which], data.labels[which]
        top = below(label.shape[0] - height_px + 1)
        left = below(label.shape[1] - width_px + 1)
        image = image[:, top : top + height_px, left : left + width_px]
        label = label[top : top + height_px, left : left + width_px]
        return (image.flip(-1), label.flip(-1)) if below(2) else (image, label)

    while True:
        images, labels = zip(*(crop() for _ in range(BATCH_SIZE)), strict=True)
        yield torch.stack(images), torch.stack(labels)


@torch.inference_mode()
def _accuracy(network: nn.Module, data: Labelled) -> Accuracy:
    counts = torch.zeros(data.n_classes, data.n_classes, dtype=torch.int64)
    for image, label in zip(data.images, data.labels, strict=True):
        is_labelled = label != IGNORED
        found = network(image[None])[0].argmax(0)[is_labelled]
        pairs = label[is_labelled] * data.n_classes + found
        counts += torch.bincount(pairs, minlength=counts.numel()).view_as(counts)
    right, true, found = counts.diagonal(), counts.sum(1), counts.sum(0)
    occurs = true > 0
    iou = right[occurs] / (true + found - right)[occurs]
    return Accuracy(float(right.sum() / counts.sum()), float(iou.mean()))


if __name__ == "__main__":
    cyclopts.run(main)
