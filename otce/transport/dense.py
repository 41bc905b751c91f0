"""The scaled kernel of all pairs: kept in one buffer, or computed anew where that does not fit.

Legend: `N` source pixels, `M` target pixels, `S` columns of the thin matrix, `B` rows of a tile,
`P` rows of a stacked product. K = exp((f + g - C) / t) with an f that makes the largest entry of
every row the same; `w_M` = b exp(h) and `u_N` scale it to the plan u K w, h being the change of
g / t since K was made.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from otce.transport.geometry import REACH_NATS, TOP_NATS, Geometry, affine
from otce.transport.threads import in_parts

KEPT_BYTES: Final = {"cpu": 1 << 29, "cuda": 1 << 31}
"""Largest kernel that is kept; larger ones are computed anew in every pass."""
_LEAST: Final = 1e-30
"""Stands for 0 where a logarithm is taken that is then multiplied by 0."""


def kernel_buffer(geometry: Geometry, kind: torch.dtype) -> Tensor | None:
    """Make room for all entries of a kernel.

    Args:
        geometry: the problem.
        kind: type of an entry.

    Returns:
        (N, M) of that type, unfilled, or None when it would be too large to keep.
    """
    size_bytes = len(geometry.x_ND) * len(geometry.y_MD) * kind.itemsize
    device = geometry.x_ND.device
    if size_bytes > KEPT_BYTES.get(device.type, KEPT_BYTES["cpu"]):
        return None
    if not geometry.is_on_card:
        # numpy asks for huge pages, torch does not: a sixth of a short solve was page faults.
        room = torch.from_numpy(np.empty(size_bytes, np.uint8))
    else:
        room = torch.empty(size_bytes, dtype=torch.uint8, device=device)
    return room.view(kind).view(len(geometry.x_ND), len(geometry.y_MD))


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
    cost_M: Tensor
    of_source_NP: Tensor | None
    """(N, T + 1) products with the target labels, and what each source pixel pays, if wanted."""


class DenseKernel:
    """All entries of the kernel at one temperature.

    Args:
        geometry: the problem.
        g_M: (M,) float64 target potentials in nats.
        t: temperature.
        kind: type in which entries are kept.
        buffer: where; without one they are computed anew in every pass.

    Attributes:
        reach: largest change of g / t for which the entries still are what they stand for.
    """

    def __init__(
        self,
        geometry: Geometry,
        g_M: Tensor,
        t: float,
        kind: torch.dtype,
        buffer: Tensor | None,
    ) -> None:
        self._geometry, self._g_M, self._t, self._kind = geometry, g_M, t, kind
        self.reach = REACH_NATS[kind]
        self._kept, self._is_full = buffer, False
        self._shift_N = torch.empty_like(geometry.a_N)

    def sweep(self, w_M: Tensor) -> Swept:
        """Scale the rows to their weights and sum the columns, in one pass.

        Args:
            w_M: (M,) float64 column scalings.

        Returns:
            Row scalings and column sums.
        """
        a_N, w = self._geometry.a_N, w_M.to(self._geometry.work)
        u_N = torch.empty_like(a_N)

        def work(part: slice) -> Tensor:
            sums_M = torch.zeros_like(w_M)
            for rows, kernel_BM in self._tiles(part):
                u_N[rows] = u_B = a_N[rows] / (kernel_BM @ w).double()
                sums_M += u_B.to(w.dtype) @ kernel_BM
            return sums_M

        sums_M = self._pass(work)
        return Swept(u_N, w_M * sums_M)

    def products(self, w_M: Tensor, thin_NS: Tensor, onehot_MT: Tensor | None = None) -> Products:
        """Multiply the plan with thin matrices and with the cost, in one pass.

        Args:
            w_M: (M,) float64 column scalings.
            thin_NS: (N, S) float64.
            onehot_MT: (M, T) float64, or None when nobody asks for its product.

        Returns:
            The products of the plan u K w after its columns were made exact.
        """
        geometry, t, w = self._geometry, self._t, w_M.to(self._geometry.work)
        u_N, half_norms_N = torch.empty_like(geometry.a_N), geometry.half_norms
        right_PM, of_source_NP = None, None
        if onehot_MT is not None:
            right_MP = torch.column_stack([onehot_MT, self._g_M]) * w_M[:, None]
            right_PM = right_MP.T.to(w.dtype).contiguous()
            of_source_NP = w_M.new_empty(len(u_N), len(right_PM))

        def work(part: slice) -> Tensor:
            stacked_PM = w_M.new_zeros(thin_NS.shape[1] + 3, len(w))
            for rows, kernel_BM in self._tiles(part):
                u_N[rows] = u_B = geometry.a_N[rows] / (kernel_BM @ w).double()
                # C = |x|^2 / 2 + g - t (shift + log K): what rows add, what columns add, the rest.
                of_row_B = half_norms_N[rows] - t * self._shift_N[rows]
                left_BP = torch.column_stack([thin_NS[rows], torch.ones_like(u_B), of_row_B])
                left_PB = (left_BP * u_B[:, None]).T.to(w.dtype).contiguous()
                stacked_PM[:-1] += left_PB @ kernel_BM
                entropy_BM = kernel_BM.clamp(min=_LEAST).log_().mul_(kernel_BM)
                stacked_PM[-1] += left_PB[-2] @ entropy_BM
                if right_PM is not None and of_source_NP is not None:
                    mass_BP = affine(kernel_BM, right_PM, right_PM.new_zeros(len(right_PM)))
                    of_source_NP[rows] = mass_BP.double() * u_B[:, None]
                    of_pairs_B = u_B * (entropy_BM @ w).double()
                    of_source_NP[rows, -1] += geometry.a_N[rows] * of_row_B - t * of_pairs_B
            return stacked_PM

        stacked_PM = self._pass(work)
        sums_M, of_rows_M, entropy_M = stacked_PM[-3:]
        exact_M = geometry.b_M / sums_M
        cost_M = of_rows_M + self._g_M * sums_M - t * entropy_M
        return Products(
            mass_SM=stacked_PM[:-3] * exact_M,
            cost=float(exact_M @ cost_M),
            error=float((w_M * sums_M - geometry.b_M).abs().sum()),
            f_N=half_norms_N + t * ((u_N / geometry.a_N).log() - self._shift_N),
            g_M=self._g_M + t * (exact_M / geometry.b_M).log(),
            cost_M=exact_M * cost_M,
            of_source_NP=of_source_NP,
        )

    def reflect(self, w_M: Tensor, v_MQ: Tensor, x_NQ: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply the plan u K w with v, and its transpose with a^-1 (x - P v), in one pass.

        Args:
            w_M: (M,) float64 column scalings.
            v_MQ: (M, Q) float64.
            x_NQ: (N, Q) float64.

        Returns:
            (N, Q) and (M, Q) float64.
        """
        a_N, work_type = self._geometry.a_N, self._geometry.work
        right_PM = torch.column_stack([w_M, w_M[:, None] * v_MQ]).T.to(work_type).contiguous()
        ahead_NQ = torch.empty_like(x_NQ)

        def work(part: slice) -> Tensor:
            back_QM = w_M.new_zeros(x_NQ.shape[1], len(w_M))
            for rows, kernel_BM in self._tiles(part):
                sums_BP = (right_PM @ kernel_BM.T).T.double()
                u_B1 = a_N[rows, None] / sums_BP[:, :1]
                ahead_NQ[rows] = ahead_BQ = u_B1 * sums_BP[:, 1:]
                left_BQ = (x_NQ[rows] - ahead_BQ) / sums_BP[:, :1]
                back_QM += left_BQ.T.to(work_type).contiguous() @ kernel_BM
            return back_QM

        return ahead_NQ, (w_M * self._pass(work)).T

    def _pass(self, work: Callable[[slice], Tensor]) -> Tensor:
        """Add up what the parts of all rows give; the first pass makes the kernel."""
        geometry = self._geometry
        found = in_parts(work, len(geometry.x_ND), geometry.parts)
        total = torch.stack(found).sum(0) if len(found) > 1 else found[0]
        self._is_full = self._kept is not None
        return total

    def _tiles(self, part: slice) -> Iterator[tuple[slice, Tensor]]:
        """Yield the kernel in tiles that stay in the cache between their products."""
        geometry, kept = self._geometry, self._kept
        if kept is None or not self._is_full:
            for rows, logits_BM, largest_B in geometry.tiles(self._g_M, self._t, part, self._kind):
                self._shift_N[rows] = largest_B - TOP_NATS[self._kind]
                kernel_BM = logits_BM.exp_()
                if kept is not None:
                    kept[rows] = kernel_BM
                yield rows, kernel_BM
            return
        count, is_half = geometry.rows_at_once, kept.dtype != geometry.work
        shape = (count if is_half else 0, kept.shape[1])
        buffer = torch.empty(shape, dtype=geometry.work, device=kept.device)
        for start in range(part.start, part.stop, count):
            rows = slice(start, min(start + count, part.stop))
            yield rows, buffer[: rows.stop - start].copy_(kept[rows]) if is_half else kept[rows]
