"""Networks that do not do what evaluation promises: found before any number is taken from them."""

from typing import Final

import torch
from torch import Tensor, nn

from otce.datasets.items import listing
from otce.errors import ModelError
from otce.zoo.outputs import has_logits, logits_of
from otce.zoo.tap import Tap, run

TOLERANCE: Final = 1e-4
"""Largest relative difference of two passes over one image; a card may add in another order."""
_BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def check_state(network: nn.Module) -> None:
    """Look for weights that are no numbers and layers that still train.

    Args:
        network: put into evaluation mode.

    Raises:
        ModelError: which weights or layers.
    """
    numbers = dict(network.named_parameters())
    broken = [name for name, value in numbers.items() if not bool(value.isfinite().all())]
    # A mask that is added before a softmax is a buffer of minus infinities, and right.
    broken += [name for name, value in network.named_buffers() if bool(value.isnan().any())]
    if broken:
        raise ModelError(
            f"{listing(broken)} hold values that are not finite; use another checkpoint"
        )
    modules = dict(network.named_modules())
    training = [path or "the network" for path, module in modules.items() if module.training]
    if training:
        raise ModelError(
            f"{listing(training)} stayed in training mode after eval(), so dropout or batch "
            "statistics are on; mend train() of these modules"
        )
    batch = [
        path
        for path, module in modules.items()
        if isinstance(module, _BatchNorm) and module.running_mean is None
    ]
    if batch:
        raise ModelError(
            f"{listing(batch)} normalise by the statistics of the batch, so an image's features "
            "depend on its neighbours; set track_running_stats=True and train again"
        )


def check_passes(network: nn.Module, tap: Tap, image_1CHW: Tensor, n_classes: int | None) -> None:
    """Run one image twice: features must be equal, buffers untouched, classes as many as told.

    Args:
        network: in evaluation mode.
        tap: where features are taken.
        image_1CHW: network input of one image.
        n_classes: classes of its logits; None: not known.

    Raises:
        ModelError: the network lies, and how.
    """
    before = {name: value.clone() for name, value in network.named_buffers()}
    first, output = run(network, tap, image_1CHW)
    changed = [
        name
        for name, value in network.named_buffers()
        if not torch.equal(value, before.get(name, value).to(value))
    ]
    if changed:
        raise ModelError(
            f"one pass changed {listing(changed)}: batch statistics go on in evaluation mode; "
            "mend forward or export the network in evaluation mode"
        )
    second, _ = run(network, tap, image_1CHW)
    difference = _difference(first, second)
    if difference > TOLERANCE:
        raise ModelError(
            f"two passes over one image differ by {difference:.2g} of the largest feature: the "
            "network draws random numbers (dropout left on?); make forward deterministic"
        )
    if n_classes is not None and has_logits(output):
        found = logits_of(output).shape[1]
        if found != n_classes:
            raise ModelError(
                f"the network tells {found} classes apart, its source data set {n_classes}; fix "
                f"source, or set n_classes: {found} when the difference is meant"
            )


def _difference(first: Tensor, second: Tensor) -> float:
    """Largest difference relative to the largest value; what is not finite says nothing."""
    if first.shape != second.shape:
        return float("inf")
    scale = first.abs().max().clamp_min(torch.finfo(first.dtype).tiny)
    return float(((first - second).abs().max() / scale).nan_to_num(0.0))
