"""N-LEEP on pixels: LEEP with the clusters of the features in place of source classes.

Li et al., "Ranking Neural Checkpoints", CVPR 2021: principal components that keep 80 % of the
variance, a Gaussian mixture of 5 components a target class, and LEEP of its posteriors. It asks for
features and not for the model's classifier. Convention: nats, at most 0, higher is better.

Legend: `n` target pixels, `m` pixels of the fit, `D` feature dimensions, `P` principal components,
`V` components of the mixture.
"""

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

from otce.scores import checked
from otce.scores.leep import weighted_leep
from otce.scores.pixels import Array

_KEPT_VARIANCE: Final = 0.8
_COMPONENTS_A_CLASS: Final = 5
_FIT_PIXELS: Final = 4000
_STEPS: Final = 50
_ENOUGH_NATS: Final = 1e-3
_FLOOR: Final = 1e-3
_SEED: Final = 0


def nleep(features: Array, labels: Array) -> float:
    """Fit a Gaussian mixture to the features and take LEEP of its posteriors.

    The mixture is diagonal and has 5 components for every class that occurs, at most one a distinct
    pixel. It is fitted to at most 4000 pixels, evenly spaced along the first principal component,
    by at most 50 steps of expectation-maximisation from a k-means++ start with a fixed seed; a
    variance is at least a thousandth of the mean one. So the order of pixels does not matter but
    for rounding, nor does the scale of the features. Where there are hardly more pixels than
    components the clusters tell the label whatever the model is.

    Args:
        features: (n, D) real numbers, of one model.
        labels: (n,) integer labels.

    Returns:
        Nats, at most 0, higher is better; at least minus the entropy of the labels, which is the
        value for constant features.

    Raises:
        DataError: shapes or types that do not fit, features that are not finite.

    Example:
        >>> features = torch.tensor([[0.0], [0.0], [9.0], [9.0]])
        >>> nleep(features, torch.tensor([3, 3, 4, 4])), nleep(features, torch.tensor([3, 4, 3, 4]))
        (0.0, -0.6931...)
    """
    return float(weighted_nleep(features, labels, checked.equal_weights(labels)))


def weighted_nleep(features: Array, labels: Array, weight_n: Tensor) -> Tensor:
    """Take N-LEEP of pixels that count `weight_n`.

    Principal components and mixture are those of equal weights and fixed: weights act in LEEP.

    Args:
        features: (n, D) as in `nleep`.
        labels: (n,) integer labels.
        weight_n: (n,) float64, positive; their common scale changes nothing.

    Returns:
        A float64 scalar that torch can differentiate by the weights.

    Raises:
        DataError: as in `nleep`, or weights that are not positive.

    Example:
        >>> features, weights = torch.tensor([[0.0], [0.0], [9.0]]), torch.tensor([3.0, 1.0, 4.0])
        >>> float(weighted_nleep(features, torch.tensor([3, 4, 4]), weights.double()))
        -0.2811...
    """
    x_nD, index_n = checked.features(features, labels)
    classes = int(index_n.max()) + 1
    x_nP = _principal(x_nD)
    fit_m = _evenly(x_nP[:, 0].argsort(stable=True), _FIT_PIXELS)
    mixture = _fitted(x_nP[fit_m], _COMPONENTS_A_CLASS * classes)
    return weighted_leep(mixture.log_joint(x_nP).softmax(dim=1), index_n, weight_n)


class _Mixture(NamedTuple):
    """A diagonal Gaussian mixture."""

    share_V: Tensor
    mean_VP: Tensor
    variance_VP: Tensor

    def log_joint(self, x_nP: Tensor) -> Tensor:
        """Take log p(x, v) of every pixel and component, (n, V)."""
        precision_VP = 1 / self.variance_VP
        scaled_VP = self.mean_VP * precision_VP
        constant_V = (scaled_VP * self.mean_VP + self.variance_VP.log()).sum(dim=1)
        constant_V = self.share_V.log() - (constant_V + x_nP.shape[1] * math.log(2 * math.pi)) / 2
        products_nV = torch.addmm(constant_V, x_nP, scaled_VP.T)
        return products_nV.addmm_(x_nP.square(), precision_VP.T, alpha=-0.5)


def _principal(x_nD: Tensor) -> Tensor:
    """Project on the fewest principal components that keep 80 % of the variance."""
    x_nD = x_nD - x_nD.mean(dim=0)
    variance_D, basis_DD = torch.linalg.eigh(x_nD.T @ x_nD)
    variance_D, basis_DD = variance_D.flip(0).clamp(min=0), basis_DD.flip(1)
    kept = variance_D.cumsum(0) < _KEPT_VARIANCE * variance_D.sum()
    x_nP = x_nD @ basis_DD[:, : int(kept.sum()) + 1]
    # A component has no sign of its own, and the start of the fit must not depend on a chance one.
    signed_nP: Tensor = x_nP * torch.where(x_nP.pow(3).sum(dim=0) < 0, -1.0, 1.0)
    return signed_nP


def _evenly(order_n: Tensor, most: int) -> Tensor:
    n = len(order_n)
    return order_n[torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).round().long()]


def _fitted(x_mP: Tensor, components: int) -> _Mixture:
    """Fit a mixture by expectation-maximisation."""
    square_mP = x_mP.square()
    mean_variance = float(x_mP.var(dim=0, correction=0).mean())
    floor = _FLOOR * mean_variance if mean_variance > 0 else 1.0
    start_VP = _start(x_mP, components)
    nearest_m = torch.cdist(x_mP, start_VP).argmin(dim=1)
    posterior_mV = torch.nn.functional.one_hot(nearest_m, len(start_VP)).double()
    evidence_nats = -math.inf
    for _ in range(_STEPS):
        mass_V1 = posterior_mV.sum(dim=0)[:, None]
        # A component that has lost its pixels keeps a share of 0.
        per_mass_V1 = torch.where(mass_V1 > 0, 1 / mass_V1, 0.0)
        mean_VP = posterior_mV.T @ x_mP * per_mass_V1
        variance_VP = posterior_mV.T @ square_mP * per_mass_V1 - mean_VP.square()
        mixture = _Mixture(mass_V1[:, 0] / len(x_mP), mean_VP, variance_VP.clamp(min=floor))
        log_mV = mixture.log_joint(x_mP)
        before, evidence_nats = evidence_nats, float(log_mV.logsumexp(dim=1).mean())
        if evidence_nats - before < _ENOUGH_NATS:
            break
        posterior_mV = log_mV.softmax(dim=1)
    return mixture


def _start(x_mP: Tensor, components: int) -> Tensor:
    """Choose distinct pixels far apart (k-means++): as many as components, or as there are."""
    generator = torch.Generator().manual_seed(_SEED)
    draws = torch.rand(components, generator=generator, dtype=torch.float64)
    chosen = [int(draws[0] * len(x_mP))]
    squared_m = (x_mP - x_mP[chosen[0]]).square().sum(dim=1)
    for draw in draws[1:]:
        reach_m = squared_m.cumsum(0)
        if not float(reach_m[-1]) > 0:
            break
        # right=True: never a pixel of distance 0, which has no length on this line.
        found = int(torch.searchsorted(reach_m, draw * reach_m[-1], right=True))
        chosen.append(min(found, len(x_mP) - 1))
        squared_m = torch.minimum(squared_m, (x_mP - x_mP[chosen[-1]]).square().sum(dim=1))
    return x_mP[chosen]
