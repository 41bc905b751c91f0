"""Couplings between source and target pixels, each with a certificate.

`balanced` keeps both marginals, `semi_relaxed` only the target's. `otce.transport.pot` has POT's
solvers of the first problem, by iterations and by network simplex.
"""

from otce.transport.coupling import Coupling
from otce.transport.memory import peak_bytes
from otce.transport.relaxed import semi_relaxed
from otce.transport.sinkhorn import balanced

__all__ = ["Coupling", "balanced", "peak_bytes", "semi_relaxed"]
