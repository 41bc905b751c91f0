"""Pixels of the regimes that transport is measured in: drawn, and of a trained CamVid model.

`soft64` class-conditional Gaussians in 64 dimensions, mean cost 3; `mid64` the same three times as
wide, mean cost 27; `softmax19` softmax of 19 noisy logits; `logit19` those logits raw, mean cost
300. With epsilon 0.1 that is 30, 270, about 10 and 3000 epsilons. `camvid-*` are 10 000 pixels a
side of the net of `examples/camvid.yaml` that was trained on 0016E5, the target being 0006R0.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from otce.config_file import load_config
from otce.draw import joined
from otce.scaling import scale

Draw = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
"""Features and labels of the source, then of the target, scaled and centred."""

CAMVID = Path(__file__).parent.parent / "examples/camvid.yaml"
DRAWN = ("soft64", "softmax19", "mid64", "logit19")
REAL = ("camvid-logits-standardized", "camvid-head-standardized", "camvid-logits-raw")


def regime(name: str, n: int, seed: int = 0) -> Draw:
    """Draw a regime with n pixels a side."""
    if name.startswith("camvid"):
        _, tap, scaling = name.split("-")
        return camvid(tap, "standardize" if scaling == "standardized" else "none", n, seed)
    generator = np.random.default_rng(seed)
    make = gaussians if name.endswith("64") else logits
    source, source_y, target, target_y = make(n, generator)
    if name == "softmax19":
        source, target = (np.exp(x - x.max(1, keepdims=True)) for x in (source, target))
        source, target = (x / x.sum(1, keepdims=True) for x in (source, target))
    else:
        wanted = {"soft64": 3.0, "mid64": 27.0, "logit19": 300.0}[name]
        size = (wanted / mean_cost(source, target)) ** 0.5
        source, target = source * size, target * size
    return scaled(source, source_y, target, target_y, "none")


def gaussians(n: int, generator: np.random.Generator) -> Draw:
    means = generator.normal(size=(10, 64))
    moved = means + 0.3 * generator.normal(size=means.shape)
    labels = [generator.choice(10, n, p=generator.dirichlet(np.full(10, 2.0))) for _ in range(2)]
    source, target = (
        0.7 * middles[y] + generator.normal(size=(n, 64))
        for middles, y in zip((means, moved), labels, strict=True)
    )
    return source, labels[0], target, labels[1]


def logits(n: int, generator: np.random.Generator) -> Draw:
    labels = [generator.choice(19, n, p=generator.dirichlet(np.full(19, 0.7))) for _ in range(2)]
    source, target = (2 * generator.normal(size=(n, 19)) + 5 * np.eye(19)[y] for y in labels)
    return source, labels[0], target, labels[1]


def mean_cost(source: NDArray[Any], target: NDArray[Any]) -> float:
    squares = np.square(source).sum(1).mean() + np.square(target).sum(1).mean()
    return float(squares - 2 * source.mean(0) @ target.mean(0))


def scaled(source: Any, source_y: Any, target: Any, target_y: Any, scaling: Any) -> Draw:
    """Scale as `otce.score_pixels` does before it couples."""
    sides = scale(*(torch.from_numpy(x).double() for x in (source, target)), scaling)
    return sides[0].numpy(), source_y, sides[1].numpy(), target_y


def camvid(tap: str, scaling: str, n: int, seed: int) -> Draw:
    """Extract features of a trained model as a run does."""
    # Ray and Prefect come with these: not into the memory of a process that has no use for them.
    from sampled import sampled  # noqa: PLC0415

    from tasks.shards import cut  # noqa: PLC0415
    from tasks.worker import FeatureWorker  # noqa: PLC0415

    sys.path.insert(0, str(CAMVID.parent))
    run = load_config(str(CAMVID))
    model = run.models["depthwise-0016E5"].model_copy(update={"tap": tap})
    worker = FeatureWorker()
    worker.load("net", model, run.execution.python_path, {}, 1)
    sides: list[Any] = []
    for name in ("0016E5", "0006R0"):
        census = sampled(name, run.datasets[name], pixels=n, repetitions=1, seed=seed)
        parts = [
            worker.extract(shard, {}, None, with_logits=False)[1]
            for shard in cut(census, 64, range(1))
        ]
        sides += joined(parts)[:2]
    return scaled(*sides, scaling)


def entropy(mass_SM: torch.Tensor, target_y: NDArray[Any]) -> float:
    """H(Y_t | Y_s) of a coupling in nats, which is minus the score."""
    onehot_MT = torch.nn.functional.one_hot(torch.from_numpy(target_y).long()).double()
    joint_ST = mass_SM.double() @ onehot_MT
    joint_ST = joint_ST / joint_ST.sum()
    rows_ST = joint_ST.sum(1, keepdim=True).expand_as(joint_ST)
    return float((torch.xlogy(joint_ST, rows_ST) - torch.xlogy(joint_ST, joint_ST)).sum())


Solver = Callable[[Draw, int], tuple[torch.Tensor, float]]
"""From a draw and a number of iterations: mass of each source class at each target pixel, error."""
