"""Sums over every labelled pixel of an image, without its features at any of them.

A feature is read off a map by bilinear interpolation, so the features of all n pixels are W M: a
sparse matrix of four weights a pixel times the map. Their sums need no n x D numbers: sum x x' is
M' (W' W) M with W' W of nine entries a cell, class sums are (Y' W) M, and |x|^2 comes from products
of neighbouring cells. So the work grows with the cells of the map: at stride 8 one image of 720 x
960 pixels costs what 10 800 pixels cost.

Legend: `D` feature dimensions, `H, W` label size, `h, w` map size, `c` cells of the map, `n`
labelled pixels, `T` target classes, `Z` classes of the model's classifier.
"""

from typing import Final

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from torch import Tensor

from otce.features import features_at, neighbours
from otce.scores.moments import Moments

_AT_ONCE: Final = 1 << 16
"""Pixels whose logits are held together."""
_Corners = tuple[NDArray[np.int64], NDArray[np.float64]]


def map_moments(map_Dhw: Tensor, class_ids: NDArray[np.int16], n_classes: int) -> Moments | None:
    """Sum over the features at all labelled pixels of an image.

    Args:
        map_Dhw: (D, h, w) its feature map, finite.
        class_ids: (H, W) its label, negative where ignored.
        n_classes: T of its data set.

    Returns:
        What `otce.scores.moments.pixels_moments` gives of `otce.features.features_at` at these
        pixels; None where no pixel is labelled.

    Example:
        >>> import torch
        >>> labels = np.array([[0, 1, -1, 1]], np.int16)
        >>> map_moments(torch.arange(2.0).view(1, 1, 2), labels, 2).mean_D.round(3).tolist()
        [0.417]
    """
    labels_n = class_ids[class_ids >= 0]
    n_pixels = labels_n.size
    if not n_pixels:
        return None
    map_cD = np.array(map_Dhw.flatten(1).T.cpu().numpy(), np.float64, order="C")
    cells_n4, weights_n4 = _corners(class_ids, (map_Dhw.shape[1], map_Dhw.shape[2]))
    rows_n4 = np.repeat(np.arange(n_pixels), 4).reshape(-1, 4)
    at = (rows_n4.ravel(), cells_n4.ravel())
    weights_nc = scipy.sparse.csr_array((weights_n4.ravel(), at), shape=(n_pixels, len(map_cD)))
    mean_D = (weights_nc.sum(axis=0) / n_pixels) @ map_cD
    map_cD -= mean_D
    squared_n = _squared(map_cD, map_Dhw.shape[2], cells_n4, weights_n4)
    classes_Tn = scipy.sparse.csr_array(
        (np.ones(n_pixels), (labels_n, np.arange(n_pixels))), shape=(n_classes, n_pixels)
    )
    return Moments(
        n_pixels=float(n_pixels),
        mean_D=mean_D,
        scatter_DD=_symmetric(map_cD.T @ np.asarray((weights_nc.T @ weights_nc) @ map_cD)),
        cubic_D=np.asarray(squared_n @ weights_nc) @ map_cD,
        quartic=float(squared_n @ squared_n),
        count_T=np.bincount(labels_n, minlength=n_classes).astype(np.float64),
        sums_TD=np.asarray((classes_Tn @ weights_nc) @ map_cD),
    )


def _symmetric(matrix_DD: NDArray[np.float64]) -> NDArray[np.float64]:
    symmetric_DD: NDArray[np.float64] = (matrix_DD + matrix_DD.T) / 2
    return symmetric_DD


def _corners(class_ids: NDArray[np.int16], map_px: tuple[int, int]) -> _Corners:
    """Find the four cells around every labelled pixel, and their weights."""
    low_H, high_H, part_H = neighbours(np.arange(class_ids.shape[0]), class_ids.shape[0], map_px[0])
    low_W, high_W, part_W = neighbours(np.arange(class_ids.shape[1]), class_ids.shape[1], map_px[1])
    y_n, x_n = np.nonzero(class_ids >= 0)
    top_n, bottom_n = low_H[y_n] * map_px[1], high_H[y_n] * map_px[1]
    left_n, right_n, v_n, u_n = low_W[x_n], high_W[x_n], part_H[y_n], part_W[x_n]
    cells_n4 = np.stack([top_n + left_n, top_n + right_n, bottom_n + left_n, bottom_n + right_n], 1)
    weights_n4 = np.stack([(1 - v_n) * (1 - u_n), (1 - v_n) * u_n, v_n * (1 - u_n), v_n * u_n], 1)
    return cells_n4, weights_n4


def _squared(
    map_cD: NDArray[np.float64],
    width: int,
    cells_n4: NDArray[np.int64],
    weights_n4: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Take |x|^2 at every pixel, from products of each cell with itself and its neighbours."""

    def beside(step: int) -> NDArray[np.float64]:
        # Where there is no such neighbour the weight is 0.
        products_c, count = np.zeros(len(map_cD)), max(len(map_cD) - step, 0)
        products_c[:count] = np.einsum("cd,cd->c", map_cD[:count], map_cD[step:])
        return products_c

    own_c, right_c, down_c, across_c = beside(0), beside(1), beside(width), beside(width + 1)
    back_c = beside(width - 1)
    a_n, b_n, c_n, d_n = cells_n4.T
    p_n, q_n, r_n, s_n = weights_n4.T
    squares_n = p_n**2 * own_c[a_n] + q_n**2 * own_c[b_n] + r_n**2 * own_c[c_n]
    pairs_n = p_n * q_n * right_c[a_n] + r_n * s_n * right_c[c_n]
    pairs_n += p_n * r_n * down_c[a_n] + q_n * s_n * down_c[b_n]
    pairs_n += p_n * s_n * across_c[a_n] + q_n * r_n * back_c[b_n]
    total_n: NDArray[np.float64] = squares_n + s_n**2 * own_c[d_n] + 2 * pairs_n
    return total_n.clip(min=0)


def map_confusion(
    logits_Zhw: Tensor, class_ids: NDArray[np.int16], n_classes: int
) -> NDArray[np.int64]:
    """Count what a model predicts at all labelled pixels of an image.

    Args:
        logits_Zhw: (Z, h, w) its logits, finite.
        class_ids: (H, W) its label, negative where ignored.
        n_classes: T of its data set.

    Returns:
        (T, Z) pixels of each class that are predicted as each source class, by
        `otce.features.features_at`; of equal logits the first class counts.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]]])
        >>> map_confusion(logits, np.array([[0, 1, -1, 1]], np.int16), 2).tolist()
        [[0, 1], [1, 1]]
    """
    y_n, x_n = np.nonzero(class_ids >= 0)
    n_source = logits_Zhw.shape[0]
    count = np.zeros(n_classes * n_source, np.int64)
    for start in range(0, len(y_n), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        at_px = y_n[some].astype(np.int32), x_n[some].astype(np.int32)
        logits_nZ = features_at(logits_Zhw, *at_px, class_ids.shape).cpu().numpy()
        place_n = class_ids[at_px].astype(np.int64) * n_source + logits_nZ.argmax(axis=1)
        count += np.bincount(place_n, minlength=len(count))
    return count.reshape(n_classes, n_source)
