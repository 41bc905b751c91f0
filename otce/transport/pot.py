"""POT's solvers of the balanced problem: the oracles that our own is tested against.

Legend: `N` source pixels, `M` target pixels, `D` feature dimensions, `S` columns of the thin
matrix. `a_N`, `b_M` are pixel weights that sum to 1, `cost_NM` squared distances, `f_N`, `g_M` dual
potentials in cost units.
"""

import math
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Final

import ot
import torch
from torch import Tensor

from otce.errors import TransportError
from otce.transport.coupling import Coupling
from otce.transport.derivative import Derivative, in_memory, solve_adjoint

_LEVEL_FACTOR: Final = 4.0
_LEVEL_ITERATIONS: Final = 30
_BLOCK_ITERATIONS: Final = 100
_EMD_ITERATIONS: Final = 10_000_000
# Rounding leaves errors of about 1e-15 of the largest cost, which must stay small to epsilon.
_MOST_EPSILONS: Final = 1e12


def squared_distances(source_ND: Tensor, target_MD: Tensor, *, epsilon: float) -> Tensor:
    """Compute all squared Euclidean distances, (N, M), by one matrix product.

    Args:
        source_ND: (N, D) float64.
        target_MD: (M, D) float64; both centred, so that little is lost to cancellation.
        epsilon: differences of cost that matter.

    Returns:
        (N, M) float64, at least 0.

    Raises:
        TransportError: the squares are not finite, or so large that differences of epsilon are
            lost to rounding.

    Example:
        >>> source_ND = torch.tensor([[0.0], [1.0]])
        >>> squared_distances(source_ND, torch.tensor([[3.0]]), epsilon=0.1).tolist()
        [[9.0], [4.0]]
    """
    cost_NM = torch.addmm(
        target_MD.square().sum(1)[None, :], source_ND, target_MD.T, beta=1.0, alpha=-2.0
    )
    cost_NM.add_(source_ND.square().sum(1)[:, None]).clamp_(min=0.0)
    largest = float(cost_NM.max())
    if not largest <= _MOST_EPSILONS * epsilon:
        raise TransportError(
            f"squared feature distances reach {largest:.3g}, beyond the {_MOST_EPSILONS:.0e} "
            f"epsilons ({epsilon:g}) that float64 resolves; scale the features, for example with "
            "feature_scaling: standardize, or raise epsilon"
        )
    return cost_NM


def sinkhorn(
    cost_NM: Tensor,
    a_N: Tensor,
    b_M: Tensor,
    thin_NS: Tensor,
    *,
    epsilon: float,
    tolerance: float,
    max_iterations: int,
    onehot_MT: Tensor | None = None,
) -> Coupling:
    """Solve the balanced entropic problem with POT, in every regime of cost / epsilon.

    POT's scaling iterations run in blocks on the cost with the potentials so far taken out, which
    keeps its kernel from underflowing; epsilon is lowered to its value in steps.

    Args:
        cost_NM: (N, M) float64, at least 0.
        a_N: (N,) source weights, positive, sum 1.
        b_M: (M,) target weights, positive, sum 1.
        thin_NS: (N, S) matrix to multiply the plan with.
        epsilon: regularisation in units of the cost, positive.
        tolerance: largest L1 marginal error of a solved plan.
        max_iterations: iterations at the final epsilon.
        onehot_MT: (M, T) target labels, one-hot; when given, the coupling has a derivative.

    Returns:
        The coupling; the target marginal is exact, the source marginal within the error.

    Example:
        >>> half = torch.full((2,), 0.5, dtype=torch.float64)
        >>> cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
        >>> found = sinkhorn(cost, half, half, torch.eye(2, dtype=torch.float64), epsilon=0.05,
        ...                  tolerance=1e-6, max_iterations=1000)
        >>> found.mass_SM.round(decimals=6).tolist(), found.converged
        ([[0.5, 0.0], [0.0, 0.5]], True)
    """
    # The c-transform leaves a zero in every row and column: no empty row of the kernel, ever.
    f_N = cost_NM.min(dim=1).values
    g_M = (cost_NM - f_N[:, None]).min(dim=0).values
    iterations = 0
    for level in _levels(float(cost_NM.mean()), epsilon):
        f_N, g_M, done = _block(cost_NM, a_N, b_M, f_N, g_M, level, _LEVEL_ITERATIONS, tolerance)
        iterations += done
    plan_NM, error = _certified(cost_NM, a_N, b_M, f_N, g_M, epsilon)
    block, final = _BLOCK_ITERATIONS, 0
    while not error <= tolerance and final < max_iterations:
        block = min(block, max_iterations - final)
        # POT's own test is on the Euclidean norm of one marginal, which bounds no L1 error.
        f_N, g_M, done = _block(cost_NM, a_N, b_M, f_N, g_M, epsilon, block, 0.1 * tolerance)
        plan_NM, error = _certified(cost_NM, a_N, b_M, f_N, g_M, epsilon)
        final, block = final + max(done, 1), 2 * block
    return Coupling(
        mass_SM=thin_NS.T @ plan_NM,
        cost=float((plan_NM * cost_NM).sum()),
        marginal_error=error,
        n_iterations=iterations + final,
        converged=error <= tolerance,
        epsilon=epsilon,
        derivative=_derivative(plan_NM, cost_NM, onehot_MT),
    )


