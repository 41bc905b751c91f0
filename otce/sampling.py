"""Which pixels are looked at: a uniform draw of labelled pixels that depends on its key alone.

Legend: a *rank* is the position of a labelled pixel in the row-major list of all labelled pixels
of a data set, items in order. Drawing ranks before decoding anything twice keeps memory at the N
drawn pixels. Paper: arXiv 2109.15242, N = 10^4 pixels a side, K = 10 repetitions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from otce.errors import DataError


@dataclass(frozen=True)
class Sample:
    """Drawn pixels of one data set, all repetitions, in order of repetition, item and pixel.

    Attributes:
        repetition: (P,) int32, which draw.
        item: (P,) int32, position of the image in the data set.
        y_px: (P,) int32, row in the label mask.
        x_px: (P,) int32, column in the label mask.
        label: (P,) int32, class id.
    """

    repetition: NDArray[np.int32]
    item: NDArray[np.int32]
    y_px: NDArray[np.int32]
    x_px: NDArray[np.int32]
    label: NDArray[np.int32]

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Sample":
        """Keep or reorder pixels.

        Args:
            which: (P,) mask, or positions.

        Returns:
            Those pixels, in that order.
        """
        return Sample(
            self.repetition[which],
            self.item[which],
            self.y_px[which],
            self.x_px[which],
            self.label[which],
        )


def pixels_to_draw(labelled_px: int, pixels: int, *, shrink: bool, where: str) -> int:
    """Decide how many pixels a draw of a data set has.

    Args:
        labelled_px: labelled pixels that the data set has.
        pixels: N asked for.
        shrink: use all pixels when there are fewer than N.
        where: what to call the data set in errors.

    Returns:
        N, or all labelled pixels.

    Raises:
        DataError: no labelled pixels, or fewer than N and not `shrink`.

    Example:
        >>> pixels_to_draw(500, 1000, shrink=True, where="bay")
        500
    """
    if labelled_px == 0:
        raise DataError(f"{where}: every pixel is ignored; check ignore and label_map")
    if labelled_px < pixels and not shrink:
        raise DataError(
            f"{where}: {labelled_px} labelled pixels, fewer than the {pixels} asked for; lower "
            "sampling.pixels, add images, or set sampling.too_few_pixels: shrink"
        )
    return min(pixels, labelled_px)


def draw_ranks(
    labelled_px: int, pixels: int, *, seed: int, dataset_digest: str, repetition: int
) -> NDArray[np.int64]:
    """Draw labelled pixels uniformly without replacement.

    The draw depends on its arguments alone: never on other repetitions, data sets, workers or
    order.

    Args:
        labelled_px: labelled pixels of the data set.
        pixels: how many to draw, at most `labelled_px`.
        seed: root seed of the run.
        dataset_digest: hexadecimal digest of the data set.
        repetition: which draw, from 0.

    Returns:
        (pixels,) int64 ranks, sorted, no two equal.

    Example:
        >>> draw_ranks(10, 4, seed=0, dataset_digest="ab", repetition=0).tolist()
        [1, 3, 7, 8]
    """
    key = np.random.SeedSequence([seed, int(dataset_digest, 16)], spawn_key=(repetition,))
    generator = np.random.Generator(np.random.PCG64(key))
    return np.sort(generator.choice(labelled_px, pixels, replace=False, shuffle=False))


def locate(
    class_ids: NDArray[np.int16], ranks: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Find the drawn pixels of one item.

    Args:
        class_ids: (H, W) class ids, negative where ignored.
        ranks: (n,) ranks among the labelled pixels of this item, from 0.

    Returns:
        Rows, columns and class ids, (n,) int32 each.

    Example:
        >>> import numpy as np
        >>> y, x, label = locate(np.array([[-1, 3], [4, 5]]), np.array([0, 2]))
        >>> y.tolist(), x.tolist(), label.tolist()
        ([0, 1], [1, 1], [3, 5])
    """
    flat = np.flatnonzero(class_ids >= 0)[ranks]
    y_px, x_px = np.divmod(flat, class_ids.shape[1])
    labels = class_ids.reshape(-1)[flat]
    return y_px.astype(np.int32), x_px.astype(np.int32), labels.astype(np.int32)
