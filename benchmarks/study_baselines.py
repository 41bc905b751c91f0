"""What is known of the study's models without any score: size, and accuracy at home.

All of it is written as `otce report --truth ... --baselines` reads it.
"""

from typing import Any

import numpy as np
import torch

from otce.config import RunConfig
from otce.datasets import Dataset, open_dataset
from otce.transfer.training import as_it_is
from otce.zoo import load_model

Row = dict[str, Any]


def baselines(run: RunConfig) -> list[Row]:
    """Judge every model by what needs no score.

    Args:
        run: the study.

    Returns:
        Rows of `baseline`, `model`, `target` (None: for all) and `value`.
    """
    torch.set_num_threads(1)
    rows = []
    for id_, config in run.models.items():
        model = load_model(id_, config, python_path=run.execution.python_path)
        n_parameters = sum(weight.numel() for weight in model.network.parameters())
        home = open_dataset(run.datasets[f"{config.source}-test"])
        n_classes = len(home.classes)
        images = ((home.image(item), home.label(item)) for item in home.items)
        at_home = as_it_is(model, range(n_classes), images, n_classes).confusion.mean_iou
        rows.append(_row("parameter count", id_, n_parameters))
        rows.append(_row("source mIoU", id_, at_home))
    return rows


def _row(name: str, model: str, value: float) -> Row:
    return {"baseline": name, "model": model, "target": None, "value": float(value)}


def class_shares(run: RunConfig) -> list[Row]:
    """Count the classes of every domain.

    Args:
        run: the study.

    Returns:
        Rows of `domain`, `images` and `shares`, the part of its labelled pixels by class id.
    """
    found = []
    for id_ in run.targets:
        dataset = open_dataset(run.datasets[id_])
        counts = _counts(dataset)
        found.append(
            {"domain": id_, "images": len(dataset.items), "shares": list(counts / counts.sum())}
        )
    return found


def _counts(dataset: Dataset) -> np.ndarray[Any, np.dtype[np.float64]]:
    counts = np.zeros(len(dataset.classes))
    for item in dataset.items:
        label = dataset.label(item)
        counts += np.bincount(label[label >= 0], minlength=len(counts))
    return counts
