"""The label census against a bare Pillow decode loop, on one core, and through Ray on all of them.

    python benchmarks/census.py [--frames 600] [--distinct 60] [--repeats 5]

Frames of 2048x1024 pixels are drawn in the layout of Cityscapes; more frames than distinct ones are
further names of the same files. The bare loops read, decode and make arrays, and count nothing.
Both sides share one core and take turns, and their CPU time is taken: that of a core, whoever else
keeps the machine busy.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cyclopts
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from otce.census import count_labels
from otce.classes import CITYSCAPES_IDS
from otce.config import RunConfig
from otce.dataset_config import CityscapesDataset
from otce.datasets import Item
from otce.datasets.image_files import ImageDataset
from otce.datasets.scenes import VOID, draw_scene
from otce.storage.store import Store
from tasks.census import take_census
from tasks.cluster import cluster
from tasks.listing import list_dataset
from tasks.retry import Window

SIZE_PX = (1024, 2048)
# Ids of Cityscapes for the classes of drawn scenes: which ones is of no importance here.
IDS = np.zeros(256, np.uint8)
IDS[: len(CITYSCAPES_IDS)] = list(CITYSCAPES_IDS.values())
IDS[VOID] = 0


class LabelsAlone(ImageDataset):
    """A data set whose images cost nothing."""

    def image(self, item: Item, expected_digest: str | None = None) -> NDArray[np.uint8]:
        """Pretend to have decoded an image."""
        del item, expected_digest
        return np.broadcast_to(np.uint8(0), (*SIZE_PX, 3))


def draw_frames(root: Path, frames: int, distinct: int) -> CityscapesDataset:
    for index in range(frames):
        city, name = f"city-{index % 3}", f"city-{index % 3}_{index:06d}_000019"
        image = root / f"leftImg8bit/train/{city}/{name}_leftImg8bit.png"
        label = root / f"gtFine/train/{city}/{name}_gtFine_labelIds.png"
        for path, kind in ((image, "image"), (label, "label")):
            path.parent.mkdir(parents=True, exist_ok=True)
            if index >= distinct:
                os.link(root / f"{kind}-{index % distinct}.png", path)
        if index < distinct:
            pixels, ids = draw_scene("alder", index, SIZE_PX)
            Image.fromarray(pixels).save(image, compress_level=3)
            Image.fromarray(IDS[ids]).save(label)
            os.link(image, root / f"image-{index}.png")
            os.link(label, root / f"label-{index}.png")
    return CityscapesDataset(layout=f"cityscapes:{root}")


def decode(paths: list[str]) -> None:
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image)


def seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    started_s = clock()
    work()
    return clock() - started_s


def in_turn(
    bare: Callable[[], object], census: Callable[[], object], repeats: int
) -> tuple[float, float, float]:
    """Median CPU seconds of both, and the median of the ratios of neighbouring runs."""
    bare()
    census()
    times = [
        tuple(seconds(side, time.process_time) for side in (bare, census)) for _ in range(repeats)
    ]
    return (
        statistics.median(b for b, _ in times),
        statistics.median(c for _, c in times),
        statistics.median(b / c for b, c in times),
    )


def through_ray(config: CityscapesDataset, folder: Path) -> tuple[float, float]:
    """Seconds of a first census, count and draw, and of one with another seed, which draws only."""
    run = {
        "datasets": {"frames": config.model_dump(), "alder": {"layout": "scenes:alder"}},
        "models": {"none": {"reference": "python:n:n", "weights": "none", "source": "alder"}},
        "targets": ["frames"],
    }
    store = Store(str(folder / "store"))
    configs = [RunConfig.model_validate(run | {"seed": seed}) for seed in (0, 1)]
    listed = list_dataset("frames", configs[0])
    with cluster(configs[0].execution) as plan:
        window = Window(plan.in_flight, attempts=1, time_limit_s=3600)
        first, again = (
            seconds(lambda c=c: take_census.fn(listed, c, store, window), time.perf_counter)
            for c in configs
        )
    return first, again


def main(*, frames: int = 600, distinct: int = 60, repeats: int = 5) -> None:
    """Measure and print.

    Args:
        frames: label masks, each with an image.
        distinct: how many of them are drawn; the others are further names of these.
        repeats: runs of each side; medians are shown.
    """
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as name:
        config = draw_frames(Path(name) / "data", frames, min(distinct, frames))
        items = ImageDataset(config).items
        labels, images = ([getattr(i, kind) for i in items] for kind in ("label", "image"))
        some = items[: max(1, frames // 10)]
        os.sched_setaffinity(0, {min(cores)})
        alone = in_turn(
            lambda: decode(labels),
            lambda: count_labels(LabelsAlone(config, items=items), items),
            repeats,
        )
        both = in_turn(
            lambda: decode([*labels[: len(some)], *images[: len(some)]]),
            lambda: count_labels(ImageDataset(config, items=items), some),
            repeats,
        )
        os.sched_setaffinity(0, cores)
        first_s, again_s = through_ray(config, Path(name))
    console = Console(width=100)
    table = Table("what", "frames", "bare, CPU s", "census, CPU s", "speed of bare")
    for what, count, (bare_s, census_s, ratio) in (
        ("labels, one core", frames, alone),
        ("labels and images, one core", len(some), both),
    ):
        table.add_row(what, str(count), f"{bare_s:.2f}", f"{census_s:.2f}", f"{ratio:.0%}")
    console.print(table)
    console.print(
        f"through Ray on {len(cores)} cores, {frames} frames, labels and images counted and drawn: "
        f"{first_s:.1f} s; another seed over the same labels, drawn only: {again_s:.1f} s"
    )


if __name__ == "__main__":
    cyclopts.run(main)