def exact(
    cost_NM: Tensor,
    a_N: Tensor,
    b_M: Tensor,
    thin_NS: Tensor,
    *,
    onehot_MT: Tensor | None = None,
) -> Coupling:
    """Solve exact transport (epsilon = 0) with POT's network simplex, on the CPU.

    Args:
        cost_NM: (N, M) float64.
        a_N: (N,) source weights, sum 1.
        b_M: (M,) target weights, sum 1.
        thin_NS: (N, S) matrix to multiply the plan with.
        onehot_MT: (M, T) target labels, one-hot; when given, the coupling has a derivative: that
            of the plan on the pairs it uses.

    Returns:
        The coupling; `converged` is whether the simplex proved its optimum.
    """
    # POT's simplex takes costs below about 1e-15 for 0.
    enlarged_NM = cost_NM / cost_NM.max().clamp(min=torch.finfo(cost_NM.dtype).tiny, max=1.0)
    host = [tensor.cpu().numpy() for tensor in (a_N, b_M / b_M.sum() * a_N.sum(), enlarged_NM)]
    with warnings.catch_warnings():
        # What POT only warns of is read from its log below.
        warnings.simplefilter("ignore")
        plan, log = ot.emd(*host, numItermax=_EMD_ITERATIONS, log=True)
    plan_NM = torch.from_numpy(plan).to(cost_NM)
    error = float((plan_NM.sum(1) - a_N).abs().sum() + (plan_NM.sum(0) - b_M).abs().sum())
    return Coupling(
        mass_SM=thin_NS.T @ plan_NM,
        cost=float((plan_NM * cost_NM).sum()),
        marginal_error=error,
        n_iterations=0,
        converged=log["warning"] is None,
        derivative=_derivative(plan_NM, cost_NM, onehot_MT),
    )


def _derivative(plan_NM: Tensor, cost_NM: Tensor, onehot_MT: Tensor | None) -> Derivative | None:
    if onehot_MT is None:
        return None
    paid_NM = plan_NM * cost_NM
    mass_NT = plan_NM @ onehot_MT
    return Derivative(
        mass_NT=mass_NT,
        cost_N=paid_NM.sum(1),
        cost_M=paid_NM.sum(0),
        gradient=partial(solve_adjoint, in_memory(plan_NM), plan_NM.sum(0), onehot_MT, mass_NT),
    )


def _levels(mean_cost: float, epsilon: float) -> Iterator[float]:
    """Yield falling values of epsilon above the wanted one."""
    level = mean_cost / 2
    while epsilon < level < math.inf:
        yield level
        level /= _LEVEL_FACTOR


def _block(
    cost_NM: Tensor,
    a_N: Tensor,
    b_M: Tensor,
    f_N: Tensor,
    g_M: Tensor,
    epsilon: float,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor, int]:
    """Run POT's scaling iterations on the reduced cost and absorb them into the potentials."""
    reduced_NM = cost_NM - f_N[:, None] - g_M[None, :]
    with warnings.catch_warnings():
        # Numerical trouble and early ends show in the certificate, not in warnings.
        warnings.simplefilter("ignore")
        _, log = ot.bregman.sinkhorn_knopp(
            a_N,
            b_M,
            reduced_NM,
            epsilon,
            numItermax=iterations,
            stopThr=tolerance / max(len(a_N), len(b_M)) ** 0.5,
            log=True,
            warn=False,
        )
    step_N, step_M = epsilon * log["u"].log(), epsilon * log["v"].log()
    if not bool(step_N.isfinite().all() and step_M.isfinite().all()):
        # Too far for one block: a plain c-transform step in the log domain cannot overflow.
        return *_log_step(cost_NM, a_N, b_M, g_M, epsilon), 1
    return f_N + step_N, g_M + step_M, int(log["niter"]) + 1


def _log_step(
    cost_NM: Tensor, a_N: Tensor, b_M: Tensor, g_M: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    f_N = epsilon * (a_N.log() - torch.logsumexp((g_M[None, :] - cost_NM) / epsilon, dim=1))
    g_M = epsilon * (b_M.log() - torch.logsumexp((f_N[:, None] - cost_NM) / epsilon, dim=0))
    return f_N, g_M


def _certified(
    cost_NM: Tensor, a_N: Tensor, b_M: Tensor, f_N: Tensor, g_M: Tensor, epsilon: float
) -> tuple[Tensor, float]:
    """Build the plan, make its target marginal exact, and measure the error that remains."""
    log_plan_NM = (f_N[:, None] + g_M[None, :] - cost_NM) / epsilon
    plan_NM = torch.softmax(log_plan_NM, dim=0) * b_M
    error = float((plan_NM.sum(1) - a_N).abs().sum() + (plan_NM.sum(0) - b_M).abs().sum())
    return plan_NM, error
