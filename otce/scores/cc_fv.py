"""CC-FV: are a class's features the same in all images, and do features vary overall?

Yang et al., "Pick the Best Pre-trained Model: Towards Transferability Estimation for Medical Image
Segmentation", MICCAI 2023, for one layer: log(F_v / C_cons). Class consistency C_cons is the mean
Wasserstein distance between Gaussian fits of a class in two images: small is good. Feature variety
F_v is 1 over the hyperspherical energy of the features, which is small where they spread over the
sphere: large is good. Convention: no unit, unbounded, higher is better.

Ours differs in this:
- Gaussians are diagonal. A draw has few pixels of a class in an image, far fewer than dimensions.
- C_cons is in units of the features' total standard deviation, so that a model that doubles its
  features, or repeats them, scores the same.
- The public code adds to the running sum of a class where it should divide it, takes the energy
  itself, of images' mean features, for the variety, so that collapsed features raise the score,
  and does not project features onto the sphere. Here each class is a mean over its pairs of
  images, and classes count alike.

Legend: `n` target pixels, `D` feature dimensions, `G` groups (pixels of one class in one image),
`P` pairs of groups of one class, `q` pixels whose variety is taken.
"""

from typing import Final

import torch
from torch import Tensor

from otce.errors import DataError
from otce.scores import checked
from otce.scores.pixels import Array

_VARIETY_PIXELS: Final = 2000
_PAIRS: Final = 1000
_SMALLEST_DISTANCE: Final = 0.01
"""On the unit sphere, about half a degree: a repeated pixel must not decide the energy."""
_ZERO: Final = 1e-9


def cc_fv(features: Array, labels: Array, images: Array) -> float:
    """Compare how much features vary with how much a class's features change between images.

    Classes that occur in one image only do not count. Of a class in more than 45 images 1000 pairs
    of images are drawn, the same in every call. The energy, with 1 / distance, is that of at most
    2000 pixels, evenly spaced in the order given; a distance below 0.01 counts as 0.01, and a pixel
    whose features are all 0 stays in the centre of the sphere.

    Args:
        features: (n, D) real numbers, of one model.
        labels: (n,) integer labels.
        images: (n,) integer position of each pixel's image.

    Returns:
        log(F_v / C_cons), any real number, higher is better.

    Raises:
        DataError: shapes or types that do not fit, features that are not finite, a single image,
            no class in two images, or classes with the same features in every image.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2], [0.2, 1.0]])
        >>> images = torch.tensor([0, 0, 1, 1])
        >>> cc_fv(features, torch.tensor([3, 4, 3, 4]), images)
        0.3711...
        >>> cc_fv(features, torch.tensor([3, 4, 4, 3]), images)
        -1.4856...
    """
    weight_n = checked.equal_weights(labels)
    return float(weighted_cc_fv(features, labels, images, weight_n))


def weighted_cc_fv(features: Array, labels: Array, images: Array, weight_n: Tensor) -> Tensor:
    """Take CC-FV of pixels that count `weight_n`.

    Weights act on the Gaussian fits, the total deviation and the mean over pairs of pixels of the
    energy; all pairs of images and all classes count alike. The choice of pairs and pixels is
    fixed.

    Args:
        features: (n, D) as in `cc_fv`.
        labels: (n,) integer labels.
        images: (n,) integer position of each pixel's image.
        weight_n: (n,) float64, positive; their common scale changes nothing.

    Returns:
        A float64 scalar that torch can differentiate by the weights.

    Raises:
        DataError: as in `cc_fv`, or weights that are not positive.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2], [0.2, 1.0]])
        >>> labels, images = torch.tensor([3, 4, 3, 4]), torch.tensor([0, 0, 1, 1])
        >>> weights = torch.tensor([3.0, 3.0, 3.0, 3.0]).double()
        >>> float(weighted_cc_fv(features, labels, images, weights))
        0.3711...
    """
    x_nD, index_n = checked.features(features, labels)
    image_n = checked.images_of(images, len(x_nD))
    count_n = checked.counts(weight_n, len(x_nD))
    return (_variety(x_nD, count_n) / _inconsistency(x_nD, index_n, image_n, count_n)).log()


