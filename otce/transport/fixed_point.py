"""Anderson acceleration of a map that also converges, slowly, without it.

D. G. Anderson, "Iterative procedures for nonlinear integral equations", J. ACM 12 (1965); the
unconstrained form of Walker and Ni, "Anderson acceleration for fixed-point iterations", SIAM J.
Numer. Anal. 49 (2011). Legend: `M` unknowns, `H` remembered differences.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

_REMEMBERED: Final = 8
_REGULAR: Final = 1e-10
_SHORTER: Final = 0.3
_TRIES: Final = 3


class Step(NamedTuple):
    """What a map says of a point."""

    next_M: Tensor
    error: float
    """Of the point itself; the next one's is no larger."""
    height: float
    """Value of the concave function that the map climbs, at the point itself."""
    farthest: float
    """Largest absolute coordinate of `next_M`."""


class FixedPoint(NamedTuple):
    """Where the iterations ended."""

    h_M: Tensor
    error: float
    """Error of the point before the last plain step, which can only lower it."""
    n_steps: int


def accelerate(
    step: Callable[[Tensor], Step],
    start_M: Tensor,
    weight_M: Tensor,
    *,
    tolerance: float,
    max_steps: int,
    reach: float,
) -> FixedPoint:
    """Iterate a map towards its fixed point, mixing the last steps so that slow parts vanish.

    A mixed point that is neither better nor higher is sought nearer to the last plain step, a few
    times; then that step is taken and the memory forgotten. So no more can be lost than the plain
    map would lose.

    Args:
        step: the map.
        start_M: (M,) float64 first point.
        weight_M: (M,) float64 weights of the residuals in the least squares.
        tolerance: error at which to end.
        max_steps: most calls of `step`, at least 1.
        reach: end when a coordinate is farther than this from 0.

    Returns:
        The point after the last good step.

    Example:
        >>> def slow(h):
        ...     return Step(1 + 0.99 * (h - 1), float((h - 1).abs()), -float((h - 1) ** 2), 1.0)
        >>> start, weight = torch.zeros(1, dtype=torch.float64), torch.ones(1)
        >>> accelerate(slow, start, weight, tolerance=1e-6, max_steps=100, reach=9.0).n_steps
        3
    """
    scale_M = weight_M.sqrt()
    memory: list[tuple[Tensor, Tensor]] = []
    best = Step(start_M, float("inf"), -float("inf"), 0.0)
    point_M, n_steps, tries = start_M, 0, 0
    while n_steps < max_steps:
        n_steps += 1
        found = step(point_M)
        if found.error < float("inf") and (found.error <= best.error or found.height > best.height):
            best, tries = found, 0
            if found.error <= tolerance or found.farthest > reach:
                break
            residual_M = scale_M * (found.next_M - point_M)
            memory = [*memory[-_REMEMBERED:], (found.next_M, residual_M)]
            point_M = _mixed(memory)
        elif not memory:
            break
        elif tries < _TRIES:
            tries += 1
            point_M = best.next_M + _SHORTER * (point_M - best.next_M)
        else:
            memory, point_M, tries = [], best.next_M, 0
    return FixedPoint(best.next_M, best.error, n_steps)


def _mixed(memory: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Combine remembered points so that the residual would vanish if the map were linear."""
    points = [point_M for point_M, _ in memory]
    residuals = [residual_M for _, residual_M in memory]
    if len(memory) == 1:
        return points[-1]
    changed_MH = torch.stack(residuals, 1).diff(dim=1)
    # Later differences are smaller by orders of magnitude and count as much.
    size_H = changed_MH.norm(dim=0).clamp(min=torch.finfo(torch.float64).tiny)
    changed_MH = changed_MH / size_H
    moved_MH = torch.stack(points, 1).diff(dim=1) / size_H
    gram_HH = changed_MH.T @ changed_MH
    gram_HH.diagonal().add_(_REGULAR)
    factor_HH, info = torch.linalg.cholesky_ex(gram_HH)
    share_H = torch.cholesky_solve((changed_MH.T @ residuals[-1])[:, None], factor_HH)
    mixed_M = points[-1] - (moved_MH @ share_H)[:, 0]
    # Residuals that never change say nothing of where they would vanish. One question is asked of
    # a card, not two: each waits for all it was told.
    total, failed = torch.stack([mixed_M.sum(), info]).tolist()
    return mixed_M if math.isfinite(total) and not failed else points[-1]
