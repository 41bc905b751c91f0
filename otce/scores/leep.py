"""LEEP on pixels: how well the source labels that a model predicts tell the target label.

Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations", ICML
2020, eq. 3. It asks for no source images, only for the model's own classifier. Convention: nats,
at most 0, higher is better.

Legend: `n` target pixels, `Z` source classes, `T` target classes that occur.
"""

from typing import Final

import torch

from otce.errors import DataError
from otce.scores.pixels import Array

_SUM_ERROR: Final = 1e-3


def leep(source_probabilities: Array, labels: Array) -> float:
    """Average the log likelihood of the target labels under the empirical predictor.

    The predictor draws a source class from the model's probabilities, then a target class from
    P(y | z), both distributions taken from the same pixels. Source classes without any mass say
    nothing and do not count.

    Args:
        source_probabilities: (n, Z) the model's softmax at labelled target pixels.
        labels: (n,) their integer labels.

    Returns:
        Nats, at most 0, higher is better; at least minus the entropy of the labels.

    Raises:
        DataError: shapes or types that do not fit, values that are no probabilities.

    Example:
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
        >>> leep(probabilities, torch.tensor([4, 4, 7]))
        -0.1918...
    """
    theta_nZ = torch.as_tensor(source_probabilities).detach().double().cpu()
    labels_n = torch.as_tensor(labels).detach().cpu()
    if theta_nZ.ndim != 2 or labels_n.shape != theta_nZ.shape[:1] or not len(labels_n):  # noqa: PLR2004
        raise DataError(
            f"probabilities of shape {tuple(theta_nZ.shape)} and labels of shape "
            f"{tuple(labels_n.shape)}; give (n, Z) and (n,) with at least one pixel"
        )
    if labels_n.is_floating_point() or labels_n.is_complex():
        raise DataError(f"labels of type {labels_n.dtype}; labels are integers")
    error = float((theta_nZ.sum(dim=1) - 1).abs().max())
    if not error <= _SUM_ERROR or float(theta_nZ.min()) < 0:
        raise DataError(
            f"rows are no probabilities (a sum is off by {error:.3g}, the smallest value is "
            f"{float(theta_nZ.min()):.3g}); apply a softmax to logits"
        )
    classes, index_n = labels_n.unique(return_inverse=True)
    joint_TZ = torch.zeros(len(classes), theta_nZ.shape[1], dtype=torch.float64)
    joint_TZ.index_add_(0, index_n, theta_nZ)
    occurs_Z = joint_TZ.sum(dim=0) > 0
    given_TZ = joint_TZ[:, occurs_Z] / joint_TZ[:, occurs_Z].sum(dim=0)
    likelihood_n = (given_TZ[index_n] * theta_nZ[:, occurs_Z]).sum(dim=1)
    return float(likelihood_n.log().mean())
