"""H-scores of pixels of which only sums are kept; `otce.scores.h_score` says what they are.

Legend: `D` feature dimensions, `T` target classes, `S` covariance, `d` mean of a class less that of
all pixels.
"""

from typing import Final

import torch
from torch import Tensor

from otce.scores.h_score import solved
from otce.scores.moments import SUMMED_PX, Moments, occurring

_ROUNDING: Final = 1e-24
"""Variance, relative to the squared mean, up to which a dimension is a constant."""


def h_score_of_moments(moments: Moments) -> float:
    """Take the H-score of pixels of which only sums are kept.

    Args:
        moments: of at least two classes.

    Returns:
        What `otce.scores.h_score` gives of the same pixels.

    Raises:
        DataError: see `otce.scores.moments.occurring`.

    Example:
        >>> import numpy as np
        >>> from otce.scores.moments import pixels_moments
        >>> pixels = np.array([[1.0], [0.9], [-1.0], [-0.8]]), np.array([0, 0, 1, 1])
        >>> h_score_of_moments(pixels_moments(*pixels, 2))
        0.99...
    """
    known = occurring(moments)
    covariance_DD, means_TD, share_T = _scaled(known, _deviations(known))
    return float(_between(covariance_DD, means_TD, share_T))


def h_score_shrunk_of_moments(moments: Moments) -> float:
    """Take the H-score of a shrunk covariance, of pixels of which only sums are kept.

    Args:
        moments: of at least two classes.

    Returns:
        What `otce.scores.h_score_shrunk` gives of the same pixels.

    Raises:
        DataError: see `otce.scores.moments.occurring`.

    Example:
        >>> import numpy as np
        >>> from otce.scores.moments import pixels_moments
        >>> pixels = np.array([[1.0, 0.0], [0.9, 0.2], [-1.0, 0.1], [-0.8, 0.0]])
        >>> h_score_shrunk_of_moments(pixels_moments(pixels, np.array([0, 0, 1, 1]), 2))
        0.98...
    """
    known = occurring(moments)
    scale = _deviations(known).max()
    covariance_DD, means_TD, share_T = _scaled(known, scale.expand(len(known.mean_D)))
    n_dims = len(covariance_DD)
    variance = covariance_DD.trace() / n_dims
    identity_DD = torch.eye(n_dims, dtype=torch.float64)
    distance = (covariance_DD - variance * identity_DD).square().sum()
    fourth = known.quartic / known.n_pixels / scale**4
    noise = (fourth - distance - n_dims * variance.square()) / known.n_pixels
    if n_dims == 1 or not noise > 0:
        return float(_between(covariance_DD, means_TD, share_T))
    if noise >= distance:
        return 0.0
    share = noise / distance
    shrunk_DD = (1 - share) * covariance_DD + share * variance * identity_DD
    return float((1 - share) * _between(shrunk_DD, means_TD, share_T))


def _deviations(moments: Moments) -> Tensor:
    """Give (D,) standard deviations, 1 where a dimension is constant."""
    variance_D = torch.from_numpy(moments.scatter_DD).diagonal() / moments.n_pixels
    constant_D = variance_D <= _ROUNDING * torch.from_numpy(moments.mean_D).square()
    return torch.where(constant_D, 1.0, variance_D.clamp(min=0).sqrt())


def _scaled(moments: Moments, scale_D: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give the covariance and the class means of divided features, and the share of each class."""
    count_T = torch.from_numpy(moments.count_T)
    covariance_DD = torch.from_numpy(moments.scatter_DD) / moments.n_pixels
    means_TD = torch.from_numpy(moments.sums_TD) / count_T[:, None]
    divided_DD = covariance_DD / torch.outer(scale_D, scale_D)
    return divided_DD, means_TD / scale_D, count_T / moments.n_pixels


def _between(covariance_DD: Tensor, means_TD: Tensor, share_T: Tensor) -> Tensor:
    """Add up share d' S^-1 d over the classes."""
    v_DT = solved(covariance_DD, means_TD.T, SUMMED_PX)
    return share_T @ (means_TD.T * v_DT).sum(dim=0)
