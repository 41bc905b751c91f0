"""Pixels of both sides in units in which epsilon is 1, and the passes over all their distances.

Legend: `N` source pixels, `M` target pixels, `D` feature dimensions, `B` rows of a tile. In these
units the cost of a pair is |x - y|^2 / 2 nats; at temperature `t` its logit is
(g - |y|^2 / 2 + x . y) / t, up to a constant of its row. `a_N`, `b_M` are weights that sum to 1,
`f_N`, `g_M` potentials in nats. A plan is P = a exp((f + g - C) / t) b.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from otce.errors import TransportError
from otce.transport.threads import in_parts

_MOST_NATS: Final = 1e12
"""Rounding leaves errors of about 1e-15 of the largest cost, which must stay small to 1 nat."""
_MOST_NOISE_NATS: Final = 1e-3
_SINGLE_ROUNDING: Final = 2.0**-23
_SMALL: Final = 1 << 20
"""Pairs up to which float64 costs nothing worth saving; more than a coarse problem has."""
_TIGHTEST_SINGLE: Final = 1e-5
"""Tolerance below which rounding to half and single precision would show."""
TOP_NATS: Final = {torch.float64: 0.0, torch.float32: 0.0, torch.half: 10.0}
"""Logit of a row's largest entry, by the type that keeps exponentials; halves end at e^11."""
_BOTTOM_NATS: Final = {torch.float64: -600.0, torch.float32: -60.0}
"""Lower logits are raised to this: their exponentials would be denormal numbers, which cost a
hundred times the time of others. They do not count while potentials stay near (`REACH_NATS`)."""
REACH_NATS: Final = {torch.float64: 50.0, torch.float32: 20.0, torch.half: 8.0}
"""Change of a potential up to which what was cut off, or is 0 as a half, holds no mass to speak of:
with halves an entry that is left out had less than exp(2 * 8 - 26) of its row."""
_HAS_ONEDNN: Final = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_linear_pointwise"
)
_TILE_BYTES: Final = {"cpu": 1 << 22, "cuda": 1 << 29}
_ASSIGNED_AT_ONCE: Final = {"cpu": 1000, "cuda": 1 << 16}
"""Pixels whose nearest of a few is sought together."""


class Tile(NamedTuple):
    """Some rows of the logits, each shifted by its largest and cut where they no longer count."""

    rows: slice
    logits_BM: Tensor
    largest_B: Tensor


