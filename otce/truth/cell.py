"""One target as it is judged: what was measured, what was predicted, and what images do to both.

An image of a data set moves every score that sees it, of whatever model and metric, and a held-back
image moves the measured transfer of all models: so a bootstrap draws each data set's images once
and lets everything move together.

Legend: `M` models of the target, `S` training seeds, `I` images, `C` target classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_F64 = NDArray[np.float64]
Spreads = Mapping[str, _F64]
"""By digest of a data set (M, I) what each of its images, drawn once more, adds to a score."""


@dataclass(frozen=True)
class HeldBack:
    """Pixels of the images that judge.

    Attributes:
        right_MSIC: (M, S, I, C) pixels of each class that are right.
        union_MSIC: (M, S, I, C) pixels of each class that are labelled or predicted so.
        labelled_IC: (I, C) labelled pixels of each class.
    """

    right_MSIC: _F64
    union_MSIC: _F64
    labelled_IC: _F64

    def mean_iou(self, count_I: _F64) -> _F64:
        """Judge by some of the images, some of them several times.

        Args:
            count_I: (I,) how often each image counts.

        Returns:
            (M, S) mean intersection over union of the classes that are labelled in them, 0 to 1,
            higher is better; NaN where none is.

        Example:
            >>> right, union = np.array([[[[1.0], [4.0]]]]), np.array([[[[2.0], [4.0]]]])
            >>> HeldBack(right, union, np.ones((2, 1))).mean_iou(np.array([2.0, 1.0])).tolist()
            [[0.75]]
        """
        is_labelled_C = count_I @ self.labelled_IC > 0
        if not is_labelled_C.any():
            return np.full(self.right_MSIC.shape[:2], np.nan)
        right_MSC, union_MSC = (
            np.tensordot(px_MSIC[..., is_labelled_C], count_I, axes=(2, 0))
            for px_MSIC in (self.right_MSIC, self.union_MSIC)
        )
        found_MS: _F64 = (right_MSC / union_MSC).mean(axis=-1)
        return found_MS


@dataclass(frozen=True)
class Cell:
    """One target.

    Attributes:
        target: its id.
        truth_MS: (M, S) measured transfer of each model and seed, NaN where there is none.
        scores: by predictor (M,) what it says, NaN where it says nothing.
        stderrs: by predictor (M,) its noise that is not known image by image, 0 if there is none.
        spreads: by predictor what single images do to it; nothing for those that are not named.
        held_back: pixels of the images that judge, None where they are not known.
    """

    target: str
    truth_MS: _F64
    scores: Mapping[str, _F64]
    stderrs: Mapping[str, _F64]
    spreads: Mapping[str, Spreads] = field(default_factory=dict)
    held_back: HeldBack | None = None

    @property
    def truth_M(self) -> _F64:  # noqa: N802 - the suffix is the shape
        """(M,) mean over the seeds that there are."""
        return mean_of_known(self.truth_MS)

    def sizes(self) -> dict[str, int]:
        """Count the images of every data set that a score sees, by digest."""
        found: dict[str, int] = {}
        for spreads in self.spreads.values():
            for digest, spread_MI in spreads.items():
                found[digest] = max(found.get(digest, 0), spread_MI.shape[1])
        return found

    def moved(self, predictor: str, weights: Mapping[str, _F64], noise_M: _F64) -> _F64:
        """Say what a predictor would say of other images, to first order.

        Args:
            predictor: which.
            weights: by digest (I,) how often each image is drawn, less 1; a predictor may have
                seen the first of them only.
            noise_M: (M,) standard normal.

        Returns:
            (M,) the score, moved.
        """
        moved_M: _F64 = self.scores[predictor] + self.stderrs[predictor] * noise_M
        for digest, spread_MI in self.spreads.get(predictor, {}).items():
            moved_M += spread_MI @ weights[digest][: spread_MI.shape[1]]
        return moved_M

    def remeasured(self, generator: np.random.Generator) -> _F64:
        """Draw the images that judge anew.

        Args:
            generator: of the draw.

        Returns:
            (M, S) measured transfer, as it is where its images are not known.
        """
        if self.held_back is None:
            return self.truth_MS
        n_images = len(self.held_back.labelled_IC)
        count_I = generator.multinomial(n_images, np.full(n_images, 1 / n_images))
        return np.where(
            np.isfinite(self.truth_MS), self.held_back.mean_iou(count_I.astype(float)), np.nan
        )


def mean_of_known(values_MS: _F64) -> _F64:
    """Average the values that there are; NaN where there is none."""
    known_MS = np.isfinite(values_MS)
    count_M = known_MS.sum(axis=1)
    total_M = np.where(known_MS, values_MS, 0.0).sum(axis=1)
    return np.where(count_M > 0, total_M / np.maximum(count_M, 1), np.nan)
