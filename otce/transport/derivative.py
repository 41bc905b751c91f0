"""How a solved plan moves when pixels weigh more: gradients of sums over it by all weights.

A sum V = sum_ij P_ij Q_ij over a plan P = a exp((f + g - C) / t) b depends on the weights twice:
pixels that weigh more carry more mass, and the potentials readjust. Of the balanced plan
dP_ij = P_ij (phi_i + gamma_j), where the marginals of dP are the changes of a and b; so the
gradient by log a is a lambda and by log b is b mu, where (the adjoint system)

    a lambda + P mu = R,    P^T lambda + b mu = r,

with R and r the row and column sums of P Q. Without lambda that is (b - P^T a^-1 P) mu =
r - P^T a^-1 R: positive semidefinite and singular for constants only, a case for conjugate
gradients. For potentials themselves see Luise et al., "Differential properties of Sinkhorn
approximation", NeurIPS 2018. Legend: `N` source pixels, `M` target pixels, `T` target
classes, `U` combinations of them, `Q` sums that are differentiated together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

Reflect = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of (M, Q) v and (N, Q) x the products P v and P^T a^-1 (x - P v), in one pass over the plan."""
Gradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of row and column sums of P Q the gradients by log a and log b, up to multiples of a and b."""

_ERROR: Final = 1e-2
_LEAST_EXCHANGED: Final = 1e-3
_MOST_STEPS: Final = 100
_STEPS_BACK: Final = 3
"""Over so many steps the rate is taken by which steps shorten."""
_SLOWEST: Final = 0.95


@dataclass(frozen=True)
class Derivative:
    """What differentiating sums over a plan needs.

    Attributes:
        mass_NT: (N, T) float64, product of the plan with the one-hot target labels.
        cost_N: (N,) float64, what each source pixel pays of the transport cost.
        cost_M: (M,) float64, the same for target pixels; both sum to the cost.
        gradient: takes (N, Q) row sums and (M, Q) column sums of P Q to the gradients of the
            sums by the logarithms of the weights, (N, Q) and (M, Q) float64, each up to a multiple
            of the weights: weights of a side sum to 1, so only differences count.
    """

    mass_NT: Tensor
    cost_N: Tensor
    cost_M: Tensor
    gradient: Gradient


def solve_adjoint(
    reflect: Reflect,
    b_M: Tensor,
    onehot_MT: Tensor,
    mass_NT: Tensor,
    row_NQ: Tensor,
    column_MQ: Tensor,
) -> tuple[Tensor, Tensor]:
    """Solve the adjoint system of a balanced plan by preconditioned conjugate gradients.

    What converges slowly is mass that has to change between classes which hardly exchange any.
    That much is known from the products with the target labels: they start the iterations with the
    best solution that is constant on target classes, and correct every step by such a one.

    Args:
        reflect: multiplies with the plan; its rows are exact, its columns nearly.
        b_M: (M,) float64 target weights.
        onehot_MT: (M, T) float64 target labels.
        mass_NT: (N, T) float64, product of the plan with them.
        row_NQ: (N, Q) float64 row sums of P Q.
        column_MQ: (M, Q) float64 column sums of P Q, of the plan with its columns made exact.

    Returns:
        a lambda and b mu, to a relative error of about 1e-2: what standard errors rest on need
        not be better (after 100 steps it may be worse). Of groups of classes that exchange less
        than a thousandth of their mass no readjustment between groups is counted: there no
        derivative tells of finite changes.

    Example:
        >>> plan = torch.tensor([[0.4, 0.1], [0.1, 0.4]], dtype=torch.float64)
        >>> q = eye = torch.eye(2, dtype=torch.float64)
        >>> by_source, by_target = solve_adjoint(
        ...     in_memory(plan), plan.sum(0), eye, plan @ eye,
        ...     (plan * q).sum(1)[:, None], (plan * q).sum(0)[:, None])
        >>> by_source.flatten().tolist()
        [0.4, 0.4]
    """
    a_N1 = mass_NT.sum(1, keepdim=True)
    classes = _Classes(onehot_MT, mass_NT, a_N1)
    mu_MQ = classes.solve(onehot_MT.T @ column_MQ - mass_NT.T @ (row_NQ / a_N1))
    # One more column tells what the columns sum to before they are made exact.
    ahead_NP, back_MP = reflect(
        torch.column_stack([mu_MQ, mu_MQ.new_zeros(len(mu_MQ))]), torch.column_stack([row_NQ, a_N1])
    )
    ahead_NQ, b_M1 = ahead_NP[:, :-1], back_MP[:, -1:]
    column_MQ = column_MQ * (b_M1 / b_M[:, None])
    residual_MQ = classes.solvable(column_MQ - b_M1 * mu_MQ - back_MP[:, :-1], b_M1)
    way_MQ = corrected_MQ = classes.corrected(residual_MQ, b_M1)
    none_NQ, moves, is_near = torch.zeros_like(row_NQ), [], False
    for _ in range(_MOST_STEPS):
        there_NQ, back_MQ = reflect(way_MQ, none_NQ)
        curved_MQ = b_M1 * way_MQ + back_MQ
        height_Q, slope_Q = (residual_MQ * corrected_MQ).sum(0), (way_MQ * curved_MQ).sum(0)
        step_Q = torch.where(slope_Q > 0, height_Q / slope_Q, 0.0)
        mu_MQ, ahead_NQ = mu_MQ + step_Q * way_MQ, ahead_NQ + step_Q * there_NQ
        moves.append(_spread(step_Q * way_MQ, b_M1))
        # A step may be short by chance: the guess has to hold twice.
        was_near, is_near = is_near, bool((_left(moves) <= _ERROR * _spread(mu_MQ, b_M1)).all())
        if was_near and is_near:
            break
        residual_MQ = classes.solvable(residual_MQ - step_Q * curved_MQ, b_M1)
        corrected_MQ = classes.corrected(residual_MQ, b_M1)
        turn_Q = (residual_MQ * corrected_MQ).sum(0) / height_Q
        way_MQ = corrected_MQ + torch.where(height_Q > 0, turn_Q, 0.0) * way_MQ
    return row_NQ - ahead_NQ, b_M1 * mu_MQ


def _left(moves: list[Tensor]) -> Tensor:
    """Guess how far the steps to come will go, as a geometric series with the last ones' rate."""
    last_Q, before_Q = moves[-1], moves[max(len(moves) - 1 - _STEPS_BACK, 0)]
    back = min(len(moves) - 1, _STEPS_BACK)
    if not back:
        return last_Q
    rate_Q = torch.where(before_Q > 0, last_Q / before_Q, 0.0) ** (1 / back)
    rate_Q = rate_Q.clamp(max=_SLOWEST)
    return last_Q * rate_Q / (1 - rate_Q)


