"""kNN on pixels: how often a pixel's nearest neighbours in other images have its label.

Leave-one-image-out k-nearest-neighbour accuracy, the simplest of the scores compared in arXiv
2503.18528. Pixels of one image resemble each other whatever the model, so that neighbours from the
pixel's own image would flatter every model: they are left out. Convention: in [0, 1], higher is
better.

Legend: `n` target pixels, `D` feature dimensions, `C` classes that occur, `q` queried pixels, `k`
neighbours.
"""

from typing import Final

import torch
from torch import Tensor

from otce.errors import DataError
from otce.scores import checked
from otce.scores.pixels import Array

_QUERIES: Final = 2000
_TILE: Final = 500
_ROUNDING: Final = 1e-6
"""Of float32 products, relative to squares; smaller differences of distance are none."""


def knn(features: Array, labels: Array, images: Array, *, neighbours: int = 10) -> float:
    """Take the share of pixels whose nearest neighbours in other images vote for their label.

    Distances are Euclidean between features whose dimensions are each divided by their standard
    deviation, so that the score does not depend on the units of a model. Accuracy is plain, as in
    the paper: every pixel counts alike and frequent classes count more. Of a tied vote a pixel gets
    its share, 1 / tied classes; neighbours at exactly the same distance share the votes that are
    left. So neither the order of pixels nor the names of classes matter.

    At most 2000 pixels are asked, evenly spaced in the order given; all are neighbours.

    Args:
        features: (n, D) real numbers, of one model.
        labels: (n,) integer labels.
        images: (n,) integer position of each pixel's image.
        neighbours: k, at least 1; fewer where other images have fewer pixels.

    Returns:
        Accuracy in [0, 1], higher is better.

    Raises:
        DataError: shapes or types that do not fit, features that are not finite, a single image.

    Example:
        >>> features = torch.tensor([[0.0], [5.0], [0.1], [5.1], [0.3]])
        >>> knn(features, torch.tensor([3, 4, 3, 4, 4]), torch.tensor([0, 0, 1, 1, 2]),
        ...     neighbours=1)
        0.8
    """
    weight_n = checked.equal_weights(labels)
    return float(weighted_knn(features, labels, images, weight_n, neighbours=neighbours))


def weighted_knn(
    features: Array, labels: Array, images: Array, weight_n: Tensor, *, neighbours: int = 10
) -> Tensor:
    """Take kNN accuracy over pixels that count `weight_n`.

    Weights say how much each asked pixel's success counts. Scaling, neighbours and votes are those
    of equal weights and fixed: pixels that are not asked have no influence, and an image's
    influence is that of its pixels as questions and not as answers.

    Args:
        features: (n, D) as in `knn`.
        labels: (n,) integer labels.
        images: (n,) integer position of each pixel's image.
        weight_n: (n,) float64, positive; their common scale changes nothing.
        neighbours: k, at least 1.

    Returns:
        A float64 scalar that torch can differentiate by the weights.

    Raises:
        DataError: as in `knn`, or weights that are not positive.

    Example:
        >>> features = torch.tensor([[0.0], [5.0], [0.1], [5.1], [0.3]])
        >>> labels, images = torch.tensor([3, 4, 3, 4, 4]), torch.tensor([0, 0, 1, 1, 2])
        >>> weights = torch.tensor([1.0, 1.0, 1.0, 1.0, 4.0]).double()
        >>> float(weighted_knn(features, labels, images, weights, neighbours=1))
        0.5
    """
    if neighbours < 1:
        raise DataError(f"{neighbours} neighbours; ask for at least 1")
    x_nD, index_n = checked.features(features, labels)
    image_n = checked.images_of(images, len(x_nD))
    count_n = checked.counts(weight_n, len(x_nD))
    x_nD = _standardized(x_nD).float()
    onehot_nC = torch.nn.functional.one_hot(index_n).float()
    asked_q = torch.linspace(0, len(x_nD) - 1, min(len(x_nD), _QUERIES), dtype=torch.float64)
    asked_q = asked_q.round().long()
    success_q = torch.cat(
        [_success(x_nD, onehot_nC, image_n, tile, neighbours) for tile in asked_q.split(_TILE)]
    )
    return count_n[asked_q] @ success_q / count_n[asked_q].sum()


def _success(
    x_nD: Tensor, onehot_nC: Tensor, image_n: Tensor, asked_q: Tensor, neighbours: int
) -> Tensor:
    """Give each asked pixel 1, or its share of a tied vote, where its own label wins; else 0."""
    # The order of nearness is that of x.y - |y|^2 / 2: |x|^2 is the same for all neighbours.
    near_qn = torch.addmm(-x_nD.square().sum(dim=1) / 2, x_nD[asked_q], x_nD.T)
    near_qn.masked_fill_(image_n[asked_q, None] == image_n, -torch.inf)
    top = near_qn.topk(min(neighbours + 1, len(x_nD)), dim=1)
    votes_qC = _votes(top.values, onehot_nC[top.indices], neighbours)
    # Where the last neighbour is as near as the next one, which of them is found means nothing.
    if len(x_nD) > neighbours:
        last_q1, next_q1 = top.values[:, neighbours - 1 :].split(1, dim=1)
        rounding_q1 = _ROUNDING * (x_nD[asked_q].square().sum(dim=1, keepdim=True) - last_q1)
        tied_q = ((last_q1 > -torch.inf) & (next_q1 >= last_q1 - rounding_q1)).squeeze(1)
        votes_qC[tied_q] = _shared_votes(
            near_qn[tied_q], last_q1[tied_q], rounding_q1[tied_q], onehot_nC, neighbours
        )
    most_q1 = votes_qC.amax(dim=1, keepdim=True)
    # Shared votes are fractions in float32.
    wins_qC = (votes_qC > most_q1 * (1 - 1e-5)).double()
    return (wins_qC * onehot_nC[asked_q]).sum(dim=1) / wins_qC.sum(dim=1)


def _votes(near_qk: Tensor, onehot_qkC: Tensor, neighbours: int) -> Tensor:
    """Count the labels of the nearest pixels of other images."""
    counts_qk = (near_qk > -torch.inf).float()
    counts_qk[:, neighbours:] = 0
    return torch.einsum("qk,qkc->qc", counts_qk, onehot_qkC)


def _shared_votes(
    near_qn: Tensor, last_q1: Tensor, rounding_q1: Tensor, onehot_nC: Tensor, neighbours: int
) -> Tensor:
    """Count labels where pixels as near as the last neighbour share the votes left for them."""
    nearer_qn = (near_qn > last_q1 + rounding_q1).float()
    level_qn = (near_qn >= last_q1 - rounding_q1).float() - nearer_qn
    left_q1 = neighbours - nearer_qn.sum(dim=1, keepdim=True)
    share_q1 = left_q1 / level_qn.sum(dim=1, keepdim=True)
    return nearer_qn @ onehot_nC + share_q1 * (level_qn @ onehot_nC)


def _standardized(x_nD: Tensor) -> Tensor:
    """Divide each dimension by its standard deviation; constant ones become exactly 0."""
    x_nD = x_nD - x_nD[0]
    x_nD = x_nD - x_nD.mean(dim=0)
    deviation_D = x_nD.std(dim=0, correction=0)
    return x_nD / torch.where(deviation_D > 0, deviation_D, 1.0)
