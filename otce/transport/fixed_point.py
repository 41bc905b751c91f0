"""Anderson acceleration of a map that also converges, slowly, without it.

D. G. Anderson, "Iterative procedures for nonlinear integral equations", J. ACM 12 (1965); the
unconstrained form of Walker and Ni, "Anderson acceleration for fixed-point iterations", SIAM J.
Numer. Anal. 49 (2011). Legend: `M` unknowns, `H` remembered differences.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
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
        >>> start = torch.zeros(1, dtype=torch.float64)
        >>> found = accelerate(
        ...     slow, start, torch.ones_like(start), tolerance=1e-6, max_steps=100, reach=9.0)
        >>> found.n_steps
        3
    """
    scale_M = weight_M.sqrt()
    memory = _Memory(scale_M)
    best = Step(start_M, float("inf"), -float("inf"), 0.0)
    point_M, n_steps, tries = start_M, 0, 0
    while n_steps < max_steps:
        n_steps += 1
        found = step(point_M)
        if found.error < float("inf") and (found.error <= best.error or found.height > best.height):
            best, tries = found, 0
            if found.error <= tolerance or found.farthest > reach:
                break
            point_M = memory.mixed(point_M, found.next_M)
        elif memory.is_empty:
            break
        elif tries < _TRIES:
            tries += 1
            point_M = best.next_M + _SHORTER * (point_M - best.next_M)
        else:
            memory, point_M, tries = _Memory(scale_M), best.next_M, 0
    return FixedPoint(best.next_M, best.error, n_steps)


class _Memory:
    """The last steps: how residuals changed, and how points moved with that."""

    def __init__(self, scale_M: Tensor) -> None:
        self._scale_M = scale_M
        self._rows_HM = scale_M.new_empty(1 + _REMEMBERED, len(scale_M))
        """The last residual, then how residuals changed; in no order, as least squares has none."""
        self._moved_HM = scale_M.new_empty(_REMEMBERED, len(scale_M))
        self._next_M: Tensor | None = None
        self._n_changes = 0

    @property
    def is_empty(self) -> bool:
        """Whether no step is remembered."""
        return self._next_M is None

    def mixed(self, point_M: Tensor, next_M: Tensor) -> Tensor:
        """Remember a step; combine all so that the residual would vanish if the map were linear."""
        residual_M = self._scale_M * (next_M - point_M)
        if self._next_M is not None:
            place = self._n_changes % _REMEMBERED
            torch.sub(residual_M, self._rows_HM[0], out=self._rows_HM[1 + place])
            torch.sub(next_M, self._next_M, out=self._moved_HM[place])
            self._n_changes += 1
        self._next_M, self._rows_HM[0] = next_M, residual_M
        rows_HM = self._rows_HM[: 1 + self._n_changes]
        # A few numbers, solved here: a card is told little and asked once.
        share_H = _shares((rows_HM @ rows_HM.T).cpu().numpy())
        if not np.isfinite(share_H).all():
            return next_M
        moved_HM = self._moved_HM[: len(share_H)]
        return next_M - torch.from_numpy(share_H).to(moved_HM) @ moved_HM


def _shares(products_HH: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve the least squares, of which the first row is the right side."""
    gram_HH, right_H = products_HH[1:, 1:], products_HH[0, 1:]
    # Later differences are smaller by orders of magnitude and count as much. One that is nothing
    # says nothing of where residuals would vanish.
    size_H = np.sqrt(gram_HH.diagonal())
    unit_H = np.divide(1.0, size_H, out=np.zeros_like(size_H), where=size_H > 0)
    scaled_HH = unit_H[:, None] * gram_HH * unit_H + _REGULAR * np.eye(len(unit_H))
    share_H: NDArray[np.float64] = unit_H * np.linalg.solve(scaled_HH, unit_H * right_H)
    return share_H