def _variety(x_nD: Tensor, count_n: Tensor) -> Tensor:
    """Take F_v: 1 over the mean of 1 / distance over pairs of pixels on the unit sphere."""
    asked_q = torch.linspace(0, len(x_nD) - 1, min(len(x_nD), _VARIETY_PIXELS), dtype=torch.float64)
    asked_q = asked_q.round().long()
    x_qD = x_nD[asked_q]
    x_qD = x_qD / _or_one(x_qD.abs().amax(dim=1, keepdim=True))
    x_qD = x_qD / _or_one(x_qD.norm(dim=1, keepdim=True))
    energy_qq = 1 / torch.cdist(x_qD, x_qD).clamp(min=_SMALLEST_DISTANCE)
    energy_qq.fill_diagonal_(0)
    count_q = count_n[asked_q]
    return (count_q.sum() ** 2 - count_q.square().sum()) / (count_q @ energy_qq @ count_q)


def _inconsistency(x_nD: Tensor, index_n: Tensor, image_n: Tensor, count_n: Tensor) -> Tensor:
    """Take C_cons: the mean over classes of a class's mean distance between two images."""
    x_nD = x_nD - x_nD[0]
    group_n, class_G = _groups(index_n, image_n)
    # Between diagonal Gaussians the Wasserstein distance is that of means and deviations together.
    fit_GD, _ = _gaussians(x_nD, group_n, count_n)
    pair_2P = [
        torch.nonzero(class_G == c).squeeze(1)[_pairs(int((class_G == c).sum()))]
        for c in class_G.unique()
    ]
    means = [
        _root((fit_GD[one_P] - fit_GD[other_P]).square().sum(dim=1)).mean()
        for one_P, other_P in pair_2P
        if len(one_P)
    ]
    if not means:
        raise DataError(
            f"none of {int(index_n.max()) + 1} classes has pixels in two images; cc_fv compares a "
            "class between images: draw more pixels"
        )
    _, variance_1D = _gaussians(x_nD, torch.zeros_like(group_n), count_n)
    mean, total = torch.stack(means).mean(), _root(variance_1D.sum())
    if not float(mean.detach()) > _ZERO * float(total.detach()):
        raise DataError(
            "every class has the same features in every image, and log(F_v / C_cons) no value; "
            "check that the images differ and that the model's features are not constant"
        )
    return mean / total


def _groups(index_n: Tensor, image_n: Tensor) -> tuple[Tensor, Tensor]:
    """Number the groups of pixels of one class in one image, and name each group's class."""
    images = int(image_n.max()) + 1
    keys, group_n = (index_n * images + image_n).unique(return_inverse=True)
    return group_n, keys // images


def _gaussians(x_nD: Tensor, group_n: Tensor, count_n: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a diagonal Gaussian to each group: (G, 2 D) means and deviations, (G, D) variances."""
    groups = int(group_n.max()) + 1
    mass_G1 = torch.zeros(groups, 1, dtype=torch.float64)
    mass_G1 = mass_G1.index_add(0, group_n, count_n[:, None])
    zeros_GD = torch.zeros(groups, x_nD.shape[1], dtype=torch.float64)
    share_n1 = count_n[:, None] / mass_G1[group_n]
    mean_GD = zeros_GD.index_add(0, group_n, share_n1 * x_nD)
    apart_nD = (x_nD - mean_GD[group_n]).square()
    variance_GD = zeros_GD.index_add(0, group_n, share_n1 * apart_nD)
    return torch.cat([mean_GD, _root(variance_GD)], dim=1), variance_GD


def _pairs(images: int) -> Tensor:
    """Pair images: (2, P) positions of all pairs, or of so many drawn ones."""
    if images * (images - 1) // 2 <= _PAIRS:
        return torch.triu_indices(images, images, offset=1)
    generator = torch.Generator().manual_seed(0)
    one_P = torch.randint(images, (_PAIRS,), generator=generator)
    step_P = torch.randint(1, images, (_PAIRS,), generator=generator)
    return torch.stack([one_P, (one_P + step_P) % images])


def _root(squares: Tensor) -> Tensor:
    """Take the square root; its derivative at 0 is 0 here, where weights change nothing."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)


def _or_one(lengths: Tensor) -> Tensor:
    return torch.where(lengths > 0, lengths, 1.0)
