"""NCE on pixels: minus the entropy of the target label once the predicted source label is known.

Tran, Nguyen, Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019,
with the model's own predictions as source labels. Where the model is certain it equals LEEP.
Convention: nats, at most 0, higher is better.

Legend: `n` target pixels, `Z` source classes, `T` target classes that occur.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import xlogy
from torch import Tensor

from otce.errors import DataError
from otce.scores import checked
from otce.scores.pixels import Array


def nce(source_probabilities: Array, labels: Array) -> float:
    """Take -H(Y | Z), with Z the source class of the largest probability.

    Args:
        source_probabilities: (n, Z) the model's softmax at labelled target pixels; of equal
            probabilities the first class counts.
        labels: (n,) their integer labels.

    Returns:
        Nats, at most 0, higher is better; at least minus the entropy of the labels.

    Raises:
        DataError: shapes or types that do not fit, values that are no probabilities.

    Example:
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]])
        >>> nce(probabilities, torch.tensor([4, 7, 7]))
        -0.4620...
    """
    return float(weighted_nce(source_probabilities, labels, checked.equal_weights(labels)))


def weighted_nce(source_probabilities: Array, labels: Array, weight_n: Tensor) -> Tensor:
    """Take NCE of pixels that count `weight_n`: integer weights are repeated pixels.

    Args:
        source_probabilities: (n, Z) as in `nce`.
        labels: (n,) integer labels.
        weight_n: (n,) float64, positive; their common scale changes nothing.

    Returns:
        A float64 scalar that torch can differentiate by the weights; predictions are fixed.

    Raises:
        DataError: as in `nce`, or weights that are not positive.

    Example:
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]])
        >>> weights = torch.tensor([1.0, 1.0, 2.0]).double()
        >>> float(weighted_nce(probabilities, torch.tensor([4, 7, 7]), weights))
        -0.3465...
    """
    theta_nZ, labels_n = checked.probabilities(source_probabilities, labels)
    count_n = checked.counts(weight_n, len(labels_n))
    classes, index_n = labels_n.unique(return_inverse=True)
    predicted_n = predictions(theta_nZ)
    joint_TZ = torch.zeros(len(classes), theta_nZ.shape[1], dtype=torch.float64)
    joint_TZ = joint_TZ.index_put((index_n, predicted_n), count_n, accumulate=True)
    given_n = joint_TZ[index_n, predicted_n] / joint_TZ.sum(dim=0)[predicted_n]
    return count_n @ given_n.log() / count_n.sum()


def nce_of_counts(count_TZ: NDArray[np.float64]) -> float:
    """Take NCE of pixels of which only counts are kept.

    Args:
        count_TZ: (T, Z) pixels, or their weights, by class and predicted source class.

    Returns:
        What `nce` gives of the same pixels.

    Raises:
        DataError: no pixels.

    Example:
        >>> nce_of_counts(np.array([[1.0, 0.0], [1.0, 1.0]]))
        -0.4620...
    """
    total = count_TZ.sum()
    if not total > 0:
        raise DataError("there are no labelled target pixels; check ignore and label_map")
    predicted_Z = count_TZ.sum(axis=0)
    entropy = -float(xlogy(count_TZ, count_TZ).sum() - xlogy(predicted_Z, predicted_Z).sum())
    return 0.0 - entropy / float(total)


def predictions(theta_nZ: Tensor) -> Tensor:
    """Name the most probable class of each pixel.

    Args:
        theta_nZ: (n, Z) probabilities.

    Returns:
        (n,) int64 positions of the largest; the first where several are.
    """
    # torch.argmax does not promise the first.
    return torch.from_numpy(np.argmax(theta_nZ.numpy(), axis=1))
