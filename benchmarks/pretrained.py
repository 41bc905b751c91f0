"""Source-free scores of published checkpoints against their real transfer.

Eight ESPNetv2 nets trained on Cityscapes, whose images are needed nowhere: pixels of every CamVid
domain of the study are scored from target features, labels and the nets' own predictions, and the
heads are retrained as `otce measure` does it. `benchmarks/study.py` runs it.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from otce.config_file import load_config
from otce.datasets import Dataset, open_dataset
from otce.features import extract
from otce.measure_config import Training
from otce.model_config import PreprocessingChoice
from otce.scores import gbc, h_score, h_score_shrunk, knn, leep, logme, nce, nleep, transrate
from otce.scores import zero_shot_miou as zero_shot
from otce.transfer.crops import LabelledImage
from otce.transfer.training import as_it_is, transferred
from otce.zoo import load_model
from otce.zoo.model import SourceModel

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))
from source_free import drawn  # noqa: E402 - an example, found through the path above
from zero_shot import CITYSCAPES_AS_CAMVID, CLASSES, checkpoint_config  # noqa: E402

CHECKPOINTS: Final = sorted((ROOT.parent / "shared/data/weights/espnetv2").glob("*.pth"))
CONFIG: Final = ROOT / "examples/study-camvid.yaml"
SIZE_PX: Final = (192, 256)
CLASS_MAP: Final = tuple(
    CLASSES.index(name) if name in CLASSES else -1 for name in CITYSCAPES_AS_CAMVID
)
PIXELS, DRAWS, SEEDS = 2000, 3, (0, 1)
Row = dict[str, Any]


def pretrained() -> tuple[list[Row], list[Row]]:
    """Score and transfer every checkpoint to every domain.

    Returns:
        Rows of scores and rows of truths, as the tables of a run name their columns.
    """
    targets = load_config(str(CONFIG)).targets
    scores: list[Row] = []
    truths: list[Row] = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for found, measured in pool.map(_pair, *zip(*product(CHECKPOINTS, targets), strict=True)):
            scores += found
            truths += measured
    return scores, truths


def _pair(path: Path, target: str) -> tuple[list[Row], list[Row]]:
    torch.set_num_threads(1)
    config = load_config(str(CONFIG))
    few, held_back = (open_dataset(config.datasets[id_]) for id_ in (target, f"{target}-test"))
    ids = {"source_model": path.stem, "source_dataset": "cityscapes", "target_dataset": target}
    scores = [
        ids
        | {"metric": metric, "mean": float(np.mean(values)), "degenerate": "none"}
        | {"stderr": float(np.std(values, ddof=1) / len(values) ** 0.5), "total_stderr": None}
        for metric, values in _scores(path, few).items()
    ]
    as_is = as_it_is(_model(path, "logits"), CLASS_MAP, _images(held_back), len(CLASSES))
    truths = [
        ids | {"kind": "zero_shot", "shots": 0, "seed": None, "value": as_is.confusion.mean_iou}
    ]
    for seed in SEEDS:
        made = transferred(
            _model(path, "head"),
            None,
            list(_images(few)),
            _images(held_back),
            len(CLASSES),
            _by(seed),
        )
        value = made.confusion.mean_iou
        truths.append(ids | {"kind": "head", "shots": len(few.items), "seed": seed, "value": value})
    return scores, truths


def _by(seed: int) -> Training:
    return Training(
        kind="head",
        seed=seed,
        steps=30,
        batch_size=4,
        crop=0.75,
        weight_decay=1e-4,
        validation=0.25,
        learning_rates=(3e-2,),
    )


def _model(path: Path, tap: str) -> SourceModel:
    config = checkpoint_config(path, tap).model_copy(
        update={"preprocessing": PreprocessingChoice(size_px=SIZE_PX)}
    )
    return load_model(path.stem, config, python_path=[str(ROOT / "examples")])


def _images(dataset: Dataset) -> Iterator[LabelledImage]:
    return ((dataset.image(item), dataset.label(item)) for item in dataset.items)


def _scores(path: Path, dataset: Dataset) -> dict[str, list[float]]:
    """Every score that needs no source image, of each draw."""
    sample = drawn(dataset, PIXELS, DRAWS)
    spans = [np.flatnonzero(sample.item == i) for i in range(len(dataset.items))]
    places = [(sample.y_px[span], sample.x_px[span]) for span in spans]
    order = np.argsort(np.concatenate(spans))

    def rows(tap: str) -> torch.Tensor:
        model = _model(path, tap)
        found = extract(
            model.id, model.features, dataset.items, dataset.image, places, batch_size=1
        )
        return torch.from_numpy(np.concatenate([values for (values,) in found])[order])

    features_nD, probabilities_nZ = rows("head"), torch.softmax(rows("logits"), dim=1)
    scores: dict[str, list[float]] = {}
    for k in range(DRAWS):
        mask = sample.repetition == k
        features, labels = features_nD[mask], sample.label[mask]
        probabilities = probabilities_nZ[mask]
        one = {f.__name__: f(features, labels) for f in (logme, h_score, h_score_shrunk, gbc)}
        one |= {f.__name__: f(features, labels) for f in (transrate, nleep)}
        one |= {f.__name__: f(probabilities, labels) for f in (leep, nce)}
        one["knn"] = knn(features, labels, sample.item[mask])
        one["zero_shot_miou"] = zero_shot(probabilities, labels, CLASS_MAP)
        for name, value in one.items():
            scores.setdefault(name, []).append(value)
    return scores
