"""Scores over every labelled pixel of a data set, from sums over blocks of its images.

A draw of N pixels has the noise of pixels; sums over all pixels have none, so there is one
repetition. What is left is the noise of images, and neighbours among images (frames of one
sequence) are alike: images count in `BLOCKS` blocks of consecutive ones. The influence of a block
is the derivative of the score by the logarithm of its pixels' weight (`otce.scores.influence`),
taken as a difference: each block counts a hundredth less, so that no class is lost.

Scores that are functions of few sums are here. LEEP needs all pixels twice (the mean of a logarithm
that holds the joint of all), GBC and TransRate a second moment of every class, NLEEP, kNN and CC-FV
the features themselves: these keep to drawn pixels.

Legend: `B` blocks, `T` target classes, `Z` classes of the model's classifier.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from otce.errors import DataError
from otce.recipe import Metric
from otce.scores.h_score_moments import h_score_of_moments, h_score_shrunk_of_moments
from otce.scores.influence import Measured
from otce.scores.logme import logme_of_moments
from otce.scores.moments import Moments, merged
from otce.scores.nce import nce_of_counts
from otce.scores.zero_shot import zero_shot_miou_of_counts

BLOCKS: Final = 32
_LESS: Final = 0.01


class Block(NamedTuple):
    """Sums over the labelled pixels of consecutive images; a block has at least one such pixel."""

    first_item: int
    """Position of its first image in the data set."""
    n_pixels: int
    """Labelled pixels."""
    moments: Moments | None
    """Of the features; None where no score asked for them."""
    count_TZ: NDArray[np.int64] | None
    """Pixels by class and predicted class; None where no score asked for them."""


_OF_MOMENTS: Final[dict[Metric, Callable[[Moments], float]]] = {
    "logme_all_px": logme_of_moments,
    "h_score_all_px": h_score_of_moments,
    "h_score_shrunk_all_px": h_score_shrunk_of_moments,
}


def block_ranges(n_items: int) -> list[range]:
    """Cut the images of a data set into blocks.

    Args:
        n_items: number of images.

    Returns:
        Positions of each block's images: `BLOCKS` blocks whose sizes differ by at most one, or one
        an image.

    Example:
        >>> block_ranges(3)
        [range(0, 1), range(1, 2), range(2, 3)]
        >>> {len(block) for block in block_ranges(701)}, len(block_ranges(701))
        ({21, 22}, 32)
    """
    count = min(BLOCKS, n_items)
    ends = [n_items * b // count for b in range(count + 1)]
    return [range(*ends[b : b + 2]) for b in range(count)]


def measured_over_all(
    metric: Metric, blocks: Sequence[Block], class_map: tuple[int, ...] | None
) -> Measured:
    """Take a score of all labelled pixels.

    Args:
        metric: one of `otce.recipe.OVER_ALL_PIXELS`.
        blocks: all blocks of the data set that have labelled pixels.
        class_map: for zero-shot mIoU, the target class of each class that the model predicts.

    Returns:
        The score, with the influence of each block in place of each pixel.

    Raises:
        DataError: no labelled pixel, fewer than two classes, or no class map.
    """
    if not blocks:
        raise DataError("there are no labelled target pixels; check ignore and label_map")
    if metric in _OF_MOMENTS:
        moments = [block.moments for block in blocks if block.moments is not None]
        return _of_moments(_OF_MOMENTS[metric], moments)
    counts = [block.count_TZ for block in blocks if block.count_TZ is not None]
    return _of_counts(_score_of_counts(metric, class_map), counts)


def _of_moments(score: Callable[[Moments], float], parts: Sequence[Moments]) -> Measured:
    total = merged(parts)

    def without(part: Moments) -> float:
        # Whatever counts less, there are as many pixels as there are.
        scale = total.n_pixels / (total.n_pixels - _LESS * part.n_pixels)
        return score(merged([total, part], [scale, -_LESS * scale]))

    return _measured(score(total), [without(part) for part in parts])


def _of_counts(
    score: Callable[[NDArray[np.float64]], float], counts: Sequence[NDArray[np.int64]]
) -> Measured:
    total_TZ = np.sum(counts, axis=0)
    return _measured(
        score(total_TZ.astype(np.float64)),
        [score(total_TZ - _LESS * part_TZ) for part_TZ in counts],
    )


def _score_of_counts(
    metric: Metric, class_map: tuple[int, ...] | None
) -> Callable[[NDArray[np.float64]], float]:
    if metric == "nce_all_px":
        return nce_of_counts
    if class_map is None:
        raise DataError(
            "zero_shot_miou_all_px: source and target have fewer than two class names in common; "
            "leave the metric out, or give equal classes equal names"
        )
    return partial(zero_shot_miou_of_counts, class_map=class_map)


def _measured(value: float, without: Sequence[float]) -> Measured:
    influence_B = (value - np.array(without)) / _LESS
    return Measured(value, influence_B - influence_B.mean())
