"""Transport on a card: milliseconds a draw and for ten, beside what the card could do at best.

    python benchmarks/gpu.py [--pixels 10000] [--repeats 20] [REGIME ...]
    python benchmarks/gpu.py operations [--pixels 10000] [REGIME ...]

Regimes as in `transport.py`. `balanced` is the coupling alone; `score` is `otce.score_pixels` from
features on the card to the score; ten draws are `otce.score_draws`. The peer is POT's float32
`sinkhorn` on the same card, cost matrix included, at as many iterations as `transport.py` gives it.
`at best` is the larger of two times: the products of one kernel at the measured rate of float32
products, and reading that kernel once an iteration, as half floats, at the measured rate of copies.
The reference score is that of potentials solved to 5e-7 whose plan is built in float64.
`operations` counts what a card is told for one draw, which takes it longer than to do it; it needs
no card.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import cyclopts
import torch
from regimes import DRAWN, Draw, entropy, regime
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transport import EPSILON, TOLERANCE, by_pot, converged, fewest, tensors

import otce
from otce.transport import Coupling, balanced, geometry, semi_relaxed

DRAWS = 10
PEER = "float32 sinkhorn"
_FEW: Final = 200
"""Numbers up to which an array is the processor's own affair."""
app = cyclopts.App(help=__doc__)
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


def couple(sides: Sequence[Tensor]) -> Coupling:
    (found,) = balanced(*sides, epsilons=[EPSILON], tolerance=TOLERANCE, max_iterations=20_000)
    return found


def on_card(name: str, pixels: int, seed: int) -> tuple[Draw, list[Tensor]]:
    draw = regime(name, pixels, seed)
    return draw, [side.cuda() for side in tensors(draw)]


def row(name: str, pixels: int, repeats: int, rates: tuple[float, float]) -> list[str]:
    draw, sides = on_card(name, pixels, 0)
    right = entropy(converged(sides).cpu(), draw[3])
    torch.cuda.reset_peak_memory_stats()
    held_bytes = torch.cuda.memory_allocated()
    found = couple(sides)
    peak_bytes = torch.cuda.max_memory_allocated() - held_bytes
    off = entropy(found.mass_SM.cpu(), draw[3]) - right
    draws = [
        (some[0], other[1], some[1], other[3])
        for other, some in (on_card(name, pixels, seed) for seed in range(DRAWS))
    ]
    single = [side.float() for side in sides]
    needed = fewest(lambda iterations: by_pot(single, PEER, iterations)[1])
    pot = "no right score"
    if needed is not None:
        pot = f"{median_ms(lambda: by_pot(single, PEER, needed), 5):.1f} ({needed})"
    products_ms = 2e3 * pixels**2 * sides[0].shape[1] / rates[1]
    reading_ms = 2e3 * pixels**2 * found.n_iterations / rates[0]
    return [
        name,
        f"{median_ms(lambda: couple(sides), repeats):.1f} ({found.n_iterations})",
        f"{median_ms(lambda: otce.score_pixels(*draws[0], **RECIPE), repeats):.1f}",
        f"{median_ms(lambda: otce.score_draws(draws, **RECIPE), max(repeats // 4, 3)):.1f}",
        f"{max(products_ms, reading_ms):.1f}",
        pot,
        f"{off:+.1e}",
        f"{peak_bytes / 2**20:.0f}",
    ]


class Told(TorchDispatchMode):
    """Counts operations that compute or copy arrays: views and empty arrays cost a card nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = operation(*args, **(kwargs or {}))
        arrays = tree_leaves((args, kwargs, found))
        is_large = any(isinstance(x, Tensor) and x.numel() > _FEW for x in arrays)
        self.operations += is_large and not (operation.is_view or "empty" in operation.name())
        return found


@app.command
def operations(*names: str, pixels: int = 10_000) -> None:
    """Count what a card would be told for one draw.

    Args:
        names: regimes; by default all that are drawn.
        pixels: N, a side.
    """
    geometry.Geometry.is_on_card = True  # type: ignore[method-assign,assignment]
    geometry._TILE_BYTES["cpu"] = geometry._TILE_BYTES["cuda"]  # noqa: SLF001
    for name in names or DRAWN:
        sides = tensors(regime(name, pixels, 0))
        with Told() as told:
            found = couple(sides)
        print(f"{name}: {told.operations} operations, {found.n_iterations} iterations")


@app.default
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
    app()
