"""Which pixels are looked at: a uniform draw of labelled pixels that depends on its key alone.

Legend: a *rank* is the position of a labelled pixel in the row-major list of all labelled pixels
of a data set, items in order. Drawing ranks before decoding anything twice keeps memory at the N
drawn pixels. Paper: arXiv 2109.15242, N = 10^4 pixels a side, K = 10 repetitions.

A repetition over all images needs nearly all of them. The heats of a race draw from fewer: each
repetition from images of its own, so that their differences show what the choice of images does to
a score, and the first of them together from the first images of one order. What is lost: scores
over few images vary more, and those over other images are other scores. They are compared with each
other only, between models that see the same images.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from otce.errors import DataError
from otce.fingerprint import canonical_json, digest

FEWEST_IMAGES: Final = 16
"""Images that a repetition of fewer images has at least, where the data set has as many."""


@dataclass(frozen=True)
class Sample:
    """Drawn pixels of one data set, all repetitions, in order of repetition, item and pixel.

    Attributes:
        repetition: (P,) int32, which draw.
        item: (P,) int32, position of the image in the data set.
        y_px: (P,) int32, row in the label mask.
        x_px: (P,) int32, column in the label mask.
        label: (P,) int32, class id.
        boundary: (P,) bool, whether another class is near (`otce.boundary.near_boundary`).
    """

    repetition: NDArray[np.int32]
    item: NDArray[np.int32]
    y_px: NDArray[np.int32]
    x_px: NDArray[np.int32]
    label: NDArray[np.int32]
    boundary: NDArray[np.bool_]

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
            self.boundary[which],
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


def draw_images(
    labelled_px: NDArray[np.int64],
    share: float,
    *,
    seed: int,
    dataset_digest: str,
    repetition: int,
) -> NDArray[np.int64]:
    """Choose the images that a repetition over fewer images draws its pixels from.

    The images with a labelled pixel are put in an order that depends on the seed and the data set.
    The first repetition has the first images of that order, the next one those after them, and so
    on, beginning anew at the end; r repetitions need the first r shares. The first repetition of a
    smaller share has part of the images that the first of a larger share has.

    Args:
        labelled_px: (all items,) labelled pixels of every item of the data set.
        share: of the images, above 0, at most 1; at least `FEWEST_IMAGES` are taken.
        seed: root seed of the run.
        dataset_digest: hexadecimal digest of the data set.
        repetition: which draw, from 0.

    Returns:
        Positions of the items, ascending.

    Example:
        >>> labelled_px = np.full(100, 50)
        >>> key = {"seed": 0, "dataset_digest": "ab"}
        >>> first = draw_images(labelled_px, 0.2, repetition=0, **key)
        >>> other = draw_images(labelled_px, 0.2, repetition=1, **key)
        >>> len(first), len(np.intersect1d(first, other))
        (20, 0)
    """
    usable = np.flatnonzero(labelled_px)
    # Draws of pixels have keys of one number.
    key = np.random.SeedSequence([seed, int(dataset_digest, 16)], spawn_key=(0, 0))
    order = np.random.Generator(np.random.PCG64(key)).permutation(usable)
    count = min(max(ceil(share * len(usable)), FEWEST_IMAGES), len(usable))
    return np.sort(np.take(order, np.arange(count) + repetition * count, mode="wrap"))


def digest_over_images(dataset_digest: str, share: float) -> str:
    """Name a data set of which every repetition sees a share of the images, as key of its draws.

    Args:
        dataset_digest: hexadecimal digest of the data set.
        share: of the images.

    Returns:
        64 hexadecimal digits; never the digest of a data set, so that draws over a share are
        independent of those over all images.

    Example:
        >>> digest_over_images("ab", 0.2) == digest_over_images("ab", 0.3)
        False
    """
    return digest(canonical_json({"dataset": dataset_digest, "images": float(share)}).encode())


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