def _spread(values_MQ: Tensor, weight_M1: Tensor) -> Tensor:
    mean_Q = (weight_M1 * values_MQ).sum(0) / weight_M1.sum()
    return (weight_M1 * (values_MQ - mean_Q).square()).sum(0).sqrt()


class _Classes:
    """The adjoint system for solutions that are constant on target classes: a small matrix."""

    def __init__(self, onehot_MT: Tensor, mass_NT: Tensor, a_N1: Tensor) -> None:
        self._onehot_MT, self._mass_T = onehot_MT, mass_NT.sum(0)
        root_T = self._mass_T.sqrt()
        kept_TT = (mass_NT.T @ (mass_NT / a_N1)) / torch.outer(root_T, root_T)
        exchanged_U, mode_TU = torch.linalg.eigh(torch.eye(len(root_T)).to(kept_TT) - kept_TT)
        mode_TU = mode_TU / root_T[:, None]
        is_open = exchanged_U > _LEAST_EXCHANGED
        self._open_TU, self._open_U = mode_TU[:, is_open], exchanged_U[is_open]
        self._closed_TU = mode_TU[:, ~is_open]

    def solve(self, right_TQ: Tensor) -> Tensor:
        """Solve for sums over target classes; the solution on pixels."""
        solution_TQ: Tensor = self._open_TU @ ((self._open_TU.T @ right_TQ) / self._open_U[:, None])
        solution_MQ: Tensor = self._onehot_MT @ solution_TQ
        return solution_MQ

    def solvable(self, right_MQ: Tensor, b_M1: Tensor) -> Tensor:
        """Take out what only mass between closed groups of classes (or from nowhere) could give."""
        closed_MU = self._onehot_MT @ self._closed_TU
        solvable_MQ: Tensor = right_MQ - b_M1 * (closed_MU @ (closed_MU.T @ right_MQ))
        return solvable_MQ

    def corrected(self, right_MQ: Tensor, b_M1: Tensor) -> Tensor:
        """Divide by the weights within classes and solve between them."""
        right_TQ = self._onehot_MT.T @ right_MQ
        within_MQ = right_MQ / b_M1 - self._onehot_MT @ (right_TQ / self._mass_T[:, None])
        return within_MQ + self.solve(right_TQ)


def in_memory(plan_NM: Tensor) -> Reflect:
    """Multiply with a plan that is at hand.

    Args:
        plan_NM: (N, M) float64, no row of it empty.

    Returns:
        The products that `solve_adjoint` asks for.
    """
    sums_N1 = plan_NM.sum(1, keepdim=True)

    def reflect(v_MQ: Tensor, x_NQ: Tensor) -> tuple[Tensor, Tensor]:
        ahead_NQ = plan_NM @ v_MQ
        return ahead_NQ, plan_NM.T @ ((x_NQ - ahead_NQ) / sums_N1)

    return reflect
