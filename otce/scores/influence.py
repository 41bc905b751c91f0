"""How much every pixel of a draw moves a score: what intervals over images rest on.

A score is a function of pixel weights. Its influence at a pixel is the derivative of the score by
the logarithm of the pixel's weight: if pixel j counted (1 + d) times, the score would move by
d * influence_j to first order. Weights that only change together change no score, so influences of
a side sum to 0. Summed over the pixels of an image they say what one more such image would change
(the infinitesimal jackknife; Efron, "The Jackknife, the Bootstrap and Other Resampling Plans",
1982, chapter 6).

Legend: `N` source pixels, `M` target pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Measured:
    """A score and its influences.

    Attributes:
        value: the score, higher is better.
        target_influence: (M,) float64, in units of the score, sums to 0.
        source_influence: (N,) float64, sums to 0; None for scores that see no source pixels.
    """

    value: float
    target_influence: NDArray[np.float64]
    source_influence: NDArray[np.float64] | None = None


def measured(weighted: Callable[[Tensor], Tensor], pixels: int) -> Measured:
    """Take a score of target pixels and its influences by differentiating it.

    Args:
        weighted: gives the score of (M,) float64 weights, which sum to 1 and are positive, as a
            scalar that torch can differentiate; scaling all weights must not change it.
        pixels: M.

    Returns:
        The score at equal weights.

    Example:
        >>> labels = torch.tensor([0.0, 0.0, 1.0, 3.0], dtype=torch.float64)
        >>> mean = measured(lambda weight_M: weight_M @ labels / weight_M.sum(), 4)
        >>> mean.value, mean.target_influence.tolist()
        (1.0, [-0.25, -0.25, 0.0, 0.5])
    """
    weight_M = torch.full((pixels,), 1 / pixels, dtype=torch.float64, requires_grad=True)
    value = weighted(weight_M)
    (gradient_M,) = torch.autograd.grad(value, weight_M)
    influence_M = (gradient_M - gradient_M.mean()) / pixels
    return Measured(float(value.detach()), influence_M.numpy())


def image_sums(
    influence: NDArray[np.float64], items: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Sum influences over the pixels of each image.

    Args:
        influence: (n,) influences of pixels.
        items: (n,) position of each pixel's image in its data set.

    Returns:
        Positions of the images that have pixels, ascending, and their influences.

    Example:
        >>> images, sums = image_sums(np.array([0.5, -1.0, 0.5]), np.array([7, 3, 7]))
        >>> images.tolist(), sums.tolist()
        ([3, 7], [-1.0, 1.0])
    """
    images, index = np.unique(items, return_inverse=True)
    sums = np.zeros(len(images))
    np.add.at(sums, index, influence)
    return images.astype(np.int32), sums
