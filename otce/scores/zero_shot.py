"""Zero-shot mIoU: how well a model segments the target as it is, without any training.

The mean intersection over union of the model's own predictions on the labelled target pixels, for
models that name target classes. Convention: in [0, 1], higher is better.

Legend: `n` target pixels, `Z` source classes, `C` target classes that are scored.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from otce.errors import DataError
from otce.scores import checked
from otce.scores.nce import predictions
from otce.scores.pixels import Array

UNMAPPED: Final = -1
"""Stands in a class map for source classes that are no target class."""
_FEWEST_CLASSES: Final = 2


def class_map(source_names: Sequence[str], target_names: Sequence[str]) -> tuple[int, ...] | None:
    """Find the target class of each source class by its name.

    Names are equal whatever their case and the space around them. Of equal target names the first
    counts; several source classes may stand for one target class.

    Args:
        source_names: names of the source classes, in the order of the model's outputs.
        target_names: names of the target classes; the label is the position.

    Returns:
        The target label of each source class, or -1; None where fewer than two target classes are
        named on both sides, so that no mIoU can be had.

    Example:
        >>> class_map(("Road", "sky", "car"), ("sky", "road ", "tree"))
        (1, 0, -1)
        >>> class_map(("road", "sky"), ("road", "tree")) is None
        True
    """
    labels: dict[str, int] = {}
    for label, name in enumerate(target_names):
        labels.setdefault(_plain(name), label)
    mapped = tuple(labels.get(_plain(name), UNMAPPED) for name in source_names)
    return mapped if len(set(mapped) - {UNMAPPED}) >= _FEWEST_CLASSES else None


def zero_shot_miou(source_probabilities: Array, labels: Array, class_map: Sequence[int]) -> float:
    """Average the intersection over union of the target classes that occur and are mapped.

    Pixels of other target classes are left out. A prediction of a source class that stands for no
    scored class is wrong: it misses the pixel's class and is a false alarm of none.

    Args:
        source_probabilities: (n, Z) the model's softmax at labelled target pixels; the largest is
            the prediction, the first of equal ones.
        labels: (n,) their integer labels.
        class_map: (Z,) the target label that each source class stands for, or -1 for none.

    Returns:
        Mean IoU in [0, 1], higher is better.

    Raises:
        DataError: shapes or types that do not fit, values that are no probabilities, or fewer than
            two mapped classes among the labels.

    Example:
        >>> probabilities = torch.eye(3)[[0, 0, 1, 2]]
        >>> zero_shot_miou(probabilities, torch.tensor([5, 5, 6, 6]), (5, 6, -1))
        0.75
    """
    weight_n = checked.equal_weights(labels)
    return float(weighted_zero_shot_miou(source_probabilities, labels, class_map, weight_n))


def weighted_zero_shot_miou(
    source_probabilities: Array, labels: Array, class_map: Sequence[int], weight_n: Tensor
) -> Tensor:
    """Take zero-shot mIoU of pixels that count `weight_n`: integer weights are repeated pixels.

    Args:
        source_probabilities: (n, Z) as in `zero_shot_miou`.
        labels: (n,) integer labels.
        class_map: (Z,) target label of each source class, or -1.
        weight_n: (n,) float64, positive; their common scale changes nothing.

    Returns:
        A float64 scalar that torch can differentiate by the weights; predictions are fixed. Pixels
        that are left out have no influence.

    Raises:
        DataError: as in `zero_shot_miou`, or weights that are not positive.

    Example:
        >>> probabilities, weights = torch.eye(2)[[0, 0, 1]], torch.tensor([1.0, 2.0, 2.0]).double()
        >>> float(weighted_zero_shot_miou(probabilities, torch.tensor([5, 6, 6]), (5, 6), weights))
        0.4166...
    """
    theta_nZ, labels_n = checked.probabilities(source_probabilities, labels)
    count_n = checked.counts(weight_n, len(labels_n))
    scored_C, label_Z = _scored_classes(labels_n.long(), class_map, theta_nZ.shape[1])
    truth_nC = labels_n[:, None] == scored_C
    guess_nC = label_Z[predictions(theta_nZ), None] == scored_C
    guess_nC = guess_nC & truth_nC.any(dim=1, keepdim=True)
    both_C = count_n @ (truth_nC & guess_nC).double()
    either_C = count_n @ (truth_nC | guess_nC).double()
    return (both_C / either_C).mean()


def zero_shot_miou_of_counts(count_TZ: NDArray[np.float64], class_map: Sequence[int]) -> float:
    """Take zero-shot mIoU of pixels of which only counts are kept.

    Args:
        count_TZ: (T, Z) pixels, or their weights, by target label and predicted source class.
        class_map: (Z,) target label of each source class, or -1.

    Returns:
        What `zero_shot_miou` gives of the same pixels.

    Raises:
        DataError: fewer than two mapped classes have pixels, or the map is of other classes.

    Example:
        >>> zero_shot_miou_of_counts(np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 1.0]]), (0, 1, -1))
        0.75
    """
    present = torch.from_numpy(np.flatnonzero(count_TZ.sum(axis=1)))
    scored_C, label_Z = _scored_classes(present, class_map, count_TZ.shape[1])
    guess_ZC = (label_Z[:, None] == scored_C).double().numpy()
    both_CC = count_TZ[scored_C.numpy()] @ guess_ZC
    both_C, labelled_C = both_CC.diagonal(), count_TZ[scored_C.numpy()].sum(axis=1)
    return float((both_C / (labelled_C + both_CC.sum(axis=0) - both_C)).mean())


def _scored_classes(
    labels_n: Tensor, class_map: Sequence[int], n_source: int
) -> tuple[Tensor, Tensor]:
    """Find the labels that occur and are mapped, and check the map."""
    label_Z = torch.as_tensor(class_map)
    if label_Z.shape != (n_source,) or label_Z.is_floating_point() or int(label_Z.min()) < UNMAPPED:
        raise DataError(
            f"the class map {tuple(class_map)} is for {len(class_map)} source classes and the "
            f"model has {n_source}; give each the target label it stands for, or -1 for none"
        )
    mapped_C = label_Z[label_Z != UNMAPPED].unique()
    scored_C = mapped_C[torch.isin(mapped_C, labels_n)]
    if len(scored_C) < _FEWEST_CLASSES:
        raise DataError(
            f"{len(scored_C)} of the target labels {labels_n.unique().tolist()} are in the class "
            f"map {tuple(class_map)}; zero-shot mIoU asks for at least {_FEWEST_CLASSES}"
        )
    return scored_C, label_Z


def _plain(name: str) -> str:
    return name.strip().casefold()
