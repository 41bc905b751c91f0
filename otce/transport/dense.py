"""The scaled kernel of all pairs: kept in one buffer, or computed anew where that does not fit.

Legend: `N` source pixels, `M` target pixels, `S` columns of the thin matrix, `B` rows of a tile,
`P` rows of a stacked product. K = exp((f + g - C) / t) with an f that makes the largest entry of
every row the same; `w_M` = b exp(h) and `u_N` scale it to the plan u K w, h being the change of
g / t since K was made.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
from torch import Tensor

from otce.transport.geometry import Geometry

_KEPT_BYTES: Final = 1 << 29
_BLOCK_BYTES: Final = {"cpu": 3 << 19, "cuda": 1 << 28}
_HALF_HEADROOM_NATS: Final = 10.0
"""Half floats reach 65504: with e^10 as largest entry of a row they resolve to 3e-12 of it."""


class Swept(NamedTuple):
    """What one pass over the kernel tells."""

    u_N: Tensor
    """(N,) row scalings that make every row of the plan sum to its weight."""
    mass_M: Tensor
    """(M,) column sums of the plan u K w."""


class Products(NamedTuple):
    """What is read off a plan whose columns have been made exact."""

    mass_SM: Tensor
    cost: float
    error: float
    """Upper bound of the L1 error of both marginals."""
    f_N: Tensor
    g_M: Tensor


class DenseKernel:
    """All entries of the kernel at one temperature.

    Args:
        geometry: the problem.
        g_M: (M,) float64 target potentials in nats.
        t: temperature.
        kind: type in which entries are kept, if their buffer fits.
    """

    def __init__(self, geometry: Geometry, g_M: Tensor, t: float, kind: torch.dtype) -> None:
        self._geometry = geometry
        self._g_M = g_M
        self._t = t
        n, m = len(geometry.x_ND), len(g_M)
        work = geometry.work
        self._headroom = _HALF_HEADROOM_NATS if kind == torch.half else 0.0
        self._kept: Tensor | None = None
        if n * m * kind.itemsize <= _KEPT_BYTES:
            self._kept = torch.empty(n, m, dtype=kind, device=g_M.device)
        self._largest_N = torch.empty(n, dtype=torch.float64, device=g_M.device)
        self._is_full = False
        block = _BLOCK_BYTES.get(g_M.device.type, 3 << 19)
        self._rows = max(1, block // (m * work.itemsize))

    def sweep(self, w_M: Tensor) -> Swept:
        """Scale the rows to their weights and sum the columns, in one pass.

        Args:
            w_M: (M,) float64 column scalings.

        Returns:
            Row scalings and column sums.
        """
        a_N, w = self._geometry.a_N, w_M.to(self._geometry.work)
        u_N, sums_M = torch.empty_like(a_N), torch.zeros_like(w_M)
        for rows, kernel_BM in self._tiles():
            u_B = a_N[rows] / (kernel_BM @ w).double()
            u_N[rows] = u_B
            sums_M += u_B.to(w.dtype) @ kernel_BM
        return Swept(u_N, w_M * sums_M)

    def products(self, w_M: Tensor, thin_NS: Tensor) -> Products:
        """Multiply the plan with a thin matrix and with the cost, in one pass.

        Args:
            w_M: (M,) float64 column scalings.
            thin_NS: (N, S) float64.

        Returns:
            The products of the plan u K w after its columns were made exact.
        """
        geometry, t = self._geometry, self._t
        w = w_M.to(geometry.work)
        stacked_PM = torch.zeros(thin_NS.shape[1] + 2, len(w_M), dtype=torch.float64).to(w_M.device)
        entropy_M = torch.zeros_like(w_M)
        u_N, half_norms_N = torch.empty_like(geometry.a_N), geometry.half_norms
        for rows, kernel_BM in self._tiles():
            u_B = geometry.a_N[rows] / (kernel_BM @ w).double()
            u_N[rows] = u_B
            # C = |x|^2 / 2 + g - t (largest + log K): what rows add, what columns add, the rest.
            of_row_B = half_norms_N[rows] - t * (self._largest_N[rows] - self._headroom)
            left_BP = torch.column_stack([thin_NS[rows], torch.ones_like(u_B), of_row_B])
            left_PB = (left_BP * u_B[:, None]).T.to(w.dtype)
            stacked_PM += left_PB @ kernel_BM
            entropy_M += u_B.to(w.dtype) @ torch.xlogy(kernel_BM, kernel_BM, out=kernel_BM)
        sums_M = stacked_PM[-2]
        mass_M = w_M * sums_M
        exact_M = geometry.b_M / sums_M
        cost_M = stacked_PM[-1] + self._g_M * sums_M - t * entropy_M
        f_N = half_norms_N + t * (u_N / geometry.a_N).log() - t * (self._largest_N - self._headroom)
        return Products(
            mass_SM=stacked_PM[:-2] * exact_M,
            cost=float(exact_M @ cost_M),
            error=float((mass_M - geometry.b_M).abs().sum()),
            f_N=f_N,
            g_M=self._g_M + t * (exact_M / geometry.b_M).log(),
        )

    def _tiles(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the kernel in blocks that stay in the cache between their two products."""
        if self._kept is None or not self._is_full:
            for rows, kernel_BM in self._made():
                for part in range(0, len(kernel_BM), self._rows):
                    block_BM = kernel_BM[part : part + self._rows]
                    start = rows.start + part
                    yield slice(start, start + len(block_BM)), block_BM
            self._is_full = self._kept is not None
            return
        kept = self._kept
        block = torch.empty(
            self._rows, kept.shape[1], dtype=self._geometry.work, device=kept.device
        )
        for start in range(0, len(kept), self._rows):
            part_BM = kept[start : start + self._rows]
            block_BM = block[: len(part_BM)]
            block_BM.copy_(part_BM)
            yield slice(start, start + len(part_BM)), block_BM

    def _made(self) -> Iterator[tuple[slice, Tensor]]:
        for rows, logits_BM, largest_B in self._geometry.tiles(self._g_M, self._t):
            kernel_BM = logits_BM.add_(self._headroom).exp_()
            self._largest_N[rows] = largest_B
            if self._kept is not None:
                self._kept[rows] = kernel_BM
                kernel_BM.copy_(self._kept[rows])
            yield rows, kernel_BM
