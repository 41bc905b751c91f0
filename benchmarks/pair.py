"""A whole pair as a run solves it: ten draws on two Ray workers, ours against POT's.

    python benchmarks/pair.py [--pixels 10000] [REGIME ...]

Ours are the tasks of `tasks/bundle.py`, which also make the curve over epsilons for the first draw
of a pair; they are timed with and without it. POT gets the same draws, workers and threads, and
the fewest iterations that reach the tolerance on the first draw (see `transport.py`).
"""

import time
from collections.abc import Sequence
from typing import Any

import cyclopts
import numpy as np
import ray
import torch
from numpy.typing import NDArray
from regimes import Draw, entropy, regime
from rich.console import Console
from rich.table import Table
from transport import EPSILON, iterations_needed, pots

from otce.config import ExecutionConfig, ScoreConfig
from otce.draw import Draw as Side
from tasks.bundle import Transport, submit
from tasks.cluster import cluster
from tasks.solve import Request

WORKERS = 2
FASTEST = {"soft64": "float32 sinkhorn", "softmax19": "float32 sinkhorn"}
"""Which of POT's solvers is the fastest right one; float64 where it is not float32."""


@ray.remote(num_cpus=1)
def by_pot(draw: Draw, peer: str, iterations: int) -> tuple[float, float]:
    torch.set_num_threads(1)
    mass_SM, error, _ = pots(draw, peer, iterations)
    return -entropy(mass_SM, draw[3]), error


def ours(draws: Sequence[Draw], curve: tuple[float, ...]) -> tuple[float, list[float]]:
    recipe = ScoreConfig(
        epsilon=EPSILON,
        feature_scaling="none",
        relaxation="none",
        class_weights="uniform",
        epsilon_curve=curve,
    )
    parts = [(ray.put(side(*draw[:2])), ray.put(side(*draw[2:]))) for draw in draws]
    started_s = time.perf_counter()
    begun = [
        submit(
            [Transport(Request(recipe, ("otce",), None, k == 0), [source], [target], [])],
            name="solve",
            num_cpus=1,
            memory_bytes=1 << 29,
        )
        for k, (source, target) in enumerate(parts)
    ]
    found = ray.get([rows for _, rows in begun])
    return time.perf_counter() - started_s, [rows[0]["otce"]["value"] for rows in found]


def side(features: NDArray[Any], labels: NDArray[Any]) -> Side:
    """Fifty images a side, as if pixels came in order of images."""
    items = np.arange(len(labels), dtype=np.int32) * 50 // len(labels)
    return Side(features, labels, items)


def main(*names: str, pixels: int = 10_000, draws: int = 10) -> None:
    """Measure and print.

    Args:
        names: regimes; by default soft64, softmax19 and mid64.
        pixels: N, a side.
        draws: K.
    """
    title = f"{draws} draws of {pixels} pixels a side on {WORKERS} workers, s"
    table = Table("regime", "ours", "with the curve", "POT", "solver", "ratio", "scores differ by")
    with cluster(ExecutionConfig(workers=WORKERS)):
        for name in names or ("soft64", "softmax19", "mid64"):
            made = [regime(name, pixels, seed) for seed in range(draws)]
            ours(made[:WORKERS], ())  # workers start and import
            seconds, scores = ours(made, ())
            with_curve_s, _ = ours(made, (0.3, 1.0, 3.0, 10.0))
            peer = FASTEST.get(name, "float64 sinkhorn")
            iterations = iterations_needed(made[0], peer)
            kept = [ray.put(draw) for draw in made]
            ray.get([by_pot.remote(draw, peer, 10) for draw in kept[:WORKERS]])
            started_s = time.perf_counter()
            found = ray.get([by_pot.remote(draw, peer, iterations) for draw in kept])
            pot_s = time.perf_counter() - started_s
            furthest = max(
                abs(score - other) for score, (other, _) in zip(scores, found, strict=True)
            )
            table.add_row(
                name,
                f"{seconds:.1f}",
                f"{with_curve_s:.1f}",
                f"{pot_s:.1f}",
                f"{peer}, {iterations} iterations",
                f"{pot_s / seconds:.1f}",
                f"{furthest:.1e} nats",
            )
    Console(width=120).print(table, title, sep="\n")


if __name__ == "__main__":
    cyclopts.run(main)
