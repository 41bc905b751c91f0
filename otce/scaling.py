"""What is done to the features of one draw before distances are taken.

A fixed epsilon means something else for every model while features are raw: costs differ a
hundredfold between models. Scaling makes one epsilon mean the same everywhere.

Legend: `N` source pixels, `M` target pixels, `D` feature dimensions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from otce.errors import TransportError
from otce.recipe import FeatureScaling


@dataclass(frozen=True)
class Scaler:
    """What was done to the features of one draw, to be done to further pixels as well.

    Attributes:
        scaling: how.
        divisors: what each dimension was divided by, one after the other; (D,) float64 each.
        mean_D: (D,) float64, what was then taken off.
    """

    scaling: FeatureScaling
    divisors: tuple[Tensor, ...]
    mean_D: Tensor

    def __call__(self, features_nD: Tensor) -> Tensor:
        """Scale and move further features exactly as those of the draw were.

        Args:
            features_nD: (n, D) float64 features.

        Returns:
            (n, D) float64.

        Raises:
            TransportError: a feature is not finite.
        """
        _refuse_not_finite(features_nD)
        return _shaped(features_nD, self.scaling, self.divisors) - self.mean_D


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
    source_ND, target_MD, _ = scaled(source_ND, target_MD, scaling)
    return source_ND, target_MD


def scaled(
    source_ND: Tensor, target_MD: Tensor, scaling: FeatureScaling
) -> tuple[Tensor, Tensor, Scaler]:
    """Scale the features of one draw as `scale` does, and keep what was done.

    Args:
        source_ND: (N, D) float64 features.
        target_MD: (M, D) float64 features.
        scaling: see `scale`.

    Returns:
        Scaled features of both sides, and what scales further ones alike.

    Raises:
        TransportError: a feature is not finite.

    Example:
        >>> _, _, scaler = scaled(torch.tensor([[0.0]]), torch.tensor([[2.0]]), "standardize")
        >>> float(scaler(torch.tensor([[4.0]])))
        3.0
    """
    both = torch.cat([source_ND, target_MD])
    _refuse_not_finite(both)
    divisors = _divisors(both) if scaling == "standardize" else ()
    both = _shaped(both, scaling, divisors)
    mean_D = both.mean(dim=0)
    both = both - mean_D
    return both[: len(source_ND)], both[len(source_ND) :], Scaler(scaling, divisors, mean_D)


def _refuse_not_finite(features_nD: Tensor) -> None:
    if not bool(features_nD.isfinite().all()):
        bad = int(features_nD.numel() - features_nD.isfinite().sum())
        raise TransportError(
            f"{bad} of {features_nD.numel()} feature values are not finite; check the model's "
            "weights and its preprocessing"
        )


def _shaped(both: Tensor, scaling: FeatureScaling, divisors: tuple[Tensor, ...]) -> Tensor:
    match scaling:
        case "softmax":
            return torch.softmax(both, dim=1)
        case "l2":
            return _unit_length(both)
        case "standardize" | "none":
            for divisor in divisors:
                both = both / divisor
            return both


def _unit_length(both: Tensor) -> Tensor:
    both = both / _largest(both, dim=1)
    length = both.norm(dim=1, keepdim=True)
    return both / torch.where(length > 0, length, 1.0)


def _largest(both: Tensor, dim: int) -> Tensor:
    """Largest magnitude; without it, squares of huge and tiny values stay in range."""
    largest = both.abs().amax(dim=dim, keepdim=True)
    return torch.where(largest > 0, largest, 1.0)


def _divisors(both: Tensor) -> tuple[Tensor, ...]:
    largest = _largest(both, dim=0)
    both = both / largest
    spread = both.amax(dim=0) - both.amin(dim=0)
    # The deviation of a constant is not exactly 0 in floating point; its range is.
    deviation = torch.where(spread > 0, both.std(dim=0, correction=0), 1.0)
    root = both.new_tensor(both.shape[1] ** 0.5)
    return largest, deviation, root
