"""What a segmentation gets right: pixels counted image by image, and the figures made of them.

Conventions: IoU and accuracy are in [0, 1], higher is better. A prediction that stands for no
target class is wrong: it misses the pixel's class and is a false alarm of none.

A library of metrics would give the figures, and one does in the tests; the product counts itself
because the bootstrap draws images anew and so needs the pixels of each one, which the libraries add
up, and because what three sums say is no reason for one more package at run time.

Legend: `I` images, `C` target classes, `H, W` label size.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from otce.errors import DataError

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Confusion:
    """Labelled pixels of some images.

    Attributes:
        right: (I, C) of each class that are predicted so.
        labelled: (I, C) of each class.
        predicted: (I, C) that are predicted to be of each class.
    """

    right: Counts
    labelled: Counts
    predicted: Counts

    @property
    def class_iou(self) -> list[float | None]:
        """Intersection over union of each class; None for classes that have no labelled pixel."""
        right, labelled, predicted = self._sums()
        return _ratios(right, labelled + predicted - right, labelled)

    @property
    def class_accuracy(self) -> list[float | None]:
        """Share of each class that is right; None for classes that have no labelled pixel."""
        right, labelled, _ = self._sums()
        return _ratios(right, labelled, labelled)

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union of the classes that have labelled pixels."""
        return float(np.mean([iou for iou in self.class_iou if iou is not None]))

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels that are right."""
        right, labelled, _ = self._sums()
        return float(right.sum() / labelled.sum())

    def _sums(self) -> tuple[Counts, Counts, Counts]:
        return self.right.sum(axis=0), self.labelled.sum(axis=0), self.predicted.sum(axis=0)


Labels = NDArray[np.int16] | NDArray[np.int64]


def confusion(images: Iterable[tuple[Labels, NDArray[np.int64]]], n_classes: int) -> Confusion:
    """Count predictions against labels.

    Args:
        images: (H, W) labels, -1 where ignored, and (H, W) predictions, -1 where they stand for no
            class, of each image.
        n_classes: C.

    Returns:
        The counts.

    Raises:
        DataError: no pixel is labelled.

    Example:
        >>> found = confusion([(np.array([[0, 0, 1, -1]]), np.array([[0, 1, 1, 0]]))], 3)
        >>> found.class_iou, found.mean_iou
        ([0.5, 0.5, None], 0.5)
    """
    counts = [_counts(label, predicted, n_classes) for label, predicted in images]
    right, labelled, predicted = (np.stack(part) for part in zip(*counts, strict=True))
    if not labelled.any():
        raise DataError(
            f"none of {len(counts)} images has a labelled pixel, so nothing can be measured on "
            "them; use other images"
        )
    return Confusion(right, labelled, predicted)


def _counts(
    label: Labels, predicted: NDArray[np.int64], n_classes: int
) -> tuple[Counts, Counts, Counts]:
    is_labelled = label >= 0
    true, found = label[is_labelled], predicted[is_labelled]

    def count(values: Labels) -> Counts:
        return np.bincount(values, minlength=n_classes).astype(np.int64)

    return count(true[true == found]), count(true), count(found[found >= 0])


def _ratios(part: Counts, whole: Counts, labelled: Counts) -> list[float | None]:
    return [float(p / w) if n else None for p, w, n in zip(part, whole, labelled, strict=True)]
