"""How time grows with the pixels, and what tolerance, threads and a free marginal cost.

python benchmarks/growth.py growth [--plot docs/transport-growth.png]
python benchmarks/growth.py drift
python benchmarks/growth.py threads
python benchmarks/growth.py relaxed
"""

import statistics
import time
from pathlib import Path

import cyclopts
import numpy as np
import torch
from regimes import DRAWN, REAL, Draw, entropy, regime
from rich.console import Console
from rich.table import Table
from transport import EPSILON, peak_mib, reference, tensors

from otce.report.svg import canvas, drawing
from otce.transport import Coupling, balanced, semi_relaxed

COUNTS = (1_000, 2_000, 5_000, 10_000, 20_000)
COLOURS = ("#0b5cad", "#b3401f", "#2f7d4f", "#7a4fa3")
app = cyclopts.App()


def timed(draw: Draw, tolerance: float = 1e-3, repeats: int = 3) -> tuple[float, Coupling]:
    """Solve; seconds, median, and the coupling."""
    given = tensors(draw)
    seconds = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        (found,) = balanced(*given, epsilons=[EPSILON], tolerance=tolerance, max_iterations=200_000)
        seconds.append(time.perf_counter() - started_s)
    return statistics.median(seconds), found


@app.command
def growth(*, threads: int = 2, plot: Path | None = None) -> None:
    """Time N of 1 000 to 20 000 a side, and fit the exponent of N.

    Args:
        threads: of torch.
        plot: where the figure is written as PNG or SVG.
    """
    torch.set_num_threads(threads)
    table = Table("regime", *(f"N = {n}" for n in COUNTS), "exponent", title="s, median of 3")
    seconds = {}
    for name in DRAWN:
        seconds[name] = [timed(regime(name, n))[0] for n in COUNTS]
        slope = np.polyfit(np.log(COUNTS), np.log(seconds[name]), 1)[0]
        table.add_row(name, *(f"{s:.3f}" for s in seconds[name]), f"{slope:.2f}")
    Console(width=120).print(table)
    if plot is not None:
        draw_growth(seconds, plot)


def draw_growth(seconds: dict[str, list[float]], plot: Path) -> None:
    with drawing("growth"):
        figure, axes = canvas((560, 320), left_px=72)
        for (name, row), colour in zip(seconds.items(), COLOURS, strict=True):
            axes.loglog(COUNTS, row, "o-", color=colour, label=name)
        axes.loglog(COUNTS, [(n / 10_000) ** 2 for n in COUNTS], ":", color="#8a93a1")
        axes.annotate("N squared", (1_300, 0.012), color="#5b6472")
        axes.set(xlabel="pixels a side", ylabel="seconds a draw")
        axes.set_xticks(COUNTS, [f"{n:,}" for n in COUNTS])
        axes.set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
        axes.minorticks_off()
        axes.legend(frameon=False)
        figure.patch.set_visible(True)
        figure.savefig(plot)


@app.command
def drift(*names: str, pixels: int = 10_000) -> None:
    """Show how far the entropy still is from the converged one at a tolerance.

    Args:
        names: regimes; by default all.
        pixels: N, a side.
    """
    tolerances = (1e-2, 3e-3, 1e-3, 1e-4)
    table = Table("regime", *(f"{t:g}" for t in tolerances), title="nats off (L1 error reached)")
    for name in names or (*DRAWN, *REAL):
        draw = regime(name, pixels)
        right = reference(draw)
        cells = []
        for tolerance in tolerances:
            _, found = timed(draw, tolerance, 1)
            off = entropy(found.mass_SM, draw[3]) - right
            cells.append(f"{off:+.1e} ({found.marginal_error:.0e})")
        table.add_row(name, *cells)
    Console(width=140).print(table)


@app.command
def threads(*, pixels: int = 10_000) -> None:
    """Show what the number of threads changes: time, and the last bits of the score.

    Args:
        pixels: N, a side.
    """
    table = Table("regime", "1 thread, s", "2 threads, s", "scores differ by, nats")
    table.add_column("and in two runs of 2 threads")
    for name in DRAWN:
        draw = regime(name, pixels)
        cells, scores = [], []
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            seconds, found = timed(draw)
            cells.append(f"{seconds:.2f}")
            scores.append(entropy(found.mass_SM, draw[3]))
        differ = [f"{abs(scores[i] - scores[1]):.1e}" for i in (0, 2)]
        table.add_row(name, *cells[:2], *differ)
    Console(width=120).print(table)


@app.command
def relaxed(*, threads: int = 2) -> None:
    """Time the coupling whose source marginal is free.

    Args:
        threads: of torch.
    """
    torch.set_num_threads(threads)
    generator = np.random.default_rng(0)
    table = Table("source pixels", "target pixels", "dimensions", "s, median of 3", "peak, MiB")
    for n, m, dim in ((10_000, 10_000, 19), (10_000, 10_000, 64), (10_000, 100_000, 64)):
        sides = [torch.from_numpy(generator.normal(size=(k, dim)) / dim**0.5) for k in (n, m)]
        weights = [torch.full((k,), 1 / k, dtype=torch.float64) for k in (n, m)]
        thin = torch.nn.functional.one_hot(torch.arange(n) % 11).double()
        seconds = []
        for _ in range(3):
            started_s = time.perf_counter()
            semi_relaxed(*sides, *weights, thin, epsilon=EPSILON)
            seconds.append(time.perf_counter() - started_s)
        table.add_row(
            *map(str, (n, m, dim)), f"{statistics.median(seconds):.2f}", f"{peak_mib():.0f}"
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    app()
