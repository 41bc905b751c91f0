"""Balanced entropic transport at one or several epsilons, certain in every regime.

The dual is climbed along falling temperatures (epsilon scaling): first on a thousand pixels a side
that stand for all, then on all pixels with the dense kernel, then, once few entries matter, on
those alone. Every level is solved by Sinkhorn's map under Anderson acceleration. What ends a
problem is a pass over all pairs: its L1 marginal error is the certificate, an upper bound.

Sources: Cuturi, "Sinkhorn distances", NIPS 2013; Schmitzer, "Stabilized sparse scaling algorithms
for entropy regularized transport problems", SIAM J. Sci. Comput. 41 (2019). Legend: `N` source
pixels, `M` target pixels, `D` feature dimensions, `S` columns of the thin matrix; temperatures `t`
are multiples of the smallest epsilon, potentials are in units of that epsilon (nats).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor

from otce.transport.coupling import Coupling
from otce.transport.dense import DenseKernel, Products, kernel_buffer
from otce.transport.derivative import Derivative, solve_adjoint
from otce.transport.fixed_point import Step, accelerate
from otce.transport.geometry import Geometry
from otce.transport.sparse import SparseKernel, entries

_COARSE_PIXELS: Final = 600
_HANDOVER: Final = 64.0
"""Typical cost, in temperatures, down to which coarse potentials start all pixels well."""
_DENSE_COOLING: Final = 2.0
_COOLING: Final = 4.0
_LOOSE: Final = 0.001
"""Marginal error that ends a level on the way."""
_LOOSE_DENSE: Final = 0.01
"""The same where every step is a pass over the dense kernel of all pixels."""
_COARSE_TOLERANCE: Final = 0.001
_COARSE_STEPS: Final = 100
_SLACK_NATS: Final = 8.0
"""Nats below the product of the weights at which entries are left out, to begin with."""
_MORE_SLACK_NATS: Final = 4.0
_TRUSTED_STEPS: Final = 300
"""Steps after which the entries that matter are chosen anew."""
_LONGEST_STEP_NATS: Final = 40.0
_STARVED_NATS: Final = 20.0
"""Move of a potential that tells of a column without entries."""


def balanced(
    source_ND: Tensor,
    target_MD: Tensor,
    a_N: Tensor,
    b_M: Tensor,
    thin_NS: Tensor,
    *,
    epsilons: Sequence[float],
    tolerance: float,
    max_iterations: int,
    onehot_MT: Tensor | None = None,
) -> list[Coupling]:
    """Solve the balanced entropic problem at every epsilon, in one warm-started descent.

    argmin <C, P> - epsilon H(P) over the couplings of a and b (arXiv 2109.15242, eq. for pi*).

    Args:
        source_ND: (N, D) float64 source features.
        target_MD: (M, D) float64 target features; both centred, so that little is lost to
            cancellation.
        a_N: (N,) float64 source weights, positive, sum 1.
        b_M: (M,) float64 target weights, positive, sum 1.
        thin_NS: (N, S) float64 matrix to multiply the plan with.
        epsilons: regularisations in units of the squared distance, positive, at least one.
        tolerance: largest L1 marginal error of a solved plan.
        max_iterations: most passes over the kernel of all pixels for one epsilon.
        onehot_MT: (M, T) float64 target labels; when given, the coupling at the smallest epsilon
            has a derivative (the kernels of the others are gone).

    Returns:
        One coupling an epsilon, in the given order; the target marginal is exact.

    Raises:
        TransportError: the distances are not finite, or too large for the smallest epsilon.

    Example:
        >>> half = torch.full((2,), 0.5, dtype=torch.float64)
        >>> points = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        >>> (found,) = balanced(points, points, half, half, torch.eye(2, dtype=torch.float64),
        ...                     epsilons=[0.05], tolerance=1e-6, max_iterations=1000)
        >>> found.mass_SM.round(decimals=6).tolist(), found.converged
        ([[0.5, 0.0], [0.0, 0.5]], True)
    """
    smallest = min(epsilons)
    geometry = Geometry.of(source_ND, target_MD, a_N, b_M, epsilon=smallest, tolerance=tolerance)
    stops = sorted({epsilon / smallest for epsilon in epsilons}, reverse=True)
    descent = _Descent(geometry, stops[0])
    found = {}
    for stop in stops:
        wanted_MT = onehot_MT if stop == stops[-1] else None
        products, steps = descent.to(stop, thin_NS, wanted_MT, tolerance, max_iterations)
        found[stop] = Coupling(
            mass_SM=products.mass_SM,
            cost=products.cost * smallest,
            marginal_error=products.error,
            n_iterations=steps,
            converged=products.error <= tolerance and math.isfinite(products.cost),
            f_N=products.f_N * smallest,
            g_M=products.g_M * smallest,
            epsilon=stop * smallest,
            derivative=descent.derivative(products, wanted_MT, smallest),
        )
    return [found[epsilon / smallest] for epsilon in epsilons]


class _Descent:
    """Potentials of one problem on their way down the temperatures.

    In haste they start from few pixels, where few take less time than all, and follow the entries
    that matter. When that loses the way (far groups of unequal mass, hardly connected), and for
    small problems, they go with care: all pixels from the top, no entry left out, none kept as a
    half float, every level opened by a step in the log domain.
    """

    def __init__(self, geometry: Geometry, first_stop: float) -> None:
        self._geometry = geometry
        if geometry.is_small:
            self._go_carefully(first_stop)
            return
        self._restart(is_careful=False)
        few = geometry if geometry.is_on_card else geometry.coarse(_COARSE_PIXELS)
        self._hot = max(first_stop, few.typical_cost / _HANDOVER)
        if few is geometry:
            self._g_M = geometry.exact_columns(torch.zeros_like(geometry.b_M), self._hot)
        else:
            f_n = _Descent(few, first_stop).source_potentials(self._hot)
            self._g_M = geometry.seen_from(few).softmin(f_n, self._hot)

    def _go_carefully(self, stop: float) -> None:
        self._restart(is_careful=True)
        self._hot = max(stop, self._geometry.mean_cost / 2)
        self._g_M = torch.zeros_like(self._geometry.b_M)

    def _restart(self, *, is_careful: bool) -> None:
        self._is_careful, self._is_lost = is_careful, False
        self._sparse: SparseKernel | None = None
        self._slack_nats = _SLACK_NATS
        self._path: list[tuple[float, Tensor]] = []
        self._buffer: Tensor | None = None

    def to(
        self,
        stop: float,
        thin_NS: Tensor,
        onehot_MT: Tensor | None,
        tolerance: float,
        max_steps: int,
    ) -> tuple[Products, int]:
        """Go down to a temperature; return the products there and the passes taken."""
        taken = 0
        while True:
            t = max(self._hot, stop)
            loose = _LOOSE if self._is_careful or self._sparse else _LOOSE_DENSE
            taken += self._solve(t, loose if t > stop else tolerance, max(max_steps - taken, 1))
            if self._is_lost:
                self._go_carefully(stop)
            elif t == stop:
                products = self._products(stop, thin_NS, onehot_MT)
                if products.error <= tolerance or taken >= max_steps:
                    return products, taken
                # What was left out adds up to more than it may: leave out less.
                self._sparse, self._slack_nats = None, self._slack_nats + _MORE_SLACK_NATS

    def derivative(
        self, products: Products, onehot_MT: Tensor | None, unit: float
    ) -> Derivative | None:
        """Make a derivative of what was just read off, if that was asked for.

        Args:
            products: what `to` returned last.
            onehot_MT: (M, T) target labels that it was given.
            unit: epsilon that potentials and costs are in units of.

        Returns:
            The derivative, which keeps the kernel alive.
        """
        if products.of_source_NP is None or onehot_MT is None:
            return None
        mass_NT = products.of_source_NP[:, :-1]
        return Derivative(
            mass_NT=mass_NT,
            cost_N=products.of_source_NP[:, -1] * unit,
            cost_M=products.cost_M * unit,
            gradient=partial(
                solve_adjoint,
                partial(self._kernel.reflect, self._w_M),
                self._geometry.b_M,
                onehot_MT,
                mass_NT,
            ),
        )

    def source_potentials(self, t: float) -> Tensor:
        """Go down to a temperature roughly; return the source potentials there."""
        while self._hot > t:
            self._solve(self._hot, _COARSE_TOLERANCE, _COARSE_STEPS)
        self._solve(t, _COARSE_TOLERANCE, _COARSE_STEPS)
        return self._geometry.softmin(self._g_M, t)

    def _solve(self, t: float, tolerance: float, max_steps: int) -> int:
        """Climb the dual at one temperature; return the passes taken."""
        geometry = self._geometry
        self._predict(t)
        taken, trusted, error = 0, _TRUSTED_STEPS, math.inf
        while True:
            self._kernel = kernel = self._kernel_at(t)
            point = accelerate(
                partial(_sinkhorn_map, kernel, geometry),
                torch.zeros_like(geometry.b_M),
                geometry.b_M,
                tolerance=tolerance,
                max_steps=min(max_steps - taken, trusted),
                reach=kernel.reach,
            )
            taken += point.n_steps
            self._w_M = geometry.b_M * point.h_M.exp()
            self._g_M = self._g_M + t * point.h_M
            moved_nats = float(point.h_M.abs().max())
            is_far = moved_nats > kernel.reach
            if taken >= max_steps or (point.error <= tolerance and not is_far):
                break
            if not self._is_careful and not point.error < error / 2 and taken >= _TRUSTED_STEPS:
                self._is_lost = True
                break
            error = min(error, point.error)
            if self._sparse is not None:
                # Entries that were left out may be what is missing: look again, and longer.
                self._sparse, trusted = None, 2 * trusted
            elif moved_nats > _STARVED_NATS:
                self._g_M = geometry.exact_columns(self._g_M, t)
        self._path = [*self._path[-1:], (t, self._g_M)]
        self._hot = t / (_COOLING if self._is_careful or self._sparse else _DENSE_COOLING)
        return taken

    def _predict(self, t: float) -> None:
        """Follow the line of the potentials through the last two temperatures; it bends little."""
        temperatures = {before for before, _ in self._path} | {t}
        if len(temperatures) == 3:  # noqa: PLR2004
            (hotter, first_M), (hot, second_M) = self._path
            self._g_M = second_M + (t - hot) / (hot - hotter) * (second_M - first_M)

    def _kernel_at(self, t: float) -> DenseKernel | SparseKernel:
        geometry = self._geometry
        if self._is_careful:
            self._g_M = geometry.exact_columns(self._g_M, t)
        elif self._sparse is None and self._path:
            found = entries(geometry, self._g_M, t, slack=self._slack_nats)
            if found:
                self._sparse, self._buffer = SparseKernel(geometry, found), None
        if self._sparse is None:
            return self._dense(t)
        self._sparse.cool(self._g_M, t)
        return self._sparse

    def _dense(self, t: float) -> DenseKernel:
        """Make the dense kernel, in the buffer of the one before."""
        geometry = self._geometry
        is_half = geometry.work == torch.float32 and not (self._is_careful or geometry.is_on_card)
        kind = torch.half if is_half else geometry.work
        if self._buffer is None or self._buffer.dtype != kind:
            self._buffer = None
            self._buffer = kernel_buffer(geometry, kind)
        return DenseKernel(geometry, self._g_M, t, kind, self._buffer)

    def _products(self, t: float, thin_NS: Tensor, onehot_MT: Tensor | None) -> Products:
        """Read the plan off, with an error that counts all pairs."""
        if isinstance(self._kernel, DenseKernel):
            return self._kernel.products(self._w_M, thin_NS, onehot_MT)
        geometry = self._geometry
        whole = DenseKernel(geometry, self._g_M, t, geometry.work, None)
        return whole.products(geometry.b_M, thin_NS, onehot_MT)


def _sinkhorn_map(kernel: DenseKernel | SparseKernel, geometry: Geometry, h_M: Tensor) -> Step:
    """Scale rows, then columns, to their weights, in one pass."""
    a_N, b_M = geometry.a_N, geometry.b_M
    u_N, mass_M = kernel.sweep(b_M * h_M.exp())
    change_M = (b_M / mass_M).log().clamp(-_LONGEST_STEP_NATS, _LONGEST_STEP_NATS)
    next_M = h_M + change_M
    told = (
        torch.linalg.vector_norm(mass_M - b_M, 1),
        # The dual, but for a constant: what rows pay is -log of their sums, log u less log a.
        b_M @ h_M + a_N @ u_N.log(),
        torch.linalg.vector_norm(next_M, torch.inf),
    )
    # Asked for together: every question waits until a card has done all it was told.
    error, height, farthest = torch.stack(told).tolist()
    return Step(next_M, error=error, height=height, farthest=farthest)
