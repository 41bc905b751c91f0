"""The coupling whose source marginal is free: one softmax, no iterations, streamed.

Legend: `N` source pixels, `M` target pixels, `B` target pixels of a tile, `S` columns of the thin
matrix, `D` feature dimensions.
"""

from functools import partial

import torch
from torch import Tensor

from otce.transport.coupling import Coupling
from otce.transport.derivative import Derivative
from otce.transport.geometry import Geometry
from otce.transport.threads import in_parts


def semi_relaxed(
    source_ND: Tensor,
    target_MD: Tensor,
    a_N: Tensor,
    b_M: Tensor,
    thin_NS: Tensor,
    *,
    epsilon: float,
    tolerance: float = 1e-3,
    f_N: Tensor | None = None,
    onehot_MT: Tensor | None = None,
) -> Coupling:
    """Couple with only the target marginal fixed; column j is b_j softmax_i(log a_i - C_ij / eps).

    With the source potentials of another coupling, column j is that coupling extended to target
    pixel j: b_j softmax_i(log a_i + (f_i - C_ij) / eps), which at its own target pixels are its
    own columns.

    Args:
        source_ND: (N, D) float64 source features.
        target_MD: (M, D) float64 target features; both centred.
        a_N: (N,) float64 source weights, positive.
        b_M: (M,) float64 target weights, sum 1.
        thin_NS: (N, S) float64 matrix to multiply the plan with.
        epsilon: regularisation in units of the cost, positive.
        tolerance: below 1e-5 everything is computed in float64.
        f_N: (N,) float64 source potentials in units of the cost; none: all 0.
        onehot_MT: (M, T) float64 target labels, one-hot; when given, the coupling has a
            derivative, whose gradient takes another pass over all pairs.

    Returns:
        The coupling, always converged. No N x M array is made.

    Raises:
        TransportError: the distances are not finite, or too large for this epsilon.

    Example:
        >>> points = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        >>> half = torch.full((2,), 0.5, dtype=torch.float64)
        >>> eye = torch.eye(2, dtype=torch.float64)
        >>> found = semi_relaxed(points, points[:1], half, half[:1] * 2, eye, epsilon=0.5)
        >>> found.mass_SM.round(decimals=6).tolist()
        [[0.880797], [0.119203]]
    """
    geometry = Geometry.of(
        source_ND, target_MD, a_N, b_M, epsilon=epsilon, tolerance=tolerance
    ).transposed()
    f_N = torch.zeros_like(a_N) if f_N is None else f_N
    bias_N = a_N.log() + f_N / epsilon
    thin = torch.column_stack([thin_NS, torch.ones_like(a_N), bias_N]).to(geometry.work)
    half_y_M = geometry.half_norms
    mass_MS = b_M.new_empty(len(b_M), thin_NS.shape[1])
    cost_M, g_M = torch.empty_like(b_M), torch.empty_like(b_M)
    columns = 0 if onehot_MT is None else onehot_MT.shape[1] + 2

    def work(part: slice) -> Tensor:
        of_source_PN = b_M.new_zeros(columns, len(a_N))
        # One buffer for all tiles: new ones between results that stay would tear the heap apart.
        buffer = thin.new_empty(geometry.rows_at_once, len(a_N))
        for rows, logits_BN, largest_B in geometry.tiles(bias_N, 1.0, part):
            plan_BN = torch.exp(logits_BN, out=buffer[: len(logits_BN)])
            products_BP = (plan_BN @ thin).double()
            sums_B = products_BP[:, -2]
            # C = |y|^2 / 2 + bias - logit, and the logit is largest + log plan.
            weighed_BN = logits_BN.mul_(plan_BN)
            logit_B = largest_B + weighed_BN.sum(1).double() / sums_B
            cost_M[rows] = half_y_M[rows] + products_BP[:, -1] / sums_B - logit_B
            mass_MS[rows] = products_BP[:, :-2] * (b_M[rows] / sums_B)[:, None]
            g_M[rows] = half_y_M[rows] - largest_B - sums_B.log()
            if onehot_MT is not None:
                scale_B = b_M[rows] / sums_B
                of_column_B = half_y_M[rows] - largest_B
                left_BP = torch.column_stack(
                    [onehot_MT[rows], torch.ones_like(scale_B), of_column_B]
                )
                left_PB = (left_BP * scale_B[:, None]).T.to(thin.dtype).contiguous()
                of_source_PN += left_PB @ plan_BN
                of_source_PN[-1] -= scale_B.to(thin.dtype) @ weighed_BN
        return of_source_PN

    of_source_PN = torch.stack(in_parts(work, len(b_M), geometry.parts)).sum(0)
    derivative = None
    if onehot_MT is not None:
        *_, sums_N, cost_N = of_source_PN
        derivative = Derivative(
            mass_NT=of_source_PN[:-2].T,
            cost_N=(cost_N + sums_N * bias_N) * epsilon,
            cost_M=b_M * cost_M * epsilon,
            gradient=partial(_gradient, geometry, bias_N),
        )
    return Coupling(
        mass_SM=mass_MS.T,
        cost=max(float(b_M @ cost_M), 0.0) * epsilon,
        marginal_error=0.0,
        n_iterations=0,
        converged=True,
        f_N=f_N,
        g_M=epsilon * g_M,
        epsilon=epsilon,
        derivative=derivative,
    )


def _gradient(
    geometry: Geometry, bias_N: Tensor, row_NQ: Tensor, column_MQ: Tensor
) -> tuple[Tensor, Tensor]:
    """Differentiate sums of P Q, exactly, in one pass.

    With changes alpha of log a (in the bias) and beta of log b, dP_ij = P_ij (alpha_i + beta_j -
    (sum_k P_kj alpha_k) / b_j). So the gradients are R - P (r / b) and r; R and r are row and
    column sums.
    """
    shares_MQ = column_MQ / geometry.a_N[:, None]
    ones_N = bias_N.new_ones(len(bias_N)).to(geometry.work)

    def work(part: slice) -> Tensor:
        back_QN = bias_N.new_zeros(row_NQ.shape[1], len(bias_N))
        for rows, logits_BN, _ in geometry.tiles(bias_N, 1.0, part):
            plan_BN = logits_BN.exp_()
            scale_B = geometry.a_N[rows] / (plan_BN @ ones_N).double()
            left_QB = (shares_MQ[rows] * scale_B[:, None]).T.to(geometry.work).contiguous()
            back_QN += left_QB @ plan_BN
        return back_QN

    back_QN = torch.stack(in_parts(work, len(column_MQ), geometry.parts)).sum(0)
    return row_NQ - back_QN.T, column_MQ
