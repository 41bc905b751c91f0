"""The drawn pixels of one side of a repetition, as every score sees them.

Legend: `n` pixels, `D` feature dimensions, `Z` classes of the model's own classifier.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Draw(NamedTuple):
    """Features of drawn pixels, in order of images and pixels."""

    features: NDArray[np.float32]
    """(n, D) at the tap."""
    labels: NDArray[np.int32]
    """(n,) class ids."""
    items: NDArray[np.int32]
    """(n,) position of each pixel's image in its data set."""
    logits: NDArray[np.float32] | None = None
    """(n, Z) what the model predicts there; None where nobody asked for it."""
    boundary: NDArray[np.bool_] | None = None
    """(n,) whether another class is near; None where it is not known."""


def joined(parts: Sequence[Draw]) -> Draw:
    """Put the parts of a draw together again.

    Args:
        parts: of consecutive images, at least one; all with logits, or none.

    Returns:
        The whole draw.

    Example:
        >>> part = Draw(np.ones((2, 1), np.float32), np.zeros(2, np.int32), np.zeros(2, np.int32))
        >>> joined([part, part]).features.shape
        (4, 1)
    """

    def whole(column: Sequence[Any]) -> Any:
        return None if column[0] is None else np.concatenate(column)

    return Draw(*map(whole, zip(*parts, strict=True)))
