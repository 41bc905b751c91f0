"""What is read off a plan, and how good the plan is."""

from dataclasses import dataclass

from torch import Tensor

from otce.transport.derivative import Derivative


@dataclass(frozen=True)
class Coupling:
    """The products of a plan with thin matrices, with its certificate; never the plan itself.

    With potentials the plan is P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon), and it extends to
    target pixels that were not there: the column of a feature y, scaled as the others were, is
    proportional to a_i exp((f_i - |x_i - y|^2) / epsilon), over the scaled source features x_i
    and their weights (`Pixels.source_ND`, `Pixels.a_N`).

    Attributes:
        mass_SM: (S, M) float64, product of the transposed thin matrix with the plan; for one-hot
            labels the mass that each target pixel receives from each source class.
        cost: <C, plan>, at least 0, in units of the cost.
        marginal_error: L1 error of both marginals, at least 0; of our own solver an upper bound.
        n_iterations: solver iterations over all pixels; 0 for solvers without.
        converged: whether `marginal_error` is within the tolerance.
        f_N: (N,) float64 source potentials in units of the cost (divided by epsilon: nats), or
            None for solvers without; 0 where the source marginal is free.
        g_M: (M,) float64 target potentials in units of the cost, or None for solvers without.
        epsilon: regularisation in units of the cost; 0 of exact transport.
        derivative: how sums over the plan depend on the weights; None where no one-hot target
            labels were given. It keeps what the solver has in memory alive.
    """

    mass_SM: Tensor
    cost: float
    marginal_error: float
    n_iterations: int
    converged: bool
    f_N: Tensor | None = None
    g_M: Tensor | None = None
    epsilon: float = 0.0
    derivative: Derivative | None = None
