"""Images per second of four nets through the actor, against a bare decode-and-forward loop.

    python benchmarks/images_per_second.py [--images 100] [--repeats 3]

Random weights, one thread a side, both sides in turn, over the same drawn JPEG images at their own
size; see `benchmarks/extraction.py`, whose loop and actor these are. Needs the extras torchvision
and hf.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import cyclopts
import torch
from extraction import (
    EXAMPLES,
    PIXELS,
    SIZE_PX,
    compare,
    describe,
    make_images,
    take_census,
)
from kinds import hf_nets, saved
from rich.console import Console
from rich.table import Table
from torch import nn

from otce.config import ExecutionConfig
from otce.datasets.scenes import CLASSES
from otce.model_config import ModelConfig
from otce.zoo.libraries import library
from tasks.cluster import cluster

N_CLASSES = len(CLASSES)
# As the images are, so that both sides run the same network on the same pixels.
AS_THEY_ARE = {"size_px": "image", "multiple_px": 1}


def make_models(folder: Path) -> dict[str, ModelConfig]:
    """Write four nets with random weights.

    Args:
        folder: where to.

    Returns:
        Configurations by name.
    """
    sys.path.insert(0, str(EXAMPLES))
    import nets  # noqa: PLC0415

    torch.manual_seed(0)
    models = {
        name: described(
            folder,
            getattr(nets, name)(N_CLASSES),
            reference=f"python:nets:{name}",
            arguments={"n_classes": N_CLASSES},
            trusted=True,
        )
        for name in ("depthwise", "unet")
    }
    name = "deeplabv3_mobilenet_v3_large"
    given = {"num_classes": N_CLASSES, "aux_loss": True}
    segmentation = library("torchvision.models.segmentation", "torchvision")
    network = getattr(segmentation, name)(weights=None, weights_backbone=None, **given)
    reference = f"torchvision:{name}"
    models[name] = described(folder, network, reference=reference, arguments=given)
    place = folder / hf_nets(folder)["segformer"]["reference"].removeprefix("hf:")
    models["segformer (decoder width 32)"] = ModelConfig(
        reference=f"hf:{place}", source="drawn", preprocessing=AS_THEY_ARE
    )
    return models


def described(folder: Path, network: nn.Module, **fields: Any) -> ModelConfig:
    weights = folder / saved(network, folder / f"{fields['reference'].split(':')[-1]}.safetensors")
    return ModelConfig(weights=str(weights), source="drawn", preprocessing=AS_THEY_ARE, **fields)


def main(*, images: int = 100, repeats: int = 3) -> None:
    """Measure and print.

    Args:
        images: images of each pass.
        repeats: passes of each side; medians are shown.
    """
    height, width = SIZE_PX
    table = Table(
        "net",
        "bare loop",
        "through the actor",
        "time through the actor / bare",
        title=f"images per second, {images} images of {width}x{height}, median of {repeats}",
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "data", images)
        models = make_models(folder)
        execution = ExecutionConfig(python_path=(str(EXAMPLES),), workers=1)
        census = take_census(describe(folder / "data", images), PIXELS)
        files = [Path(item.image) for item in census.listed.items]
        with cluster(execution) as plan:
            for id_, model in models.items():
                found = compare(plan, execution, model, census, files, repeats)
                ratios, bare, actor = (statistics.median(side) for side in found[:3])
                speeds = (f"{images / elapsed_s:.1f}" for elapsed_s in (bare, actor))
                table.add_row(id_, *speeds, f"{ratios:.2f}")
    Console().print(table)


if __name__ == "__main__":
    cyclopts.run(main)
