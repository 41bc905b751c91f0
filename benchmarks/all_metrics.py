"""All metrics of a pair against OTCE alone: what it costs to ask for everything.

    python benchmarks/all_metrics.py [--pixels 10000] [--draws 3] [--name soft64]
    python benchmarks/all_metrics.py pair [CONFIG] [--model ID] [--target ID]

The first takes draws of a drawn regime (benchmarks/regimes.py) with 40 images a side and 19
predicted classes. The second is a pair as a run does it on one core: both sides extracted once,
then every draw; by default the first pair of the demo with N = 10 000. Metrics share one draw,
and those of one coupling share it; `otce_robust` and `jc_otce` each ask for a coupling of their
own. Medians of CPU seconds on one thread, all in one process, in turn.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import cyclopts
import numpy as np
import torch
from regimes import regime
from rich.console import Console
from rich.table import Table
from sampled import sampled

from otce.config import RunConfig
from otce.config_file import load_config
from otce.datasets.expand import expanded
from otce.draw import Draw, joined
from otce.errors import OtceError
from otce.metric_recipe import metric_recipe
from otce.recipe import FROM_COUPLING, OVER_ALL_PIXELS, Metric
from otce.scores import score_pixels
from otce.scores.measure import measure
from otce.scores.zero_shot import class_map
from tasks.census import Census
from tasks.shards import cut
from tasks.worker import FeatureWorker

DEMO: Final = Path(__file__).parent.parent / "examples/demo.yaml"
IMAGES: Final = 40
CLASSES: Final = 19
OF_ONE_COUPLING: Final[tuple[Metric, ...]] = ("otce", "normalized", "wasserstein", "otce_full")
# Those over all pixels ask for sums that a draw does not have: benchmarks/all_pixels.py.
ALL: Final[tuple[Metric, ...]] = tuple(m for m in get_args(Metric) if m not in OVER_ALL_PIXELS)

app = cyclopts.App()
console = Console(width=110)


@app.default
def draws(*, pixels: int = 10_000, draws: int = 3, name: str = "soft64") -> None:
    """Measure single draws.

    Args:
        pixels: N = M.
        draws: repeats of each measurement.
        name: regime of the features.
    """
    torch.set_num_threads(1)
    run = _with_coefficients(load_config(str(DEMO)))
    source_x, source_y, target_x, target_y = regime(name, pixels)
    items = np.arange(pixels, dtype=np.int32) * IMAGES // pixels
    logits = np.random.default_rng(0).normal(size=(pixels, CLASSES)) + 4 * np.eye(CLASSES)[target_y]
    source = Draw(source_x.astype(np.float32), source_y.astype(np.int32), items)
    target = Draw(
        target_x.astype(np.float32), target_y.astype(np.int32), items, logits.astype(np.float32)
    )
    recipes = {metric: _recipe(metric, run, scaling="none") for metric in ALL}
    settings = {n: v for n, v in recipes["otce"].items() if n != "epsilon_curve"}
    score_pixels(*source[:2], *target[:2], **settings)
    alone_s = _cpu_s(lambda: score_pixels(*source[:2], *target[:2], **settings), draws)
    table = Table("metrics", "CPU s", "of OTCE alone", title=f"one draw, {name}, N = {pixels:,}")
    table.add_row("otce, score_pixels", f"{alone_s:.3f}", "1.00")

    def row(label: str, metrics: Sequence[Metric]) -> None:
        chosen = {metric: recipes[metric] for metric in metrics}
        taken_s = _cpu_s(
            lambda: _refuse(measure(source, target, chosen, tuple(range(CLASSES)))), draws
        )
        table.add_row(label, f"{taken_s:.3f}", f"{taken_s / alone_s:.2f}")

    row("otce with influences", ("otce",))
    row("all of its coupling", OF_ONE_COUPLING)
    row("all of features and predictions", [m for m in ALL if m not in FROM_COUPLING])
    row("all but otce_robust, jc_otce", [m for m in ALL if m not in {"otce_robust", "jc_otce"}])
    row("all", ALL)
    for metric in ALL:
        row(f"  {metric}", (metric,))
    console.print(table)


@app.command
def pair(
    config: Path = DEMO,
    *,
    model: str | None = None,
    target: str | None = None,
    pixels: int = 10_000,
) -> None:
    """Measure a pair from images to scores.

    Args:
        config: a configuration.
        model: one of its models.
        target: one of its targets.
        pixels: N.
    """
    torch.set_num_threads(1)
    run = _with_coefficients(expanded(load_config(str(config))))
    model_id, target_id = model or next(iter(run.models)), target or run.targets[0]
    chosen = run.models[model_id]
    sides = [
        sampled(id_, run.datasets[id_], pixels=pixels, repetitions=run.sampling.repetitions)
        for id_ in (str(chosen.source), target_id)
    ]
    worker = FeatureWorker()
    worker.load(model_id, chosen, run.execution.python_path, {}, 1)
    names = class_map(sides[0].listed.classes, sides[1].listed.classes)

    def whole(metrics: Sequence[Metric]) -> None:
        needs_logits = chosen.tap != "logits" and len(metrics) > 1
        source, target = (
            _draws(worker, side, run, with_logits=needs_logits and side is sides[1])
            for side in sides
        )
        for one, other in zip(source, target, strict=True):
            recipes = {metric: _recipe(metric, run) for metric in metrics}
            _refuse(measure(one, other, recipes, names))

    table = Table(
        "metrics", "CPU s", "of OTCE alone", title=f"{model_id} -> {target_id}, from images"
    )
    whole(("otce",))
    alone_s = _cpu_s(lambda: whole(("otce",)), 1)
    table.add_row("otce", f"{alone_s:.2f}", "1.00")
    most: list[Metric] = [m for m in ALL if m not in {"otce_robust", "jc_otce"}]
    for label, metrics in (("all but otce_robust, jc_otce", most), ("all", list(ALL))):
        taken_s = _cpu_s(lambda metrics=metrics: whole(metrics), 1)
        table.add_row(label, f"{taken_s:.2f}", f"{taken_s / alone_s:.2f}")
    console.print(table)


def _draws(worker: FeatureWorker, side: Census, run: RunConfig, *, with_logits: bool) -> list[Draw]:
    shards = cut(side, 64, range(run.sampling.repetitions))
    parts = [worker.extract(shard, {}, None, with_logits=with_logits)[1:] for shard in shards]
    return [joined(column) for column in zip(*parts, strict=True)]


def _with_coefficients(run: RunConfig) -> RunConfig:
    score = run.score.model_dump() | {"full": {"domain": -0.5, "task": -0.5}}
    return run.model_validate(run.model_dump() | {"score": score})


def _recipe(metric: Metric, run: RunConfig, **changes: Any) -> dict[str, Any]:
    recipe = metric_recipe(metric, run.score)
    return recipe | {"feature_scaling": changes["scaling"]} if changes and recipe else recipe


def _refuse(found: dict[Metric, Any]) -> None:
    for reading in found.values():
        if isinstance(reading, OtceError):
            raise reading


def _cpu_s(work: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        started_s = time.process_time()
        work()
        taken.append(time.process_time() - started_s)
    return statistics.median(taken)


if __name__ == "__main__":
    app()
