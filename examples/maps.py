"""Two kinds of transferability map side by side, on CamVid and with a published checkpoint.

    python examples/maps.py [CHECKPOINT] [--source 0016E5] [--target 0001TP] [--figure FILE]

The network is ESPNetv2 as trained on Cityscapes. Cityscapes itself is needed nowhere: the source
side here is a CamVid sequence filmed by day, the target one filmed at dusk, so the maps show where
dusk is no longer what the features knew by day. Printed are, for the hardest images, the mean risk
of both maps and their correlation over the patches that both score.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import pearsonr, spearmanr
from source_free import drawn
from zero_shot import SHARED, load_checkpoint, sequence

from otce.datasets import Dataset
from otce.explain import by_image
from otce.features import extract
from otce.maps import CoupledDraw, couple_draw, pixel_map
from otce.patches import means, patch_map, placed, pooled
from otce.report.overlays import overlay
from otce.sampling import Sample
from otce.zoo import SourceModel

ROWS, COLUMNS = 15, 20
"""Patches of 24 x 24 pixels."""
SOURCE_EVERY_PX, TARGET_EVERY_PX = 6, 2

console = Console(highlight=False, width=100)


@dataclass(frozen=True)
class Side:
    """A sequence with its drawn pixels and their features."""

    dataset: Dataset
    sample: Sample
    features: NDArray[np.float32]


def main(
    checkpoint: Path = SHARED / "weights/espnetv2/espnetv2_s_0.5_city_512x256.pth",
    *,
    data: Path = SHARED / "camvid",
    source: str = "0016E5",
    target: str = "0001TP",
    pixels: int = 5_000,
    frames: int = 20,
    images: int = 3,
    relaxation: str = "none",
    figure: Path | None = None,
) -> None:
    """Map the hardest images of a CamVid sequence in both ways.

    Args:
        checkpoint: a file named as published.
        data: the CamVid folder.
        source: sequence of the source side.
        target: sequence of the target side.
        pixels: labelled pixels drawn from each side.
        frames: evenly spaced frames of each sequence.
        images: how many of the hardest.
        relaxation: none, the paper's, or source.
        figure: PNG file for the figure of the hardest image.
    """
    absent = [str(path) for path in (checkpoint, data) if not path.exists()]
    if absent:
        console.print(f"skipped: {' and '.join(absent)} not found; see examples/maps.py --help")
        sys.exit(0)
    torch.set_num_threads(1)
    model = load_checkpoint(checkpoint, tap="head")
    sides = [_side(model, sequence(data, name, frames), pixels) for name in (source, target)]
    started_s = time.monotonic()
    draw = couple_draw(
        sides[0].features,
        sides[0].sample.label,
        sides[1].features,
        sides[1].sample.label,
        relaxation=relaxation,  # type: ignore[arg-type] - checked there
    )
    console.print(
        f"{source} -> {target}: OTCE {draw.score.otce:.4f} nats, normalized "
        f"{draw.score.normalized:.3f}, {time.monotonic() - started_s:.1f} s"
    )
    _compare(model, sides[0].dataset, sides[1], draw, images, relaxation, figure)


def _side(model: SourceModel, dataset: Dataset, pixels: int) -> Side:
    sample = drawn(dataset, pixels, 1)
    spans = [np.flatnonzero(sample.item == n) for n in range(len(dataset.items))]
    at_px = [(sample.y_px[span], sample.x_px[span]) for span in spans]
    rows = extract(model.id, model.features, dataset.items, dataset.image, at_px, batch_size=1)
    return Side(dataset, sample, np.concatenate([features for (features,) in rows]))


def _compare(
    model: SourceModel,
    source: Dataset,
    target: Side,
    draw: CoupledDraw,
    images: int,
    relaxation: str,
    figure: Path | None,
) -> None:
    pool = pooled(
        placed(_map(model, source.image(item)), source.label(item), every_px=SOURCE_EVERY_PX)
        for item in source.items
    )
    table = Table("image", "drawn", "pixel map", "patch map", "pearson", "spearman", "patches", "s")
    every: list[NDArray[np.float64]] = []
    ceiling_nats = float(np.quantile(draw.score.pixel_risk * len(target.sample.label), 0.95))
    for part in by_image(draw.score.pixel_risk, target.sample.item)[:images]:
        item = target.dataset.items[int(part.key)]
        image, label = target.dataset.image(item), target.dataset.label(item)
        map_Dhw = _map(model, image)
        started_s = time.monotonic()
        found = pixel_map(draw, map_Dhw, label)
        pixel_s = time.monotonic() - started_s
        few = placed(map_Dhw, label, every_px=TARGET_EVERY_PX)
        patches = patch_map(pool, few, rows=ROWS, columns=COLUMNS, relaxation=relaxation)
        patch_s = time.monotonic() - started_s - pixel_s
        mean_RC = means(found.risk_HW, ROWS, COLUMNS)
        both_RC = np.isfinite(mean_RC) & patches.mask_RC
        pair = np.stack([mean_RC[both_RC], patches.risk_RC[both_RC]])
        every.append(pair)
        table.add_row(
            item.id,
            f"{part.mean_nats:.2f}",
            f"{found.mean_nats:.2f}",
            f"{pair[1].mean():.2f}",
            *_correlations(pair),
            str(both_RC.sum()),
            f"{pixel_s:.0f} + {patch_s:.0f}",
        )
        if figure is not None and len(every) == 1:
            title = f"{item.id}, {model.id}"
            png = overlay(image, found, title=title, ceiling_nats=ceiling_nats, patches=patches)
            figure.write_bytes(png)
    table.add_row("all", "", "", "", *_correlations(np.concatenate(every, axis=1)), "", "")
    console.print(table)


def _map(model: SourceModel, image: NDArray[np.uint8]) -> torch.Tensor:
    (map_BDhw,) = model.features([image])
    return map_BDhw[0]


def _correlations(pair: NDArray[np.float64]) -> tuple[str, str]:
    return f"{pearsonr(*pair).statistic:.2f}", f"{spearmanr(*pair).statistic:.2f}"


if __name__ == "__main__":
    cyclopts.run(main)
