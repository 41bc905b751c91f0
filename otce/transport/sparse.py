"""The kernel's entries that matter, where few do: costs in CSR form, cooled in place.

Legend: `N` source pixels, `M` target pixels, `S` columns of the thin matrix, `E` entries. An entry
matters at a temperature when the plan has more than exp(-slack) of a_i b_j there; the others
together hold at most exp(-slack) of a row. In high dimensions and at costs of hundreds of epsilons
that leaves one entry in a hundred or a thousand, and an iteration costs less than reading a tile.
"""

import math
import warnings
from typing import Final, NamedTuple

import torch
from torch import Tensor

from otce.transport.dense import Products, Swept
from otce.transport.geometry import REACH_NATS, Geometry
from otce.transport.threads import in_parts

_MOST_SHARE: Final = 0.06
"""Beyond this share of all entries the dense kernel is read faster."""
_LEAST_KEPT: Final = 0.5
_PROBED_ROWS: Final = 100
_MOST_ENTRIES: Final = 20_000_000


class Entries(NamedTuple):
    """Places and costs of the entries that matter, row by row, and what a full pass told."""

    count_N: Tensor
    """(N,) int64 entries of each row, at least 1."""
    column_E: Tensor
    """(E,) int32."""
    cost_E: Tensor
    """(E,) float64, nats."""
    full_error: float
    """L1 marginal error of the plan of these potentials with all its entries."""