@dataclass(frozen=True)
class Geometry:
    """Pixels and weights of one transport problem.

    Attributes:
        x_ND: (N, D) source features in units of sqrt(epsilon / 2).
        y_MD: (M, D) target features in the same units.
        a_N: (N,) float64 source weights, positive, sum 1.
        b_M: (M,) float64 target weights, positive, sum 1.
        work: type that tiles are computed in: float64, or float32 where that loses nothing.
    """

    x_ND: Tensor
    y_MD: Tensor
    a_N: Tensor
    b_M: Tensor
    work: torch.dtype

    @classmethod
    def of(
        cls,
        source_ND: Tensor,
        target_MD: Tensor,
        a_N: Tensor,
        b_M: Tensor,
        *,
        epsilon: float,
        tolerance: float,
    ) -> "Geometry":
        """Scale a problem to epsilon 1 and choose the precision that it needs.

        Args:
            source_ND: (N, D) float64 source features, centred together with the target's.
            target_MD: (M, D) float64 target features.
            a_N: (N,) source weights, positive, sum 1.
            b_M: (M,) target weights, positive, sum 1.
            epsilon: regularisation in units of the squared distance, positive.
            tolerance: L1 marginal error that will be asked for.

        Returns:
            The geometry.

        Raises:
            TransportError: distances are not finite, or so large that differences of epsilon are
                lost to rounding even in float64.
        """
        # Rounded correctly, as a power need not be: then powers of two scale a problem exactly.
        unit = math.sqrt(2 / epsilon)
        x_ND, y_MD = source_ND * unit, target_MD * unit
        norms = [side.square().sum(1) for side in (x_ND, y_MD)]
        largest = sum(float(norm.max()) ** 0.5 for norm in norms) ** 2 / 2
        if not largest <= _MOST_NATS:
            raise TransportError(
                f"squared feature distances reach {largest * epsilon:.3g}, beyond the "
                f"{_MOST_NATS:.0e} epsilons ({epsilon:g}) that float64 resolves; scale the "
                "features, for example with feature_scaling: standardize, or raise epsilon"
            )
        noise_nats = _SINGLE_ROUNDING * float(a_N @ norms[0] + b_M @ norms[1]) / 2
        is_precise = len(x_ND) * len(y_MD) <= _SMALL or tolerance < _TIGHTEST_SINGLE
        logits = torch.float64 if is_precise or noise_nats > _MOST_NOISE_NATS else torch.float32
        work = torch.float64 if is_precise else torch.float32
        return cls(x_ND.to(logits), y_MD.to(logits), a_N, b_M, work)

    @property
    def mean_cost(self) -> float:
        """Mean cost over all pairs, weighted, in nats."""
        x_ND, y_MD = self.x_ND.double(), self.y_MD.double()
        squares = self.a_N @ x_ND.square().sum(1) + self.b_M @ y_MD.square().sum(1)
        return float(squares / 2 - (self.a_N @ x_ND) @ (self.b_M @ y_MD))

    @property
    def typical_cost(self) -> float:
        """Median cost of some pairs, in nats."""
        x_ND, y_MD = (side[:: max(1, len(side) // 200)].double() for side in (self.x_ND, self.y_MD))
        return float(torch.cdist(x_ND, y_MD).square().median() / 2)

    @property
    def is_small(self) -> bool:
        """Whether float64 passes over all pairs cost next to nothing."""
        return len(self.x_ND) * len(self.y_MD) <= _SMALL

    @property
    def is_on_card(self) -> bool:
        """Whether passes over all pairs take less time than to say what is to be done."""
        return self.x_ND.device.type != "cpu"

    @property
    def half_norms(self) -> Tensor:
        """|x|^2 / 2, the part of the cost that only rows have; (N,) float64 nats."""
        return self.x_ND.double().square().sum(1) / 2

    def transposed(self) -> "Geometry":
        """Exchange source and target."""
        return Geometry(self.y_MD, self.x_ND, self.b_M, self.a_N, self.work)

    def seen_from(self, coarse: "Geometry") -> "Geometry":
        """All target pixels as sources, the source pixels of a coarse problem as targets."""
        return Geometry(self.y_MD, coarse.x_ND, self.b_M, coarse.a_N, self.work)

    def coarse(self, pixels: int) -> "Geometry":
        """Let at most `pixels` pixels a side stand for all: each takes the weight of those nearest.

        Args:
            pixels: most pixels a side.

        Returns:
            A smaller problem whose potentials resemble this one's.
        """
        x_ND, a_N = _representatives(self.x_ND, self.a_N, pixels)
        y_MD, b_M = _representatives(self.y_MD, self.b_M, pixels)
        return Geometry(x_ND, y_MD, a_N, b_M, self.work)

    def tiles(
        self, g_M: Tensor, t: float, part: slice, kind: torch.dtype | None = None
    ) -> Iterator[Tile]:
        """Pass over the logits of some rows, computed anew, as many at a time as fit the cache.

        Args:
            g_M: (M,) float64 target potentials in nats.
            t: temperature, at least 1.
            part: the rows.
            kind: type in which exponentials will be kept; by default that of the tiles.

        Yields:
            Tiles of logits, every row shifted so that its largest is `TOP_NATS`.
        """
        top, bottom = TOP_NATS[kind or self.work], _BOTTOM_NATS[self.work]
        bias_M = ((g_M - self.y_MD.double().square().sum(1) / 2) / t).to(self.x_ND.dtype)
        count = self.rows_at_once
        for start in range(part.start, part.stop, count):
            rows = slice(start, min(start + count, part.stop))
            logits_BM = affine(self.x_ND[rows] / t, self.y_MD, bias_M)
            largest_B = logits_BM.amax(dim=1)
            logits_BM = logits_BM.sub_(largest_B[:, None] - top).to(self.work).clamp_(min=bottom)
            yield Tile(rows, logits_BM, largest_B.double())

    @property
    def rows_at_once(self) -> int:
        """Rows of a tile that fits the cache (or keeps a card busy)."""
        row_bytes = self.x_ND.element_size() * len(self.y_MD)
        return max(1, _TILE_BYTES.get(self.x_ND.device.type, 1 << 22) // row_bytes)

    @property
    def parts(self) -> int:
        """Threads worth sharing a pass out to."""
        is_shared = not (self.is_on_card or self.is_small)
        return min(torch.get_num_threads(), len(self.x_ND)) if is_shared else 1

    def softmin(self, g_M: Tensor, t: float) -> Tensor:
        """Take the source potentials that fit target potentials: every row then has its weight.

        Args:
            g_M: (M,) float64 target potentials in nats.
            t: temperature.

        Returns:
            (N,) float64 source potentials in nats.
        """
        weight_M = self.b_M.to(self.work)
        log_sums_N = torch.empty_like(self.a_N)

        def work(part: slice) -> None:
            for rows, logits_BM, largest_B in self.tiles(g_M, t, part):
                sums_B = (logits_BM.exp_() @ weight_M).double()
                log_sums_N[rows] = largest_B + sums_B.log()

        in_parts(work, len(self.x_ND), self.parts)
        return self.half_norms - t * log_sums_N

    def exact_columns(self, g_M: Tensor, t: float) -> Tensor:
        """Take one Sinkhorn step in the log domain, where nothing over- or underflows.

        Args:
            g_M: (M,) float64 target potentials in nats.
            t: temperature.

        Returns:
            (M,) float64 target potentials with which no column is empty.
        """
        return self.transposed().softmin(self.softmin(g_M, t), t)


def affine(x_BD: Tensor, y_MD: Tensor, bias_M: Tensor) -> Tensor:
    """Compute x y^T + bias by the fastest product that torch has for it.

    Args:
        x_BD: (B, D) left factor, contiguous.
        y_MD: (M, D) right factor.
        bias_M: (M,) added to every row; all of one type.

    Returns:
        (B, M) of the same type.
    """
    if x_BD.device.type == "cpu" and x_BD.dtype == torch.float32 and _HAS_ONEDNN:
        # Float32 in full, like addmm, whose library leaves half of some CPUs' vectors unused.
        product_BM: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001
            x_BD, y_MD, bias_M, "none", [], ""
        )
        return product_BM
    return torch.addmm(bias_M, x_BD, y_MD.T)


def _representatives(x_ND: Tensor, a_N: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    if len(x_ND) <= pixels:
        return x_ND, a_N
    # A heavy pixel stands for much of the mass, so it is rather taken than left.
    generator = torch.Generator().manual_seed(0)
    chosen = torch.multinomial(a_N.cpu(), pixels, generator=generator).to(a_N.device)
    few = x_ND[chosen]
    half_n = few.square().sum(1) / 2
    parts = x_ND.split(_ASSIGNED_AT_ONCE.get(x_ND.device.type, 1000))
    nearest = torch.cat([(part @ few.T - half_n).argmax(1) for part in parts])
    weight_n = torch.zeros(pixels, dtype=a_N.dtype, device=a_N.device)
    weight_n.index_add_(0, nearest, a_N)
    kept = weight_n > 0
    return few[kept], weight_n[kept]
