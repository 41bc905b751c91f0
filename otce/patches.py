"""Patch-wise maps, as in the later version of the paper: one small score a place of the image.

Tan, Li Yicong, Li Yang, Zhang, ICIP 2023, DOI 10.1109/ICIP49359.2023.10222912: the pixels of a
patch, pooled over images, are scored against the source pixels of the patch at the same relative
position. Here for comparison with `otce.maps`, which asks no position to mean the same in two data
sets. Where their code leaves 0 (the best score of all) there is NaN. Legend: `n` pixels, `D`
feature dimensions, `R`, `C` rows and columns of patches.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from otce.features import features_at
from otce.scores.otce import score_pixels

FEWEST_PX: Final = 5
"""Labelled pixels that a patch needs on both sides, as in the paper's code."""


@dataclass(frozen=True)
class PlacedPixels:
    """Labelled pixels of images of any size, with their relative position.

    Attributes:
        features: (n, D) float32.
        labels: (n,) integer labels.
        y: (n,) float64 in (0, 1), position of the pixel's centre from the top.
        x: (n,) float64 in (0, 1), from the left.
    """

    features: NDArray[np.float32]
    labels: NDArray[Any]
    y: NDArray[np.float64]
    x: NDArray[np.float64]


@dataclass(frozen=True)
class PatchMap:
    """The score of every patch.

    Attributes:
        risk_RC: (R, C) float64 H(Y_t | Y_s) of the patch in nats, at least 0, lower is better; NaN
            where unscored.
        normalized_RC: (R, C) float64 1 - H(Y_t | Y_s) / H(Y_t), 0 to 1, higher is better; NaN
            where unscored.
        mask_RC: (R, C) bool, which patches are scored: those with enough pixels on both sides and
            more than one target class, without which every source would be perfect.
    """

    risk_RC: NDArray[np.float64]
    normalized_RC: NDArray[np.float64]
    mask_RC: NDArray[np.bool_]


def placed(map_Dhw: Tensor, label_HW: NDArray[Any], *, every_px: int = 1) -> PlacedPixels:
    """Take the labelled pixels of an image, or those of a grid among them.

    Args:
        map_Dhw: (D, h, w) its feature map.
        label_HW: (H, W) class ids, negative where ignored.
        every_px: take each so-many-th row and column.

    Returns:
        Its pixels in row-major order.
    """
    size_px = label_HW.shape[0], label_HW.shape[1]
    first = every_px // 2
    y_px, x_px = np.nonzero(label_HW[first::every_px, first::every_px] >= 0)
    y_px, x_px = (
        np.minimum(axis * every_px + first, side - 1).astype(np.int32)
        for axis, side in zip((y_px, x_px), size_px, strict=True)
    )
    features = features_at(map_Dhw, y_px, x_px, size_px).cpu().numpy()
    y, x = ((axis + 0.5) / side for axis, side in zip((y_px, x_px), size_px, strict=True))
    return PlacedPixels(features.astype(np.float32), label_HW[y_px, x_px], y, x)


def pooled(images: Iterable[PlacedPixels]) -> PlacedPixels:
    """Put the pixels of several images together.

    Args:
        images: at least one, all from one model.

    Returns:
        All pixels.
    """
    columns = zip(*((p.features, p.labels, p.y, p.x) for p in images), strict=True)
    return PlacedPixels(*(np.concatenate(column) for column in columns))


def patch_map(
    source: PlacedPixels,
    target: PlacedPixels,
    *,
    rows: int,
    columns: int,
    fewest_px: int = FEWEST_PX,
    **recipe: Any,
) -> PatchMap:
    """Score every patch on its own.

    Args:
        source: labelled source pixels.
        target: labelled target pixels, from the same model.
        rows: R.
        columns: C.
        fewest_px: labelled pixels that a patch needs on both sides.
        **recipe: keywords of `otce.score_pixels`.

    Returns:
        The map.

    Raises:
        DataError: see `otce.score_pixels`.
        TransportError: see `otce.score_pixels`.

    Example:
        >>> column = np.arange(12, dtype=np.float32)[:, None]
        >>> place = (np.arange(12) + 0.5) / 12
        >>> pixels = PlacedPixels(column, np.arange(12) % 2, place * 0 + 0.5, place)
        >>> found = patch_map(pixels, pixels, rows=1, columns=2)
        >>> found.risk_RC.shape, found.mask_RC.tolist()
        ((1, 2), [[True, True]])
    """
    groups = [_by_patch(side, rows, columns) for side in (source, target)]
    values_P2 = np.full((rows * columns, 2), np.nan)
    threads = torch.get_num_threads()
    # On problems of this size threads cost more than they give.
    torch.set_num_threads(1)
    try:
        for patch, (some, others) in enumerate(zip(*groups, strict=True)):
            if min(len(some), len(others)) < fewest_px:
                continue
            score = score_pixels(
                source.features[some],
                source.labels[some],
                target.features[others],
                target.labels[others],
                **recipe,
            )
            if score.degenerate != "target":
                values_P2[patch] = -score.otce, score.normalized
    finally:
        torch.set_num_threads(threads)
    risk_RC, normalized_RC = values_P2.T.reshape(2, rows, columns)
    return PatchMap(risk_RC, normalized_RC, np.isfinite(risk_RC))


def means(risk_HW: NDArray[Any], rows: int, columns: int) -> NDArray[np.float64]:
    """Average a map over patches, to hold it against a patch-wise one.

    Args:
        risk_HW: (H, W) values, NaN where there is none.
        rows: R.
        columns: C.

    Returns:
        (R, C) float64 means, NaN where a patch has no value.

    Example:
        >>> means(np.array([[1.0, 3.0, np.nan, np.nan]]), 1, 2).tolist()
        [[2.0, nan]]
    """
    y_px, x_px = np.nonzero(np.isfinite(risk_HW))
    height, width = risk_HW.shape
    patch = _patch((y_px + 0.5) / height, (x_px + 0.5) / width, rows, columns)
    count = np.bincount(patch, minlength=rows * columns)
    total = np.bincount(patch, risk_HW[y_px, x_px], minlength=rows * columns)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean.reshape(rows, columns)


def _by_patch(pixels: PlacedPixels, rows: int, columns: int) -> list[NDArray[np.intp]]:
    """Positions of the pixels of each patch, row by row."""
    patch = _patch(pixels.y, pixels.x, rows, columns)
    order = np.argsort(patch, kind="stable")
    ends = np.cumsum(np.bincount(patch, minlength=rows * columns))
    return np.split(order, ends[:-1])


def _patch(
    y: NDArray[np.float64], x: NDArray[np.float64], rows: int, columns: int
) -> NDArray[np.intp]:
    return (y * rows).astype(np.intp) * columns + (x * columns).astype(np.intp)
