"""Scores of target features against the formulas as public NumPy code writes them.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py [--pixels 10000] [--dims 256] [--classes 19]

The peers are written anew after the public packages, step by step, and compiled by nobody: LogME
by an SVD of the features (the paper), by one of F'F (thuml/LogME, which is faster), and with
residuals of all pixels in every step (tllib.ranking, which compiles that loop); the H-score with
np.cov twice and a pseudo-inverse; GBC of diagonal Gaussians in pairs; TransRate by slogdet. All
run in turn in one process; medians of the CPU time are shown, which on one thread is that of a
core, whoever else keeps the machine busy. `with influences` is our score and how much every
pixel moves it, which no peer computes.
"""

import statistics
import time
from collections.abc import Callable

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from otce.scores.gbc import gbc, weighted_gbc
from otce.scores.h_score import (
    h_score,
    h_score_shrunk,
    weighted_h_score,
    weighted_h_score_shrunk,
)
from otce.scores.influence import measured
from otce.scores.logme import logme, weighted_logme
from otce.scores.transrate import transrate, weighted_transrate

Features = NDArray[np.float64]
Labels = NDArray[np.int64]
STEPS = 11


def draw(pixels: int, dims: int, classes: int) -> tuple[Features, Labels]:
    """Correlated Gaussian classes of very unequal size, as pixels have them."""
    generator = np.random.default_rng(0)
    shares = 1 / np.arange(1, classes + 1)
    y = generator.choice(classes, pixels, p=shares / shares.sum())
    mixing = generator.normal(size=(dims, dims)) / dims**0.5
    x = generator.normal(size=(pixels, dims)) @ mixing
    return x + 0.5 * generator.normal(size=(classes, dims))[y], y


def logme_by_svd(x: Features, y: Labels, *, of_gram: bool = False) -> float:
    n, dims = x.shape
    if of_gram:
        _, sigma, vh = np.linalg.svd(x.T @ x)
        u = x @ vh.T / np.sqrt(sigma)
    else:
        u, s, _ = np.linalg.svd(x, full_matrices=False)
        sigma = s**2
    evidences = []
    for c in range(y.max() + 1):
        target = (y == c).astype(float)
        z2 = (u.T @ target) ** 2
        rest = (target**2).sum() - z2.sum()
        alpha = beta = 1.0
        for _ in range(STEPS):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m2 = (sigma * z2 / (t + sigma) ** 2).sum()
            res2 = (z2 / (1 + sigma / t) ** 2).sum() + rest
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (res2 + 1e-5)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        evidences.append(evidence(n, dims, alpha, beta, sigma, res2, m2))
    return float(np.mean(evidences))


def logme_by_gram_svd(x: Features, y: Labels) -> float:
    return logme_by_svd(x, y, of_gram=True)


def logme_by_residuals(x: Features, y: Labels) -> float:
    n, dims = x.shape
    v, sigma, vh = np.linalg.svd(x.T @ x)
    evidences = []
    for c in range(y.max() + 1):
        target = (y == c).astype(float)
        projected = vh @ (x.T @ target)
        alpha = beta = 1.0
        for _ in range(STEPS):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m = v @ (projected * beta / (alpha + beta * sigma))
            m2, res2 = m @ m, ((target - x @ m) ** 2).sum()
            alpha, beta = gamma / m2, (n - gamma) / res2
            if abs(alpha / beta - t) / t < 1e-2:
                break
        evidences.append(evidence(n, dims, alpha, beta, sigma, res2, m2))
    return float(np.mean(evidences))


def evidence(
    n: int, dims: int, alpha: float, beta: float, sigma: Features, res2: float, m2: float
) -> float:
    logs = dims * np.log(alpha) + n * np.log(beta) - np.log(alpha + beta * sigma).sum()
    return float((logs - beta * res2 - alpha * m2 - n * np.log(2 * np.pi)) / (2 * n))


def class_means(x: Features, y: Labels) -> Features:
    g = np.zeros_like(x)
    for c in range(y.max() + 1):
        g[y == c] = x[y == c].mean(axis=0)
    return g


def public_h_score(x: Features, y: Labels) -> float:
    inverse = np.linalg.pinv(np.cov(x, rowvar=False), rcond=1e-15)
    return float(np.trace(inverse @ np.cov(class_means(x, y), rowvar=False)))


