"""How much memory one coupling takes, for those who plan many of them at once."""

from typing import Final

from otce.recipe import Relaxation, Solver
from otce.transport.dense import KEPT_BYTES

_STREAMED_BYTES: Final = 64 << 20
"""Tiles, scalings and products: what is held beside the kernel, or without one."""
_POT_ARRAYS: Final = 6
"""Cost, plan and POT's work copies, float64 each; measured as peak over N x M."""


def peak_bytes(n: int, m: int, *, solver: Solver, relaxation: Relaxation) -> int:
    """Estimate the peak memory of one coupling on a CPU, beside its features.

    Args:
        n: source pixels.
        m: target pixels.
        solver: which.
        relaxation: which marginal is free.

    Returns:
        Bytes; an upper estimate for `auto`, whose kernel is float32 at most.

    Example:
        >>> [peak_bytes(10_000, 10_000, solver=solver, relaxation="none") >> 20
        ...  for solver in ("auto", "pot")]
        [445, 4577]
    """
    if relaxation == "source":
        return _STREAMED_BYTES
    if solver == "auto":
        return min(4 * n * m, KEPT_BYTES["cpu"]) + _STREAMED_BYTES
    return 8 * n * m * _POT_ARRAYS
