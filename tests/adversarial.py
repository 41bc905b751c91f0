"""Transport problems that are hard on purpose, drawn from a seed; see `tests/otce/transport`."""

from dataclasses import dataclass

import numpy as np
import torch

KINDS = (
    "gauss",
    "repeated",
    "lattice",
    "outlier",
    "heavy",
    "groups",
    "constant",
    "huge or tiny",
    "a thin line",
)


@dataclass(frozen=True)
class Problem:
    """Both sides of a transport problem with weights, classes and a regularisation."""

    kind: str
    source_ND: torch.Tensor
    target_MD: torch.Tensor
    a_N: torch.Tensor
    b_M: torch.Tensor
    onehot_NS: torch.Tensor
    onehot_MT: torch.Tensor
    epsilon: float

    @property
    def arguments(self):
        return self.source_ND, self.target_MD, self.a_N, self.b_M, self.onehot_NS

    def entropy(self, mass_SM):
        """H(Y_t | Y_s) of a coupling, in nats."""
        joint_ST = mass_SM @ self.onehot_MT
        joint_ST = joint_ST / joint_ST.sum()
        rows_ST = joint_ST.sum(1, keepdim=True).expand_as(joint_ST)
        return float((torch.xlogy(joint_ST, rows_ST) - torch.xlogy(joint_ST, joint_ST)).sum())


def adversarial(seed, *, most=150, kind=None):
    """Up to `most` pixels a side; mean costs of 1 to 10 000 epsilons, weights up to 1 : 10 000."""
    generator = np.random.default_rng(seed)
    n, m = (int(count) for count in generator.integers(1, most, 2))
    dim = int(generator.choice([1, 2, 3, 19, 64]))
    kind = kind or str(generator.choice(KINDS))
    classes = int(generator.integers(1, 6))
    means = generator.normal(size=(classes, dim)) * generator.choice([0, 1, 3, 10])
    source_y, target_y = generator.integers(0, classes, n), generator.integers(0, classes, m)
    x_ND = means[source_y] + generator.normal(size=(n, dim))
    y_MD = means[target_y] + generator.normal(size=(m, dim))
    x_ND, y_MD = _twisted(kind, generator, x_ND, y_MD, means[source_y], means[target_y])
    both = np.concatenate([x_ND, y_MD])
    sides = [torch.from_numpy(side - both.mean(0)) for side in (x_ND, y_MD)]
    mean_cost = float(torch.cdist(*sides).square().mean()) or 1.0
    weights = [torch.from_numpy(generator.random(count) ** 3 + 1e-4) for count in (n, m)]
    onehots = [
        torch.nn.functional.one_hot(torch.from_numpy(labels), classes).double()
        for labels in (source_y, target_y)
    ]
    return Problem(
        kind,
        *sides,
        *(weight / weight.sum() for weight in weights),
        *onehots,
        epsilon=mean_cost / 10 ** generator.uniform(0, 4),
    )


def _twisted(kind, generator, x_ND, y_MD, source_means, target_means):
    n, dim = x_ND.shape
    match kind:
        case "repeated":
            x_ND = x_ND[generator.integers(0, max(1, n // 8), n)]
            is_same = generator.random((len(y_MD), 1)) < 0.5
            y_MD = np.where(is_same, x_ND[generator.integers(0, n, len(y_MD))], y_MD)
        case "lattice":
            x_ND, y_MD = np.round(x_ND), np.round(y_MD)
        case "outlier":
            x_ND[0] += 10 ** generator.uniform(0, 6)
        case "heavy":
            x_ND = x_ND * np.exp(2 * generator.normal(size=(n, 1)))
            y_MD = y_MD * np.exp(2 * generator.normal(size=(len(y_MD), 1)))
        case "groups":
            x_ND, y_MD = 50 * source_means + x_ND / 100, 50 * target_means + y_MD / 100
        case "constant":
            x_ND[:, : dim // 2 + 1] = y_MD[:, : dim // 2 + 1] = 0
        case "huge or tiny":
            size = 10 ** generator.uniform(-20, 20)
            x_ND, y_MD = x_ND * size, y_MD * size
        case "a thin line":
            x_ND[:, 1:] *= 1e-6
            y_MD[:, 1:] *= 1e-6
    return x_ND, y_MD
