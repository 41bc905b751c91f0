"""Transport on a card: milliseconds a draw and for ten, beside what the card could do at best.

    python benchmarks/gpu.py [--pixels 10000] [--repeats 20] [REGIME ...]

Regimes as in `transport.py`. `balanced` is the coupling alone; `score` is `otce.score_pixels` from
features on the card to the score; ten draws are `otce.score_draws`. The peer is POT's float32
`sinkhorn` on the same card, cost matrix included, at the fewest iterations (in tens) that reach the
tolerance. `at best` is the larger of two times: the products of one kernel at the measured rate
of float32 products, and reading that kernel once an iteration, as half floats, at the measured rate
of copies. The reference score is that of potentials solved to 5e-7 whose plan is built in float64.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import cyclopts
import ot
import torch
from regimes import DRAWN, Draw, entropy, regime
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transport import EPSILON, MOST_ITERATIONS, TOLERANCE, tensors

import otce
from otce.transport import balanced, semi_relaxed

DRAWS = 10
RECIPE: dict[str, Any] = {
    "epsilon": EPSILON,
    "tolerance": TOLERANCE,
    "feature_scaling": "none",
    "relaxation": "none",
    "class_weights": "uniform",
    "device": "cuda",
}


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of some calls, after two that do not count."""
    seconds = []
    for _ in range(repeats + 2):
        torch.cuda.synchronize()
        started_s = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started_s)
    return 1000 * statistics.median(seconds[2:])


def ceilings() -> tuple[float, float]:
    """Bytes a second of a copy, read and written, and float32 operations a second of a product."""
    large = torch.empty(1 << 30, dtype=torch.float32, device="cuda").normal_()
    copy_ms = median_ms(large.clone, 10)
    square = large[: 1 << 26].view(1 << 13, 1 << 13)
    product_ms = median_ms(lambda: square @ square, 5)
    return 2 * large.nbytes / copy_ms * 1e3, 2 * 2.0**39 / product_ms * 1e3


def couple(arguments: Sequence[Tensor], tolerance: float = TOLERANCE) -> Any:
    (found,) = balanced(*arguments, epsilons=[EPSILON], tolerance=tolerance, max_iterations=200_000)
    return found


def reference(arguments: Sequence[Tensor], draw: Draw) -> float:
    """Score of the converged plan, built row by row in float64."""
    x_ND, y_MD, a_N, b_M, onehot_NS = arguments
    g_M = couple(arguments, 5e-7).g_M
    mass_SM = torch.zeros(onehot_NS.shape[1], len(b_M), dtype=torch.float64, device=b_M.device)
    for x, a, onehot in zip(x_ND.split(50), a_N.split(50), onehot_NS.split(50), strict=True):
        logit = (g_M - (x[:, None] - y_MD[None]).square().sum(2)) / EPSILON + b_M.log()
        mass_SM += onehot.T @ (a[:, None] * torch.softmax(logit, dim=1))
    error = float((mass_SM.sum(0) - b_M).abs().sum())
    if error > 1e-6:
        raise SystemExit(f"the reference is not converged: {error:.2g}")
    return entropy(mass_SM.cpu(), draw[3])


def by_pot(arguments: Sequence[Tensor], iterations: int) -> tuple[Tensor, float]:
    x_ND, y_MD, a_N, b_M, onehot_NS = (side.float() for side in arguments)
    norms = x_ND.square().sum(1)[:, None] + y_MD.square().sum(1)[None]
    cost_NM = norms.sub_(2 * x_ND @ y_MD.T).clamp_(min=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan_NM = ot.sinkhorn(a_N, b_M, cost_NM, EPSILON, numItermax=iterations, stopThr=0.0)
    error = float((plan_NM.sum(1) - a_N).abs().sum() + (plan_NM.sum(0) - b_M).abs().sum())
    return onehot_NS.T @ plan_NM, error


def iterations_needed(arguments: Sequence[Tensor]) -> int | None:
    for iterations in range(10, MOST_ITERATIONS, 10):
        error = by_pot(arguments, iterations)[1]
        if 0 <= error <= TOLERANCE:
            return iterations
        if error != error:  # noqa: PLR0124 - NaN
            return None
    return None


def on_card(name: str, pixels: int, seed: int) -> tuple[Draw, list[Tensor]]:
    draw = regime(name, pixels, seed)
    return draw, [side.cuda() for side in tensors(draw)]


def row(name: str, pixels: int, repeats: int, rates: tuple[float, float]) -> list[str]:
    draw, arguments = on_card(name, pixels, 0)
    right = reference(arguments, draw)
    torch.cuda.reset_peak_memory_stats()
    held_bytes = torch.cuda.memory_allocated()
    found = couple(arguments)
    peak_bytes = torch.cuda.max_memory_allocated() - held_bytes
    off = entropy(found.mass_SM.cpu(), draw[3]) - right
    labelled = (arguments[0], draw[1], arguments[1], draw[3])
    draws = [
        (some[0], other[1], some[1], other[3])
        for other, some in (on_card(name, pixels, seed) for seed in range(DRAWS))
    ]
    needed = iterations_needed(arguments)
    pot = "no right score"
    if needed is not None:
        pot = f"{median_ms(lambda: by_pot(arguments, needed), 5):.1f} ({needed})"
    products_ms = 2e3 * pixels**2 * arguments[0].shape[1] / rates[1]
    reading_ms = 2e3 * pixels**2 * found.n_iterations / rates[0]
    return [
        name,
        f"{median_ms(lambda: couple(arguments), repeats):.1f} ({found.n_iterations})",
        f"{median_ms(lambda: otce.score_pixels(*labelled, **RECIPE), repeats):.1f}",
        f"{median_ms(lambda: otce.score_draws(draws, **RECIPE), max(repeats // 4, 3)):.1f}",
        f"{max(products_ms, reading_ms):.1f}",
        pot,
        f"{off:+.1e}",
        f"{peak_bytes / 2**20:.0f}",
    ]


def main(*names: str, pixels: int = 10_000, repeats: int = 20) -> None:
    """Measure and print.

    Args:
        names: regimes; by default all that are drawn.
        pixels: N, a side.
        repeats: calls of each; medians are shown.
    """
    if not torch.cuda.is_available():
        raise SystemExit("this measures a CUDA device, and there is none")
    console = Console(width=150)
    rates = ceilings()
    console.print(
        f"{torch.cuda.get_device_name()}: copies {rates[0] / 1e12:.2f} TB/s, float32 products "
        f"{rates[1] / 1e12:.1f} TFLOP/s; N = {pixels}, medians of {repeats}"
    )
    table = Table(
        "regime",
        "balanced, ms (iterations)",
        "score, ms",
        f"{DRAWS} draws, ms",
        "at best, ms",
        "POT float32, ms (iterations)",
        "off by, nats",
        "peak, MiB",
    )
    for name in names or DRAWN:
        table.add_row(*row(name, pixels, repeats, rates))
    console.print(table)
    for targets in (pixels, 10 * pixels):
        x_ND, _, a_N, _, onehot_NS = on_card("soft64", pixels, 0)[1]
        y_MD = on_card("soft64", targets, 1)[1][1]
        b_M = torch.full_like(y_MD[:, 0], 1 / targets)
        sides = (x_ND, y_MD, a_N, b_M, onehot_NS)
        took_ms = median_ms(lambda sides=sides: semi_relaxed(*sides, epsilon=EPSILON), repeats)
        console.print(f"free source marginal, {pixels} x {targets}: {took_ms:.1f} ms")


if __name__ == "__main__":
    cyclopts.run(main)
