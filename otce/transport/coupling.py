"""What is read off a plan, and how good the plan is."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Coupling:
    """The products of a plan with thin matrices, with its certificate; never the plan itself.

    Attributes:
        mass_SM: (S, M) float64, product of the transposed thin matrix with the plan; for one-hot
            labels the mass that each target pixel receives from each source class.
        cost: <C, plan>, at least 0, in units of the cost.
        marginal_error: L1 error of both marginals, at least 0; of our own solver an upper bound.
        n_iterations: solver iterations over all pixels; 0 for solvers without.
        converged: whether `marginal_error` is within the tolerance.
        f_N: (N,) float64 source potentials in units of the cost, or None for solvers without.
        g_M: (M,) float64 target potentials in units of the cost, or None for solvers without.
    """

    mass_SM: Tensor
    cost: float
    marginal_error: float
    n_iterations: int
    converged: bool
    f_N: Tensor | None = None
    g_M: Tensor | None = None
