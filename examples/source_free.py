"""Rank checkpoints for CamVid sequences without the data they were trained on.

    python examples/source_free.py [CHECKPOINT ...] [--pixels N] [--draws K]

Cityscapes is needed nowhere: LEEP asks the checkpoint's own classifier, on pixels of the target
that were drawn as `otce run` draws them. Higher is better; zero-shot mIoU stands in `zero_shot.py`.
"""

import statistics
from pathlib import Path

import cyclopts
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from zero_shot import SEQUENCES, SHARED, load_checkpoint, sequence

from otce.census import count_labels, dataset_digest, draw_pixels, item_digests
from otce.datasets import Dataset
from otce.features import extract
from otce.sampling import Sample
from otce.scores.leep import leep
from otce.zoo import SourceModel


def main(
    *checkpoints: Path,
    data: Path = SHARED / "camvid",
    pixels: int = 2_000,
    draws: int = 5,
    frames: int = 12,
) -> None:
    """Print the ranking of checkpoints by LEEP for every CamVid sequence.

    Args:
        checkpoints: files named as published; the eight in ../shared/data/weights/espnetv2 when
            none is named.
        data: the CamVid folder.
        pixels: labelled pixels a draw.
        draws: repetitions.
        frames: evenly spaced frames of a sequence that pixels are drawn from.
    """
    torch.set_num_threads(1)
    console = Console(highlight=False)
    paths = checkpoints or sorted((SHARED / "weights/espnetv2").glob("*.pth"))
    targets = {}
    for name in SEQUENCES:
        dataset = sequence(data, name, frames)
        targets[name] = dataset, drawn(dataset, pixels, draws)
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in targets}
    for path in paths:
        model = load_checkpoint(path)
        for name, (dataset, sample) in targets.items():
            scores[name][model.id] = leep_of_draws(model, dataset, sample, draws)
    for name, found in scores.items():
        table = Table("rank", "checkpoint", "LEEP, nats", "stderr", title=f"target {name}")
        ranked = sorted(found.items(), key=lambda pair: -statistics.mean(pair[1]))
        for rank, (id_, values) in enumerate(ranked, start=1):
            error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
            table.add_row(str(rank), id_, f"{statistics.mean(values):.4f}", f"{error:.4f}")
        console.print(table)


def drawn(dataset: Dataset, pixels: int, draws: int) -> Sample:
    """Draw pixels as a run does.

    Args:
        dataset: the target.
        pixels: labelled pixels a draw.
        draws: repetitions.

    Returns:
        All draws.
    """
    labelled_px = count_labels(dataset, dataset.items).sum(axis=1)
    digest = dataset_digest(dataset, item_digests(dataset, dataset.items))
    return draw_pixels(
        dataset,
        range(len(dataset.items)),
        labelled_px,
        pixels=pixels,
        repetitions=draws,
        seed=0,
        digest_of_dataset=digest,
    )


def leep_of_draws(model: SourceModel, dataset: Dataset, sample: Sample, draws: int) -> list[float]:
    """Score every draw from one pass over the images.

    Args:
        model: its features must be its logits.
        dataset: the target.
        sample: the drawn pixels.
        draws: repetitions.

    Returns:
        LEEP of each draw in nats.
    """
    spans = [np.flatnonzero(sample.item == i) for i in range(len(dataset.items))]
    rows = extract(
        model.id,
        model.features,
        dataset.items,
        dataset.image,
        [(sample.y_px[span], sample.x_px[span]) for span in spans],
        batch_size=1,
    )
    logits_nZ = np.concatenate([logits for (logits,) in rows])[np.argsort(np.concatenate(spans))]
    probabilities_nZ = torch.softmax(torch.from_numpy(logits_nZ), dim=1)
    masks = (sample.repetition == k for k in range(draws))
    return [leep(probabilities_nZ[mask], sample.label[mask]) for mask in masks]


if __name__ == "__main__":
    cyclopts.run(main)
