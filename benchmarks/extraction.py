"""Extraction through the actor against a bare decode-and-forward loop, its memory, and its bytes.

    python benchmarks/extraction.py [--images 500] [--repeats 3]

One net on the same drawn JPEG images, one thread a side, both in processes of their own. The bare
loop decodes and runs the net and keeps nothing: what it needs, extraction needs as well.
"""

import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cyclopts
import numpy as np
import ray
import safetensors.torch
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from sampled import sampled

from otce.config import ExecutionConfig, FolderDataset
from otce.datasets.scenes import CLASSES, draw_scene
from otce.model_config import ModelConfig
from otce.zoo import load_model
from tasks.actor import actor_maker
from tasks.census import Census
from tasks.cluster import cluster
from tasks.extract import ModelOnSlot
from tasks.plan import Plan
from tasks.shards import cut
from tasks.slots import Slots

EXAMPLES = Path(__file__).parent.parent / "examples"
SIZE_PX = (360, 480)
PIXELS, REPETITIONS = 10_000, 10
MIB = 1 << 20


def make_images(folder: Path, count: int) -> FolderDataset:
    """Draw images once; the smaller sets of the memory table are their beginnings."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        image, label = draw_scene("alder", index, SIZE_PX)
        Image.fromarray(image).save(folder / f"images/{index:05d}.jpg", quality=92)
        Image.fromarray(label).save(folder / f"labels/{index:05d}.png")
    return describe(folder, count)


def describe(folder: Path, count: int) -> FolderDataset:
    (folder / f"first-{count}.txt").write_text("\n".join(f"{i:05d}" for i in range(count)))
    return FolderDataset(
        layout=f"folder:{folder}",
        images="images/*.jpg",
        labels="labels/*.png",
        items=f"first-{count}.txt",
        classes=CLASSES,
    )


def make_model(folder: Path) -> ModelConfig:
    sys.path.insert(0, str(EXAMPLES))
    import nets  # noqa: PLC0415

    torch.manual_seed(0)
    weights = folder / "net.safetensors"
    weights.write_bytes(safetensors.torch.save(nets.depthwise(len(CLASSES)).state_dict()))
    return ModelConfig(
        reference="python:nets:depthwise",
        arguments={"n_classes": len(CLASSES)},
        trusted=True,
        weights=str(weights),
        source="drawn",
    )


def bare_loop(model: ModelConfig, files: list[Path]) -> float:
    """Decode and run the net, image by image, with one thread; seconds."""
    network = load_model("net", model, python_path=[str(EXAMPLES)]).network
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    torch.set_num_threads(1)
    started_s = time.perf_counter()
    with torch.inference_mode():
        for file in files:
            pixels = np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))
            batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
            network(((batch - mean) / std).contiguous())
    return time.perf_counter() - started_s


def through_actor(on_slot: ModelOnSlot, census: Census) -> tuple[float, int, int]:
    """Seconds, bytes kept and feature dimension."""
    started_s = time.perf_counter()
    refs = on_slot.features(census, range(REPETITIONS), with_logits=False)
    elapsed_s = time.perf_counter() - started_s
    draws = [draw for parts in refs.values() for draw in ray.get(parts)]
    kept = sum(draw.features.nbytes + draw.labels.nbytes for draw in draws)
    return elapsed_s, kept, draws[0].features.shape[1]


def peak_mib(data: FolderDataset, model: ModelConfig) -> float:
    """Peak memory of a fresh process that extracts a data set shard by shard."""
    script = Path(__file__).resolve()
    request = json.dumps([data.model_dump(mode="json"), model.model_dump(mode="json")])
    run = subprocess.run(
        [sys.executable, str(script), "--peak", request], capture_output=True, text=True, check=True
    )
    return float(run.stdout.split()[-1])


def print_peak(request: str) -> None:
    from tasks.worker import FeatureWorker  # noqa: PLC0415

    data, model = json.loads(request)
    census = sampled("drawn", FolderDataset(**data), pixels=2_000, repetitions=REPETITIONS)
    worker = FeatureWorker()
    worker.load("net", ModelConfig(**model), [str(EXAMPLES)], {}, 1)
    for shard in cut(census, 64, range(REPETITIONS)):
        worker.extract(shard, {}, None, with_logits=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main(*, images: int = 500, repeats: int = 3, peak: str | None = None) -> None:
    """Measure and print.

    Args:
        images: images of the speed table.
        repeats: runs of each side; medians are shown.
        peak: internal: extract this data set and print the process's peak memory.
    """
    if peak is not None:
        print_peak(peak)
        return
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "data", max(images, 500))
        model = make_model(folder)
        execution = ExecutionConfig(python_path=(str(EXAMPLES),), workers=1)
        census = sampled(
            "drawn", describe(folder / "data", images), pixels=PIXELS, repetitions=REPETITIONS
        )
        files = [Path(item.image) for item in census.listed.items]
        with cluster(execution) as plan:
            ratios, bare, actor, kept, dim = compare(plan, execution, model, census, files, repeats)
        table = Table("what", "bare loop", "through the actor", "ratio", title="extraction")
        table.add_row(
            f"{images} images, median of {repeats}, s",
            f"{statistics.median(bare):.2f}",
            f"{statistics.median(actor):.2f}",
            f"{statistics.median(ratios):.2f}",
        )
        height, width = -(-SIZE_PX[0] // 4), -(-SIZE_PX[1] // 4)
        full = images * dim * height * width * 4
        table.add_row(
            "bytes kept, MiB",
            f"{full / MIB:.0f} (full maps)",
            f"{kept / MIB:.0f}",
            f"1/{full / kept:.1f}",
        )
        console.print(table)
        table = Table("images", "peak memory of the extracting process, MiB", title="memory")
        for count in (50, 500):
            table.add_row(str(count), f"{peak_mib(describe(folder / 'data', count), model):.0f}")
        console.print(table)


def compare(
    plan: Plan,
    execution: ExecutionConfig,
    model: ModelConfig,
    census: Census,
    files: list[Path],
    repeats: int,
) -> tuple[list[float], list[float], list[float], int, int]:
    """Run both sides in turn, so that a busy moment of the machine hits both."""
    ratios, bare, actor, kept, dim = [], [], [], 0, 0
    with Slots(1, actor_maker(plan, execution)).lease() as slot:
        on_slot = ModelOnSlot(slot, "net", model, execution, plan.threads)
        on_slot.load()
        through_actor(on_slot, census)
        for _ in range(repeats):
            bare.append(bare_loop(model, files))
            elapsed_s, kept, dim = through_actor(on_slot, census)
            actor.append(elapsed_s)
            ratios.append(elapsed_s / bare[-1])
    return ratios, bare, actor, kept, dim


if __name__ == "__main__":
    cyclopts.run(main)
