"""Where a score is lost: by target class, image, boundary and frequency of the class.

A score is minus a sum of pixel risks, so the risks of any parts of the pixels add up to it:
otce = - sum_j r_j (arXiv 2109.15242). Every function here cuts the drawn target pixels into parts
that share no pixel and miss none. Convention: nats, at least 0, lower is better. Legend: `M` drawn
target pixels. Which source classes serve a target class is told by `otce.correspondence`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from otce.errors import DataError

FREQUENCIES: Final = ("frequent", "medium", "rare")
BOUNDARIES: Final = ("boundary", "interior")


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the drawn target pixels and what they cost."""

    key: int | str
    """Id of the class or position of the image, or a word."""
    n_px: int
    """Drawn pixels, at least 1."""
    lost_nats: float
    """Sum of the pixels' risks; the parts of a draw add up to -otce."""
    mean_nats: float
    """Mean of M times the risk: nats a pixel, where pixels weigh the same; their mean over all
    pixels is -otce."""


def by_class(risk_M: NDArray[np.float64], labels: NDArray[Any]) -> tuple[Part, ...]:
    """Cut by target class.

    Args:
        risk_M: (M,) `Score.pixel_risk` in nats.
        labels: (M,) class ids.

    Returns:
        One part a class that occurs, the costliest first.

    Raises:
        DataError: arrays of different lengths, or without pixels.

    Example:
        >>> [part.key for part in by_class(np.array([0.1, 0.1, 0.3]), np.array([4, 4, 2]))]
        [2, 4]
    """
    keys, part = np.unique(labels, return_inverse=True)
    return _costliest_first(_parts(risk_M, part, keys.tolist()))


def by_image(risk_M: NDArray[np.float64], items: NDArray[Any]) -> tuple[Part, ...]:
    """Cut by image.

    Args:
        risk_M: (M,) `Score.pixel_risk` in nats.
        items: (M,) position of each pixel's image in the data set.

    Returns:
        One part an image with drawn pixels, that of the largest mean first.

    Raises:
        DataError: arrays of different lengths, or without pixels.

    Example:
        >>> [part.key for part in by_image(np.array([0.2, 0.2, 0.3]), np.array([4, 4, 2]))]
        [2, 4]
    """
    keys, part = np.unique(items, return_inverse=True)
    found = _parts(risk_M, part, keys.tolist())
    return tuple(sorted(found, key=lambda image: -image.mean_nats))


def by_boundary(risk_M: NDArray[np.float64], is_boundary: NDArray[np.bool_]) -> tuple[Part, ...]:
    """Cut into pixels near another label and the others.

    Args:
        risk_M: (M,) `Score.pixel_risk` in nats.
        is_boundary: (M,) what `otce.boundary.near_boundary` says.

    Returns:
        The parts `boundary` and `interior`; one that has no pixels is left out.

    Raises:
        DataError: arrays of different lengths, or without pixels.

    Example:
        >>> [part.key for part in by_boundary(np.array([0.2, 0.2]), np.array([False, True]))]
        ['boundary', 'interior']
    """
    return _parts(risk_M, np.where(is_boundary, 0, 1), BOUNDARIES)


def by_frequency(risk_M: NDArray[np.float64], labels: NDArray[Any]) -> tuple[Part, ...]:
    """Cut into thirds of the classes, by how many pixels they were drawn with.

    Args:
        risk_M: (M,) `Score.pixel_risk` in nats.
        labels: (M,) class ids; of equally frequent ones the lower id counts as more frequent.

    Returns:
        The parts `frequent`, `medium` and `rare`, as equal in numbers of classes as can be, the
        more frequent ones larger; without `medium` of two classes, `frequent` alone of one.

    Raises:
        DataError: arrays of different lengths, or without pixels.

    Example:
        >>> labels = np.array([0, 0, 0, 1, 1, 2])
        >>> [(part.key, part.n_px) for part in by_frequency(np.full(6, 0.1), labels)]
        [('frequent', 3), ('medium', 2), ('rare', 1)]
    """
    classes, position, count = np.unique(labels, return_inverse=True, return_counts=True)
    words = {1: FREQUENCIES[:1], 2: FREQUENCIES[::2]}.get(len(classes), FREQUENCIES)
    third = np.empty(len(classes), np.intp)
    for number, members in enumerate(np.array_split(np.argsort(-count, kind="stable"), len(words))):
        third[members] = number
    return _parts(risk_M, third[position], list(words))


def _costliest_first(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: -part.lost_nats))


def _parts(
    risk_M: NDArray[np.float64], part: NDArray[Any], keys: Sequence[int | str]
) -> tuple[Part, ...]:
    if len(risk_M) != len(part) or not len(risk_M):
        raise DataError(
            f"{len(risk_M)} pixel risks and {len(part)} pixels; give both of the same draw, with "
            "at least one pixel"
        )
    counts = np.bincount(part, minlength=len(keys)).tolist()
    sums = np.bincount(part, risk_M, minlength=len(keys)).tolist()
    return tuple(
        Part(key, n_px, lost_nats, lost_nats * len(risk_M) / n_px)
        for key, n_px, lost_nats in zip(keys, counts, sums, strict=True)
        if n_px
    )