def public_h_score_shrunk(x: Features, y: Labels) -> float:
    x = x - x.mean(axis=0)
    n, dims = x.shape
    squares, second = x**2, x.T @ x / n
    mean_variance = np.trace(second) / dims
    distance = ((second - mean_variance * np.eye(dims)) ** 2).sum()
    noise = ((squares.T @ squares).sum() / n - (second**2).sum()) / n
    share = min(noise, distance) / distance
    shrunk = (1 - share) * second + share * mean_variance * np.eye(dims)
    between = (1 - share) * np.cov(class_means(x, y), rowvar=False)
    return float(np.trace(np.linalg.pinv(shrunk, rcond=1e-15) @ between))


def public_gbc(x: Features, y: Labels) -> float:
    z = x - x.mean(axis=0)
    z = z @ np.linalg.svd(z, full_matrices=False)[2][:64].T
    classes = range(y.max() + 1)
    means = [z[y == c].mean(axis=0) for c in classes]
    spreads = [np.maximum(z[y == c].var(axis=0), 1e-4) for c in classes]
    total = 0.0
    for a in classes:
        for b in classes:
            if a != b:
                middle = (spreads[a] + spreads[b]) / 2
                distance = ((means[a] - means[b]) ** 2 / middle).sum() / 8
                logs = np.log(middle) - (np.log(spreads[a]) + np.log(spreads[b])) / 2
                total -= np.exp(-distance - logs.sum() / 2)
    return float(total)


def public_transrate(x: Features, y: Labels) -> float:
    def rate(z: Features) -> float:
        return np.linalg.slogdet(np.eye(z.shape[1]) + z.T @ z / (len(z) * 1e-4))[1] / 2

    z = x - x.mean(axis=0)
    classes = range(y.max() + 1)
    return float(rate(z) - sum(rate(z[y == c]) for c in classes) / len(classes))


Plain = Callable[[Features, Labels], float]
Weighted = Callable[[Tensor, Tensor, Tensor], Tensor]
COMPARED: dict[str, tuple[Plain, Weighted, dict[str, Plain]]] = {
    "LogME": (
        logme,
        weighted_logme,
        {
            "SVD of the features": logme_by_svd,
            "SVD of F'F": logme_by_gram_svd,
            "residuals of all pixels": logme_by_residuals,
        },
    ),
    "H-score": (h_score, weighted_h_score, {"np.cov twice, pinv": public_h_score}),
    "H-score, shrunk": (
        h_score_shrunk,
        weighted_h_score_shrunk,
        {"Ledoit-Wolf, pinv": public_h_score_shrunk},
    ),
    "GBC": (gbc, weighted_gbc, {"PCA by SVD, pairs": public_gbc}),
    "TransRate": (transrate, weighted_transrate, {"slogdet, mean of classes": public_transrate}),
}


def medians(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, tuple[float, float]]:
    """Run all in turn; the value and the median of the seconds of each."""
    values = {name: run() for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started_s = time.process_time()
            run()
            seconds[name].append(time.process_time() - started_s)
    return {name: (values[name], statistics.median(seconds[name])) for name in runs}


def main(pixels: int = 10_000, dims: int = 256, classes: int = 19, repeats: int = 5) -> None:
    """Measure and print.

    Args:
        pixels: n.
        dims: D.
        classes: T.
        repeats: runs of each side, in turn.
    """
    x, y = draw(pixels, dims, classes)
    features_nD, index_n = torch.from_numpy(x), torch.from_numpy(y)
    table = Table("score", "by", "value", "s", "against ours")
    table.title = f"{pixels} x {dims}, {classes} classes, {torch.get_num_threads()} threads"
    for name, (plain, weighted, peers) in COMPARED.items():
        runs: dict[str, Callable[[], float]] = {
            "ours": lambda plain=plain: plain(x, y),
            "ours, with influences": lambda weighted=weighted: (
                measured(lambda weight_n: weighted(features_nD, index_n, weight_n), pixels).value
            ),
        }
        for title, peer in peers.items():
            runs[title] = lambda peer=peer: peer(x, y)
        found = medians(runs, repeats)
        for by, (value, seconds) in found.items():
            ratio = f"{seconds / found['ours'][1]:.1f} x"
            table.add_row(name, by, f"{value:.6f}", f"{seconds:.4f}", ratio)
        table.add_section()
    Console(width=110).print(table)


if __name__ == "__main__":
    cyclopts.run(main)
