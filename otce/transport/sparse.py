"""The kernel's entries that matter, where few do: costs in CSR form, cooled in place.

Legend: `N` source pixels, `M` target pixels, `E` entries, `B` rows of a part. An entry
matters at a temperature when the plan has more than exp(-slack) of a_i b_j there; the others
together hold at most exp(-slack) of a row. In high dimensions and at costs of hundreds of epsilons
that leaves one entry in a hundred or a thousand, and an iteration costs less than reading a tile.
"""

import math
import warnings
from typing import Final, NamedTuple

import torch
from torch import Tensor

from otce.transport.dense import Swept
from otce.transport.geometry import REACH_NATS, Geometry
from otce.transport.threads import in_parts

_MOST_SHARE: Final = 0.06
"""Beyond this share of all entries the dense kernel is read faster."""
_LEAST_KEPT: Final = 0.5
_PROBED_ROWS: Final = 100
_MOST_ENTRIES: Final = 20_000_000


class Entries(NamedTuple):
    """Places and costs of the entries that matter, row by row."""

    count_N: Tensor
    """(N,) int64 entries of each row, at least 1."""
    column_E: Tensor
    """(E,) int32."""
    cost_E: Tensor
    """(E,) float64, nats."""


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
    return Entries(*(torch.cat(parts) for parts in found[:3]))


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
        self._order_E = found.column_E.argsort(stable=True)
        n, m = len(found.count_N), len(geometry.y_MD)
        rows = torch.arange(n, dtype=torch.int32, device=found.column_E.device)
        self._source_E = rows.repeat_interleave(found.count_N)[self._order_E]
        self._starts = _starts(found.count_N), _starts(found.column_E.bincount(minlength=m))

    def cool(self, g_M: Tensor, t: float) -> None:
        """Make the kernel of another temperature; the largest entry of every row is 1.

        Args:
            g_M: (M,) float64 target potentials in nats.
            t: temperature.
        """
        found, (starts_N, starts_M) = self._found, self._starts
        n, m = len(starts_N) - 1, len(starts_M) - 1
        kernel_E, cooled_M = torch.empty_like(found.cost_E), g_M / t

        def work(part: slice) -> None:
            inside = slice(int(starts_N[part.start]), int(starts_N[part.stop]))
            logit_E = cooled_M[found.column_E[inside]].sub_(found.cost_E[inside], alpha=1 / t)
            count_B = found.count_N[part]
            largest_B = torch.segment_reduce(logit_E, "max", lengths=count_B, unsafe=True)
            logit_E.sub_(largest_B.repeat_interleave(count_B))
            torch.exp(logit_E, out=kernel_E[inside])

        in_parts(work, n, self._geometry.parts)
        self._kernel_NM = _csr(starts_N, found.column_E, kernel_E, (n, m))
        self._kernel_MN = _csr(starts_M, self._source_E, kernel_E[self._order_E], (m, n))

    def sweep(self, w_M: Tensor) -> Swept:
        """Scale the rows to their weights and sum the columns.

        Args:
            w_M: (M,) float64 column scalings.

        Returns:
            Row scalings and column sums.
        """
        u_N = self._geometry.a_N / (self._kernel_NM @ w_M)
        return Swept(u_N, w_M * (self._kernel_MN @ u_N))

    def reflect(self, w_M: Tensor, v_MQ: Tensor, x_NQ: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply the plan u K w with v, and its transpose with a^-1 (x - P v).

        Args:
            w_M: (M,) float64 column scalings.
            v_MQ: (M, Q) float64.
            x_NQ: (N, Q) float64.

        Returns:
            (N, Q) and (M, Q) float64.
        """
        sums_N1 = (self._kernel_NM @ w_M)[:, None]
        u_N1 = self._geometry.a_N[:, None] / sums_N1
        ahead_NQ = u_N1 * (self._kernel_NM @ (w_M[:, None] * v_MQ))
        return ahead_NQ, w_M[:, None] * (self._kernel_MN @ ((x_NQ - ahead_NQ) / sums_N1))


def _starts(count_N: Tensor) -> Tensor:
    return torch.cat([count_N.new_zeros(1), count_N.cumsum(0)]).int()


def _csr(starts: Tensor, column_E: Tensor, value_E: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(starts, column_E, value_E, shape, check_invariants=False)


with warnings.catch_warnings():
    # torch calls all its CSR support a beta, once a process: here, where no caller is disturbed.
    warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
    _csr(torch.tensor([0, 0]), torch.empty(0, dtype=torch.int64), torch.empty(0), (1, 1))
