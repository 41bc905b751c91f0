"""LEEP on pixels: how well the source labels that a model predicts tell the target label.

Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations", ICML
2020, eq. 3. It asks for no source images, only for the model's own classifier. Convention: nats,
at most 0, higher is better.

Legend: `n` target pixels, `Z` source classes, `T` target classes that occur.
"""

import torch
from torch import Tensor

from otce.scores import checked
from otce.scores.pixels import Array


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
    return float(weighted_leep(source_probabilities, labels, checked.equal_weights(labels)))


def weighted_leep(source_probabilities: Array, labels: Array, weight_n: Tensor) -> Tensor:
    """Take LEEP of pixels that count `weight_n`: integer weights are repeated pixels.

    Args:
        source_probabilities: (n, Z) as in `leep`.
        labels: (n,) integer labels.
        weight_n: (n,) float64, positive; their common scale changes nothing.

    Returns:
        A float64 scalar, the exact derivative of which torch can take by the weights.

    Raises:
        DataError: as in `leep`, or weights that are not positive.

    Example:
        >>> probabilities, labels = torch.tensor([[0.9, 0.1], [0.1, 0.9]]), torch.tensor([4, 7])
        >>> float(weighted_leep(probabilities, labels, torch.tensor([2.0, 1.0]).double()))
        -0.1918...
    """
    theta_nZ, labels_n = checked.probabilities(source_probabilities, labels)
    count_n = checked.counts(weight_n, len(labels_n))
    classes, index_n = labels_n.unique(return_inverse=True)
    joint_TZ = torch.zeros(len(classes), theta_nZ.shape[1], dtype=torch.float64)
    joint_TZ = joint_TZ.index_add(0, index_n, count_n[:, None] * theta_nZ)
    occurs_Z = joint_TZ.detach().sum(dim=0) > 0
    given_TZ = joint_TZ[:, occurs_Z] / joint_TZ[:, occurs_Z].sum(dim=0)
    likelihood_n = (given_TZ[index_n] * theta_nZ[:, occurs_Z]).sum(dim=1)
    return count_n @ likelihood_n.log() / count_n.sum()
