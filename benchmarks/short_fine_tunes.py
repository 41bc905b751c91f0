"""Fine-tunes of as many steps as OTCE takes time: the baseline of equal compute.

A pair gets the processor seconds that OTCE alone took of a pair. In them its model is read and
fine-tuned for some steps, with one learning rate, on three quarters of the labelled images, and
judged by the last quarter: like a score, it never sees a held-back image.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
import torch

from otce.config import RunConfig
from otce.datasets import open_dataset
from otce.transfer.training import judging, transferred
from otce.zoo import load_model

NAME: Final = "fine-tune at equal compute"
_SEED: Final = 2
_FEW, _MORE = 1, 11
"""Steps of the trials from which the seconds of a step are told."""
Row = dict[str, Any]


def otce_alone_s(run_folder: Path) -> float:
    """Add up what OTCE took of a pair.

    Args:
        run_folder: of a run of this metric alone, in a store that held nothing before.

    Returns:
        Seconds of workers of one thread: models, images, features and transport.
    """
    seconds = pq.read_table(run_folder / "timings.parquet", columns=["worker_s"])
    pairs = pq.read_table(run_folder / "summary.parquet", columns=["mean"]).num_rows
    return float(np.sum(seconds["worker_s"].to_numpy())) / pairs


def short_fine_tunes(run: RunConfig, budget_s: float) -> tuple[list[Row], list[Row]]:
    """Fine-tune every pair for as many steps as the budget has time for, one at least.

    Args:
        run: the study.
        budget_s: processor seconds of a pair.

    Returns:
        Rows of baselines, and what each cost: `source_model`, `target_dataset`, `steps`, `cpu_s`
        and the budget, `otce_s`.
    """
    pairs = [(m, t) for m, model in run.models.items() for t in run.targets if t != model.source]
    trials = list({run.models[m].reference: (m, t) for m, t in pairs}.values())
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:

        def made(pairs: list[tuple[str, str]], steps: int) -> list[tuple[float, float]]:
            n = len(pairs)
            return list(pool.map(_made, [run] * n, *zip(*pairs, strict=True), [steps] * n))

        made(trials, _FEW)  # the first of a process pays for what it imports
        few_s, more_s = (np.mean([s for _, s in made(trials, n)]) for n in (_FEW, _MORE))
        step_s = (more_s - few_s) / (_MORE - _FEW)
        steps = max(1, round(_FEW + (budget_s - few_s) / step_s))
        found = made(pairs, steps)
    values, costs = [], []
    for (model, target), (miou, cpu_s) in zip(pairs, found, strict=True):
        values.append({"baseline": NAME, "model": model, "target": target, "value": miou})
        ids = {"source_model": model, "target_dataset": target}
        costs.append(ids | {"steps": steps, "cpu_s": cpu_s, "otce_s": budget_s})
    return values, costs


def _made(run: RunConfig, model_id: str, target: str, steps: int) -> tuple[float, float]:
    """Give the mIoU on the quarter of the labelled images that judges, and the seconds it took."""
    torch.set_num_threads(1)
    started_s = time.process_time()
    model = load_model(model_id, run.models[model_id], python_path=run.execution.python_path)
    dataset = open_dataset(run.datasets[target])
    n_classes, measure = len(dataset.classes), run.measure
    images = [(dataset.image(item), dataset.label(item)) for item in dataset.items]
    judges = judging(len(images), measure.validation)
    made = transferred(
        model,
        range(n_classes),
        [image for place, image in enumerate(images) if place not in judges],
        [images[place] for place in judges],
        n_classes,
        measure.short_training(_SEED, steps, keeps_head=True),
    )
    return made.confusion.mean_iou, time.process_time() - started_s
