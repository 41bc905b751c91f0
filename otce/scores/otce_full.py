"""OTCE with its domain term: a linear model of transfer accuracy fitted on auxiliary pairs.

Tan, Li, Huang, "OTCE: A Transferability Metric for Cross-Domain Cross-Task Representations", CVPR
2021 (arXiv 2103.13843): OTCE = lambda_1 W_D + lambda_2 W_T + bias, with the Wasserstein distance
W_D between the domains and the conditional entropy W_T of the tasks. Convention: in the unit of
the accuracies it was fitted on, higher is better.

Fitting needs true transfers. Fitted on the models that it then ranks it is circular; the auxiliary
pairs must be others. W_D is comparable between models only where features are scaled: raw features
give every model a unit of its own.

Legend: `P` auxiliary pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from otce.errors import DataError

_LEAST_PAIRS: Final = 3
_LEAST_SINGULAR: Final = 1e-6
"""Of two standardised terms; below it they are one term but for rounding."""


@dataclass(frozen=True)
class Coefficients:
    """A fitted linear model of transfer accuracy.

    Attributes:
        domain: lambda_1, accuracy per unit of the transport cost; expected below 0.
        task: lambda_2, accuracy per nat of conditional entropy; expected below 0.
        bias: accuracy where both terms are 0.
        n_pairs: auxiliary pairs it was fitted on; None where it was given.
        residual: root mean square of what it leaves of their accuracies; None where it was given.
    """

    domain: float
    task: float
    bias: float
    n_pairs: int | None = None
    residual: float | None = None


def fit(
    domain_terms: Sequence[float],
    task_terms: Sequence[float],
    transfer_accuracies: Sequence[float],
) -> Coefficients:
    """Fit the model to auxiliary pairs by least squares on standardised terms.

    Args:
        domain_terms: (P,) transport costs W_D, at least 0, of scaled features.
        task_terms: (P,) conditional entropies W_T in nats, at least 0.
        transfer_accuracies: (P,) measured after the transfer, any unit.

    Returns:
        Coefficients in the original units.

    Raises:
        DataError: fewer than 3 pairs, numbers that are not finite, or terms that determine no
            coefficients because one is constant or both move together.

    Example:
        >>> found = fit([1.0, 2.0, 3.0, 4.0], [0.5, 0.1, 0.4, 0.2], [0.4, 0.7, 0.3, 0.4])
        >>> round(found.domain, 6), round(found.task, 6), round(found.bias, 6)
        (-0.1, -1.0, 1.0)
    """
    terms_P2 = np.column_stack([_numbers(domain_terms), _numbers(task_terms)])
    accuracy_P = _numbers(transfer_accuracies)
    if len(accuracy_P) < _LEAST_PAIRS or len(terms_P2) != len(accuracy_P):
        raise DataError(
            f"{len(terms_P2)} pairs of terms and {len(accuracy_P)} transfer accuracies; give one "
            f"accuracy a pair and at least {_LEAST_PAIRS} pairs"
        )
    mean_2, deviation_2 = terms_P2.mean(axis=0), terms_P2.std(axis=0)
    if not (deviation_2 > _LEAST_SINGULAR * np.abs(terms_P2).max(axis=0)).all():
        raise DataError(
            f"terms of the auxiliary pairs deviate by {deviation_2.tolist()} (domain, task); a "
            "constant term has no coefficient: take pairs that differ in both"
        )
    standard_P2 = (terms_P2 - mean_2) / deviation_2
    smallest = float(np.linalg.svd(standard_P2, compute_uv=False)[-1]) / len(accuracy_P) ** 0.5
    if smallest < _LEAST_SINGULAR:
        raise DataError(
            f"the terms of the {len(accuracy_P)} auxiliary pairs lie on one line (smallest "
            f"singular value {smallest:.3g}); take pairs whose terms do not move together"
        )
    slope_2, *_ = np.linalg.lstsq(standard_P2, accuracy_P - accuracy_P.mean(), rcond=None)
    left_P = accuracy_P - accuracy_P.mean() - standard_P2 @ slope_2
    domain, task = slope_2 / deviation_2
    return Coefficients(
        domain=float(domain),
        task=float(task),
        bias=float(accuracy_P.mean() - mean_2 @ (slope_2 / deviation_2)),
        n_pairs=len(accuracy_P),
        residual=float(np.sqrt(np.mean(left_P**2))),
    )


def otce_full(
    coefficients: Coefficients, *, wasserstein: float, conditional_entropy: float
) -> float:
    """Predict the transfer accuracy of a pair.

    Args:
        coefficients: fitted on other pairs.
        wasserstein: W_D, the transport cost, at least 0; of features scaled as in the fit.
        conditional_entropy: W_T = H(Y_t | Y_s) in nats, at least 0.

    Returns:
        In the unit of the accuracies that were fitted, higher is better.

    Raises:
        DataError: a term that is negative (a score instead of a cost) or not finite.

    Example:
        >>> coefficients = Coefficients(-0.1, -1.0, 1.0)
        >>> otce_full(coefficients, wasserstein=2.5, conditional_entropy=0.5)
        0.25
    """
    for name, term in (("wasserstein", wasserstein), ("conditional_entropy", conditional_entropy)):
        if not (np.isfinite(term) and term >= 0):
            raise DataError(
                f"{name} is {term}; it is a cost or an entropy, at least 0 (the scores of those "
                "names are negated: give them without their sign)"
            )
    return (
        coefficients.domain * wasserstein
        + coefficients.task * conditional_entropy
        + coefficients.bias
    )


def _numbers(values: Sequence[float]) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise DataError(
            f"values of shape {numbers.shape}, {int((~np.isfinite(numbers)).sum())} of them not "
            "finite; give one finite number a pair"
        )
    return numbers
