"""Images per second through the actor against the bare model, for four nets of three libraries.

    python benchmarks/images_per_second.py [--images 64] [--repeats 3]

On a GPU if there is one. Random weights, the input that each net is used with, the same drawn JPEG
images for all, one torch thread a side. The bare side decodes an image, prepares it and runs the
net, and keeps nothing. Both sides run in turn, so that a busy moment of the machine hits both;
medians are shown.
Needs pip install 'otce[torchvision,hf]'.
"""

import io
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import safetensors.torch
import torch
from extraction import REPETITIONS, describe, make_images, through_actor
from PIL import Image
from rich.console import Console
from rich.table import Table
from sampled import sampled
from torch import nn

from otce.config import ExecutionConfig
from otce.datasets.scenes import CLASSES
from otce.model_config import ModelConfig
from otce.zoo import SourceModel, load_model
from otce.zoo.libraries import library
from otce.zoo.preprocess import described, to_input
from tasks.actor import actor_maker
from tasks.census import Census
from tasks.cluster import cluster
from tasks.extract import ModelOnSlot
from tasks.slots import Slots

EXAMPLES = Path(__file__).parent.parent / "examples"
N_CLASSES = len(CLASSES)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# As many as of each image when 10 000 are drawn from 500 images.
PIXELS_AN_IMAGE = 20
PROCESSOR = {
    "do_resize": True,
    "size": {"height": 512, "width": 512},
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def make_zoo(folder: Path) -> dict[str, ModelConfig]:
    """Write four nets with random weights."""
    torch.manual_seed(0)
    return own_nets(folder) | {
        "deeplabv3_mobilenet_v3_large": torchvision_net(folder),
        "segformer-b0": hf_net(folder),
    }


def own_nets(folder: Path) -> dict[str, ModelConfig]:
    sys.path.insert(0, str(EXAMPLES))
    import nets  # noqa: PLC0415

    return {
        name: ModelConfig(
            reference=f"python:nets:{name}",
            arguments={"n_classes": N_CLASSES},
            trusted=True,
            weights=saved(getattr(nets, name)(N_CLASSES), folder / f"{name}.safetensors"),
            source="drawn",
        )
        for name in ("depthwise", "unet")
    }


def torchvision_net(folder: Path) -> ModelConfig:
    name = "deeplabv3_mobilenet_v3_large"
    builder = getattr(library("torchvision.models.segmentation", "torchvision"), name)
    arguments: dict[str, Any] = {"num_classes": N_CLASSES, "aux_loss": True}
    network = builder(weights=None, weights_backbone=None, **arguments)
    return ModelConfig(
        reference=f"torchvision:{name}",
        arguments=arguments,
        weights=saved(network, folder / f"{name}.safetensors"),
        source="drawn",
        # What torchvision's transforms of its named weights do.
        preprocessing={"shortest_px": 520},
    )


def hf_net(folder: Path) -> ModelConfig:
    transformers = library("transformers", "hf")
    labels = {str(n): name for n, name in enumerate(CLASSES)}
    # Its defaults are those of b0.
    card = transformers.SegformerConfig(id2label=labels)
    place = folder / "segformer"
    place.mkdir()
    network = transformers.SegformerForSemanticSegmentation(card)
    saved(network, place / "model.safetensors")
    described_card = card.to_dict() | {"architectures": ["SegformerForSemanticSegmentation"]}
    (place / "config.json").write_text(json.dumps(described_card))
    (place / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return ModelConfig(reference=f"hf:{place}", source="drawn")


def saved(network: nn.Module, path: Path) -> str:
    state = {name: value.clone().contiguous() for name, value in network.state_dict().items()}
    path.write_bytes(safetensors.torch.save(state))
    return str(path)


@torch.inference_mode()
def bare_s(model: SourceModel, files: list[Path]) -> float:
    """Seconds to decode all images and to run the net on each."""
    torch.set_num_threads(1)
    started_s = time.perf_counter()
    for file in files:
        pixels = np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))
        model.network(to_input([pixels], model.preprocessing, model.device))
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started_s


def compare(
    on_slot: ModelOnSlot, model: SourceModel, census: Census, files: list[Path], repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds of the bare model and through the actor, in turn, after a pass of each unmeasured."""
    on_slot.load()
    through_actor(on_slot, census)
    bare_s(model, files[:4])
    pairs = [(bare_s(model, files), through_actor(on_slot, census)[0]) for _ in range(repeats)]
    bare, actor = zip(*pairs, strict=True)
    return list(bare), list(actor)


def main(*, images: int = 64, repeats: int = 3) -> None:
    """Measure and print.

    Args:
        images: images that each net runs over.
        repeats: runs of each side; medians are shown.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "data", images)
        zoo = make_zoo(folder)
        census = sampled(
            "drawn",
            describe(folder / "data", images),
            pixels=PIXELS_AN_IMAGE * images,
            repetitions=REPETITIONS,
        )
        files = [Path(item.image) for item in census.listed.items]
        table = Table("net", "input", "bare, images/s", "actor, images/s", "time actor / bare")
        # Beside actors on GPUs a run keeps one CPU for transports.
        workers = 2 if DEVICE == "cuda" else 1
        execution = ExecutionConfig(python_path=(str(EXAMPLES),), workers=workers)
        with cluster(execution) as plan, Slots(1, actor_maker(plan, execution)).lease() as slot:
            for id_, config in zoo.items():
                model = load_model(id_, config, python_path=execution.python_path, device=DEVICE)
                on_slot = ModelOnSlot(slot, id_, config, execution, threads=1)
                bare, actor = compare(on_slot, model, census, files, repeats)
                ratios = [a / b for a, b in zip(actor, bare, strict=True)]
                table.add_row(
                    id_,
                    described(model.preprocessing),
                    f"{images / statistics.median(bare):.1f}",
                    f"{images / statistics.median(actor):.1f}",
                    f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})",
                )
        Console(width=140).print(table)


if __name__ == "__main__":
    cyclopts.run(main)