def entries(geometry: Geometry, g_M: Tensor, t: float, *, slack: float) -> Entries | None:
    """Pass over all pairs and keep what matters.

    Args:
        geometry: the problem.
        g_M: (M,) float64 target potentials in nats.
        t: temperature.
        slack: nats below the product of the weights at which an entry is left out.

    Returns:
        The entries, or None when they are too many to be worth it, or leave out much of a column.
    """
    n, m = len(geometry.x_ND), len(g_M)
    most = min(_MOST_SHARE * n * m, _MOST_ENTRIES)
    if _expected(geometry, g_M, t, slack) > most:
        return None
    weight_M, half_norms_N = geometry.b_M.to(geometry.work), geometry.half_norms
    share = math.exp(-slack)

    def work(part: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        counts, columns, costs = [], [], []
        sums_2M = torch.zeros(2, m, dtype=torch.float64, device=g_M.device)
        for rows, logits_BM, largest_B in geometry.tiles(g_M, t, part):
            kernel_BM = logits_BM.exp_()
            sums_B = kernel_BM @ weight_M
            u_B = geometry.a_N[rows] / sums_B.double()
            row_E, column_E = (kernel_BM > (share * sums_B)[:, None]).nonzero(as_tuple=True)
            kernel_E = kernel_BM[row_E, column_E].double()
            logit_E = kernel_E.log() + largest_B[row_E]
            costs.append(half_norms_N[rows][row_E] + g_M[column_E] - t * logit_E)
            columns.append(column_E.int())
            counts.append(row_E.bincount(minlength=len(largest_B)))
            sums_2M[0] += u_B.to(geometry.work) @ kernel_BM
            sums_2M[1] += column_E.bincount(u_B[row_E] * kernel_E, minlength=m)
        return torch.cat(counts), torch.cat(columns), torch.cat(costs), sums_2M

    found = list(zip(*in_parts(work, n, geometry.parts), strict=True))
    sums_M, kept_M = torch.stack(found[3]).sum(0)
    if not bool((kept_M > _LEAST_KEPT * sums_M).all()):
        return None
    full_error = float((geometry.b_M * (sums_M - 1)).abs().sum())
    count_N, column_E, cost_E = (torch.cat(parts) for parts in found[:3])
    return Entries(count_N, column_E, cost_E, full_error)


def _expected(geometry: Geometry, g_M: Tensor, t: float, slack: float) -> float:
    """Guess the number of entries from rows spread over the source pixels."""
    n = len(geometry.x_ND)
    some = torch.linspace(0, n - 1, min(n, _PROBED_ROWS)).long().to(g_M.device)
    few = Geometry(
        geometry.x_ND[some], geometry.y_MD, geometry.a_N[some], geometry.b_M, geometry.work
    )
    kept = 0
    for _, logits_BM, _ in few.tiles(g_M, t, slice(0, len(some))):
        sums_B = logits_BM.exp() @ geometry.b_M.to(geometry.work)
        kept += int((logits_BM > (sums_B.log() - slack)[:, None]).sum())
    return kept * n / len(some)


class SparseKernel:
    """The entries that matter at one temperature, and their transpose.

    Args:
        geometry: the problem.
        found: places and costs.

    Attributes:
        reach: largest change of g / t before the entries should be chosen anew.
    """

    reach: Final = REACH_NATS[torch.float64]

    def __init__(self, geometry: Geometry, found: Entries) -> None:
        self._geometry = geometry
        self._found = found
        n, m = len(found.count_N), len(geometry.y_MD)
        device = found.column_E.device
        self._row_E = torch.repeat_interleave(torch.arange(n, device=device), found.count_N)
        self._column_E = found.column_E.long()
        self._order_E = self._column_E.argsort(stable=True)
        self._starts = _starts(found.count_N), _starts(self._column_E.bincount(minlength=m))

    def cool(self, g_M: Tensor, t: float) -> Tensor:
        """Make the kernel of another temperature, after one Sinkhorn step in the log domain.

        Args:
            g_M: (M,) float64 target potentials in nats.
            t: temperature.

        Returns:
            (M,) float64 target potentials of the kernel.
        """
        found, geometry, rows, columns = self._found, self._geometry, self._row_E, self._column_E
        n, m = len(geometry.a_N), len(geometry.b_M)
        logit_E = (g_M[columns] - found.cost_E) / t + geometry.b_M.log()[columns]
        f_N = -t * _log_sums(logit_E, rows, n)
        logit_E = (f_N[rows] - found.cost_E) / t + geometry.a_N.log()[rows]
        g_M = -t * _log_sums(logit_E, columns, m)
        self._f_N, self._g_M, self._t = f_N, g_M, t
        self._kernel_E = ((f_N[rows] + g_M[columns] - found.cost_E) / t).exp()
        turned_E, source_E = self._kernel_E[self._order_E], rows[self._order_E].int()
        self._kernel_NM = _csr(self._starts[0], found.column_E, self._kernel_E, (n, m))
        self._kernel_MN = _csr(self._starts[1], source_E, turned_E, (m, n))
        return g_M

    def sweep(self, w_M: Tensor) -> Swept:
        """Scale the rows to their weights and sum the columns.

        Args:
            w_M: (M,) float64 column scalings.

        Returns:
            Row scalings and column sums.
        """
        u_N = self._geometry.a_N / (self._kernel_NM @ w_M)
        return Swept(u_N, w_M * (self._kernel_MN @ u_N))

    def products(self, w_M: Tensor, thin_NS: Tensor) -> Products:
        """Multiply the plan with a thin matrix and with the cost.

        Args:
            w_M: (M,) float64 column scalings.
            thin_NS: (N, S) float64.

        Returns:
            The products of the plan u K w after its columns were made exact.
        """
        geometry, t = self._geometry, self._t
        u_N, mass_M = self.sweep(w_M)
        exact_M = w_M * geometry.b_M / mass_M
        plan_E = u_N[self._row_E] * self._kernel_E * exact_M[self._column_E]
        mass_MS = self._kernel_MN @ (u_N[:, None] * thin_NS)
        return Products(
            mass_SM=(mass_MS * exact_M[:, None]).T,
            cost=float(plan_E @ self._found.cost_E),
            error=float((mass_M - geometry.b_M).abs().sum()),
            f_N=self._f_N + t * (u_N / geometry.a_N).log(),
            g_M=self._g_M + t * (exact_M / geometry.b_M).log(),
        )


def _log_sums(logit_E: Tensor, index_E: Tensor, count: int) -> Tensor:
    """Sum exponentials of the entries of each row (or column); return the logarithms."""
    lowest = torch.full((count,), -torch.inf, dtype=torch.float64, device=logit_E.device)
    largest = lowest.scatter_reduce(0, index_E, logit_E, "amax")
    return largest + index_E.bincount((logit_E - largest[index_E]).exp(), minlength=count).log()


def _starts(count_N: Tensor) -> Tensor:
    return torch.cat([count_N.new_zeros(1), count_N.cumsum(0)]).int()


def _csr(starts: Tensor, column_E: Tensor, value_E: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(starts, column_E, value_E, shape, check_invariants=False)


with warnings.catch_warnings():
    # torch calls all its CSR support a beta, once a process: here, where no caller is disturbed.
    warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
    _csr(torch.tensor([0, 0]), torch.empty(0, dtype=torch.int64), torch.empty(0), (1, 1))
