"""Our transport solver against POT's, in every regime: seconds, memory, and the score's error.

    python benchmarks/transport.py [--pixels 10000] [--threads 2] [REGIME ...]

One process a measurement, so that peaks of memory are its own. POT is given the fewest iterations
(in tens, found beforehand and not timed) at which the L1 error of both marginals is at most 1e-3,
as ours has to reach; its own stopping rule is on another norm. The reference score is that of
potentials whose plan, built anew in float64 in the log domain, has an error of at most 1e-6.
"""

import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import ot
import torch
from regimes import DRAWN, REAL, Draw, entropy, regime
from rich.console import Console
from rich.table import Table

from otce.transport import balanced

EPSILON, TOLERANCE = 0.1, 1e-3
SHARP = ("logit19", "camvid-logits-raw")
"""Costs of thousands of epsilons, where POT's entropic solvers give NaN or do not end."""
PEERS = ("float32 sinkhorn", "float64 sinkhorn")
"""`sinkhorn_stabilized` and `sinkhorn_log` are slower than these wherever these end."""
LIMIT_S = 100.0
MOST_ITERATIONS = 1000


def tensors(draw: Draw, kind: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Both sides, their uniform weights, and the one-hot source labels."""
    sides = [torch.from_numpy(draw[i]).to(kind) for i in (0, 2)]
    weights = [torch.full((len(x),), 1 / len(x), dtype=kind) for x in sides]
    return [
        *sides,
        *weights,
        torch.nn.functional.one_hot(torch.from_numpy(draw[1]).long()).to(kind),
    ]


def ours(draw: Draw) -> tuple[torch.Tensor, float, int]:
    (found,) = balanced(
        *tensors(draw), epsilons=[EPSILON], tolerance=TOLERANCE, max_iterations=20_000
    )
    return found.mass_SM, found.marginal_error, found.n_iterations


def pots(draw: Draw, peer: str, iterations: int) -> tuple[torch.Tensor, float, int]:
    kind = torch.float32 if peer.startswith("float32") else torch.float64
    return by_pot(tensors(draw, kind), peer, iterations)


def by_pot(
    sides: Sequence[torch.Tensor], peer: str, iterations: int
) -> tuple[torch.Tensor, float, int]:
    """Solve with POT as its users do: cost matrix, plan, product with the labels."""
    x_ND, y_MD, a_N, b_M, onehot_NS = sides
    norms = x_ND.square().sum(1)[:, None] + y_MD.square().sum(1)[None]
    cost_NM = norms.sub_(2 * x_ND @ y_MD.T).clamp_(min=0)
    arguments = [a_N, b_M, cost_NM]
    if peer != "float32 sinkhorn":
        arguments = [tensor.numpy() for tensor in arguments]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if peer == "emd":
            plan = ot.emd(*arguments, numItermax=100_000_000)
        else:
            plan = ot.sinkhorn(*arguments, EPSILON, numItermax=iterations, stopThr=0.0)
    plan_NM = torch.as_tensor(plan)
    error = float((plan_NM.sum(1) - a_N).abs().sum() + (plan_NM.sum(0) - b_M).abs().sum())
    return onehot_NS.T @ plan_NM, error, iterations


def iterations_needed(draw: Draw, peer: str) -> int | None:
    """Find the fewest tens of iterations that reach the tolerance; None when they never do."""
    return 1 if peer == "emd" else fewest(lambda iterations: pots(draw, peer, iterations)[1])


def fewest(error_of: Callable[[int], float]) -> int | None:
    low, high = 0, 10
    started_s = time.perf_counter()
    while not (error := error_of(high)) <= TOLERANCE:
        if not np.isfinite(error) or error < 0 or high >= MOST_ITERATIONS:
            return None
        if time.perf_counter() - started_s > LIMIT_S:
            return None
        low, high = high, 2 * high
    while high - low > max(10, high // 8):
        middle = (low + high) // 20 * 10
        low, high = (low, middle) if error_of(middle) <= TOLERANCE else (middle, high)
    return high


def reference(draw: Draw) -> float:
    """Score of the converged plan, whose optimality is checked without our solver."""
    return entropy(converged(tensors(draw)), draw[3])


def converged(sides: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mass of each source class at each target pixel, of a plan that is built row by row."""
    x_ND, y_MD, a_N, b_M, onehot_NS = sides
    (found,) = balanced(*sides, epsilons=[EPSILON], tolerance=5e-7, max_iterations=200_000)
    mass_SM = torch.zeros_like(found.mass_SM)
    for x, a, onehot in zip(x_ND.split(50), a_N.split(50), onehot_NS.split(50), strict=True):
        logit = (found.g_M - (x[:, None] - y_MD[None]).square().sum(2)) / EPSILON + b_M.log()
        mass_SM += onehot.T @ (a[:, None] * torch.softmax(logit, dim=1))
    error = float((mass_SM.sum(0) - b_M).abs().sum())
    if error > 1e-6:
        raise SystemExit(f"the reference is not converged: {error:.2g}")
    return mass_SM


def peak_mib() -> float:
    """Peak memory of this process's own life."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def measure(name: str, solver: str, pixels: int, threads: int, iterations: int) -> None:
    """Run one solver on one regime, once, and print what came out as JSON."""
    torch.set_num_threads(threads)
    draw = regime(name, pixels)
    if solver == "reference":
        print(json.dumps({"score": reference(draw)}))
        return
    if solver != "ours" and not iterations:
        print(json.dumps({"iterations": iterations_needed(draw, solver)}))
        return
    if solver != "emd":  # libraries settle in
        small = regime("soft64", 1_100)
        ours(small) if solver == "ours" else pots(small, solver, 10)
    started_s = time.perf_counter()
    found = ours(draw) if solver == "ours" else pots(draw, solver, iterations)
    score = entropy(found[0], draw[3])
    report = {"seconds": time.perf_counter() - started_s, "peak_mib": peak_mib()}
    print(json.dumps(report | {"score": score, "error": found[1], "iterations": found[2]}))


def spawned(name: str, solver: str, pixels: int, threads: int, iterations: int = 0) -> Any:
    command = [sys.executable, __file__, "--child", solver, "--pixels", str(pixels)]
    command += ["--threads", str(threads), "--iterations", str(iterations), name]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def compared(name: str, pixels: int, threads: int, repeats: int) -> dict[str, list[Any]]:
    """Run all solvers of a regime in turn, so that a busy moment of the machine hits each."""
    peers = ("emd",) if name in SHARP else PEERS
    needed = {peer: spawned(name, peer, pixels, threads)["iterations"] for peer in peers}
    runs: dict[str, list[Any]] = {"ours": [], **{peer: [] for peer in peers}}
    for _ in range(repeats):
        runs["ours"].append(spawned(name, "ours", pixels, threads))
        for peer, iterations in needed.items():
            if iterations is not None:
                runs[peer].append(spawned(name, peer, pixels, threads, iterations))
    return runs


def main(
    *names: str,
    pixels: int = 10_000,
    threads: int = 2,
    repeats: int = 3,
    child: str | None = None,
    iterations: int = 0,
) -> None:
    """Measure and print.

    Args:
        names: regimes; by default all.
        pixels: N, a side.
        threads: of both sides.
        repeats: runs of each solver, in turn; medians are shown.
        child: internal: measure this solver in this process.
        iterations: internal: of POT's solver in the child.
    """
    if child is not None:
        measure(names[0], child, pixels, threads, iterations)
        return
    console = Console(width=150)
    for name in names or (*DRAWN, *REAL):
        right = spawned(name, "reference", pixels, threads)["score"]
        table = Table("solver", "iterations", "s", "L1 error", "off by, nats", "peak, MiB")
        table.add_column("against ours: time, memory")
        table.title = f"{name}, N = {pixels}, {threads} threads, median of {repeats}"
        runs = compared(name, pixels, threads, repeats)
        mine = middle(runs["ours"], "seconds"), middle(runs["ours"], "peak_mib")
        for solver, rows in runs.items():
            if not rows:
                table.add_row(solver, "", "no right score in time")
                continue
            seconds, peak = middle(rows, "seconds"), middle(rows, "peak_mib")
            table.add_row(
                solver,
                str(rows[0]["iterations"]),
                f"{seconds:.2f}",
                f"{rows[0]['error']:.1e}",
                f"{rows[0]['score'] - right:+.1e}",
                f"{peak:.0f}",
                f"{seconds / mine[0]:.1f} x, {peak / mine[1]:.1f} x",
            )
        console.print(table)


def middle(rows: list[Any], name: str) -> float:
    return statistics.median(row[name] for row in rows)


if __name__ == "__main__":
    cyclopts.run(main)
