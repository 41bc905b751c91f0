"""Networks made ready to train: new final classifiers, new weights, statistics that stay."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from otce.errors import ModelError
from otce.zoo.head import find_head
from otce.zoo.outputs import has_logits, logits_of

_POSSIBLE = (
    "only zero_shot and fine_tune can be measured of it; name no others in measure.kinds, and "
    "without a classifier to keep set measure.short_steps to null"
)


def replace_head(network: nn.Module, n_classes: int, example_BCHW: Tensor) -> nn.Module:
    """Put a new final classifier in place of the one a network has.

    The new one is a convolution of the same kernel, with weights from torch's generator.

    Args:
        network: in evaluation mode; it is changed.
        n_classes: outputs of the new one.
        example_BCHW: network input to find the head with.

    Returns:
        The new classifier.

    Raises:
        ModelError: there is no single final classifier, it is no convolution of torch's own, or the
            network does not pass its output on.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise ModelError(f"its modules are TorchScript's and cannot be changed; {_POSSIBLE}")
    path = find_head(network, example_BCHW)
    old = network.get_submodule(path)
    if type(old) not in {nn.Conv2d, nn.ConvTranspose2d} or old.groups != 1:
        raise ModelError(
            f"its final classifier {path}, of type {type(old).__name__}, cannot be made anew; "
            f"{_POSSIBLE}"
        )
    new = _like(old, n_classes).to(example_BCHW.device)
    network.set_submodule(path, new)
    found = network(example_BCHW)
    if not has_logits(found) or logits_of(found).shape[1] != n_classes:
        raise ModelError(
            f"with a new final classifier {path} of {n_classes} classes it does not give "
            f"{n_classes} logits; {_POSSIBLE}"
        )
    return new


def _like(old: nn.Module, n_classes: int) -> nn.Module:
    names = ("kernel_size", "stride", "padding", "dilation")
    settings = {name: getattr(old, name) for name in names}
    if isinstance(old, nn.ConvTranspose2d):
        settings["output_padding"] = old.output_padding
    has_bias = getattr(old, "bias", None) is not None
    return type(old)(old.in_channels, n_classes, bias=has_bias, **settings)


def reset_weights(network: nn.Module) -> None:
    """Give a network new weights, as each of its modules makes them, from torch's generator.

    Args:
        network: it is changed, and keeps nothing of what it was trained to.

    Raises:
        ModelError: a module does not say how its weights are made.
    """
    known: set[int] = set()
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
            known |= {id(parameter) for parameter in module.parameters(recurse=False)}
    kept = [name for name, parameter in network.named_parameters() if id(parameter) not in known]
    if kept:
        raise ModelError(
            f"its weights {', '.join(kept[:4])} cannot be made anew, as their module has no "
            "reset_parameters; add one, or take scratch out of measure.kinds"
        )


def evaluate_statistics(network: nn.Module) -> None:
    """Keep running statistics of normalisation as they are while the rest is trained.

    Args:
        network: in training mode; it is changed.
    """
    for module in network.modules():
        if isinstance(module, _NormBase) and module.track_running_stats:
            module.eval()
