"""Which drawn pixels lie near another label: computed at drawn pixels, from their mask."""

from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RADIUS_PX: Final = 2


def near_boundary(
    class_ids: NDArray[Any],
    y_px: NDArray[Any],
    x_px: NDArray[Any],
    *,
    radius_px: int = RADIUS_PX,
) -> NDArray[np.bool_]:
    """Say which pixels have a pixel of another class at most so many pixels away.

    Distance is counted in steps to one of the 8 neighbours, so the pixels looked at are a square of
    2 * radius_px + 1. Ignored pixels have no label, so they are no other class; neither is what
    lies beyond the image.

    Args:
        class_ids: (H, W) class ids, negative where ignored.
        y_px: (n,) rows of labelled pixels.
        x_px: (n,) columns.
        radius_px: how far to look, at least 1.

    Returns:
        (n,) True at boundaries.

    Example:
        >>> mask = np.array([[1, 1, 1, 2, -1, 1]])
        >>> near_boundary(mask, np.zeros(6, int), np.arange(6), radius_px=1).tolist()
        [False, False, True, True, False, False]
    """
    label = class_ids[y_px, x_px]
    found: NDArray[np.bool_] = np.zeros(len(label), np.bool_)
    steps = range(-radius_px, radius_px + 1)
    bottom, right = class_ids.shape[0] - 1, class_ids.shape[1] - 1
    for dy, dx in product(steps, steps):
        # Beyond the image the nearest pixel inside stands, which is in the square as well.
        other = class_ids[np.clip(y_px + dy, 0, bottom), np.clip(x_px + dx, 0, right)]
        found |= (other >= 0) & (other != label)
    found &= label >= 0
    return found
