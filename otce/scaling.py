"""What is done to the features of one draw before distances are taken.

A fixed epsilon means something else for every model while features are raw: costs differ a
hundredfold between models. Scaling makes one epsilon mean the same everywhere.

Legend: `N` source pixels, `M` target pixels, `D` feature dimensions.
"""

import torch
from torch import Tensor

from otce.errors import TransportError
from otce.recipe import FeatureScaling


def scale(source_ND: Tensor, target_MD: Tensor, scaling: FeatureScaling) -> tuple[Tensor, Tensor]:
    """Scale and centre the features of one draw, both sides together.

    Args:
        source_ND: (N, D) float64 features.
        target_MD: (M, D) float64 features.
        scaling: `standardize` divides each dimension by its standard deviation (ddof 0) over both
            sides, leaves constant dimensions alone, and by sqrt(D), so that the squared distance
            is a mean over dimensions; `softmax` and `l2` act on each pixel; `none` is the paper's.

    Returns:
        Scaled features of both sides, moved together so that their mean is 0.

    Raises:
        TransportError: a feature is not finite.

    Example:
        >>> one, other = scale(torch.tensor([[1.0]]), torch.tensor([[3.0]]), "standardize")
        >>> float(one), float(other)
        (-1.0, 1.0)
    """
    both = torch.cat([source_ND, target_MD])
    if not bool(both.isfinite().all()):
        bad = int(both.numel() - both.isfinite().sum())
        raise TransportError(
            f"{bad} of {both.numel()} feature values are not finite; check the model's weights and "
            "its preprocessing"
        )
    match scaling:
        case "softmax":
            both = torch.softmax(both, dim=1)
        case "l2":
            both = _unit_length(both)
        case "standardize":
            both = _standardized(both)
        case "none":
            pass
    both = both - both.mean(dim=0)
    return both[: len(source_ND)], both[len(source_ND) :]


def _unit_length(both: Tensor) -> Tensor:
    both = _in_range(both, dim=1)
    length = both.norm(dim=1, keepdim=True)
    return both / torch.where(length > 0, length, 1.0)


def _in_range(both: Tensor, dim: int) -> Tensor:
    """Take out the largest magnitude, so that squares of huge and tiny values stay in range."""
    largest = both.abs().amax(dim=dim, keepdim=True)
    return both / torch.where(largest > 0, largest, 1.0)


def _standardized(both: Tensor) -> Tensor:
    both = _in_range(both, dim=0)
    spread = both.amax(dim=0) - both.amin(dim=0)
    # The deviation of a constant is not exactly 0 in floating point; its range is.
    deviation = torch.where(spread > 0, both.std(dim=0, correction=0), 1.0)
    scaled: Tensor = both / deviation / both.shape[1] ** 0.5
    return scaled
