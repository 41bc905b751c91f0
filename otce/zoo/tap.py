"""Where to listen in a network: its logits, the input of its final classifier, any module."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import torch
from torch import Tensor, nn

from otce.errors import ModelError
from otce.zoo.head import find_head
from otce.zoo.outputs import MAP_RANK, listening, logits_of


@dataclass(frozen=True)
class Tap:
    """A resolved tap.

    Attributes:
        path: dotted path of the module, empty for the logits.
        side: whether its input or its output is the feature map.
    """

    path: str
    side: Literal["input", "output"]


def resolve(network: nn.Module, tap: str, example_BCHW: Tensor) -> Tap:
    """Turn a tap's name into a place in the network.

    Args:
        network: in evaluation mode.
        tap: `logits`, `head`, or a dotted module path (its output is taken).
        example_BCHW: network input to find the head with.

    Returns:
        The resolved tap.

    Raises:
        ModelError: no such module, or not exactly one final classifier; says what to name instead.
    """
    if tap == "logits":
        return Tap("", "output")
    if isinstance(network, torch.jit.ScriptModule):
        raise ModelError(
            f"tap {tap!r} cannot be listened to: modules of TorchScript refuse hooks; set tap: "
            "logits, or export the network with torch.export"
        )
    if tap == "head":
        return Tap(find_head(network, example_BCHW), "input")
    paths = [path for path, _ in network.named_modules() if path]
    if tap not in paths:
        close = get_close_matches(tap, paths, n=5) or paths[-5:]
        raise ModelError(
            f"tap {tap!r} is no module of the network; close to it: {', '.join(close)}; or use "
            "head or logits"
        )
    return Tap(tap, "output")


def run(network: nn.Module, tap: Tap, input_BCHW: Tensor) -> tuple[Tensor, object]:
    """Run the network; return the feature map at a tap and what the network returned.

    Args:
        network: in evaluation mode.
        tap: a resolved tap.
        input_BCHW: network input.

    Returns:
        (B, D, h, w) floating-point feature map, and the output.

    Raises:
        ModelError: the module did not run or gave no such map.
    """
    if not tap.path:
        output: object = network(input_BCHW)
        return logits_of(output), output
    heard: list[object] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        found = inputs[0] if tap.side == "input" else output
        # A copy, because what runs next may write into it (ReLU(inplace=True)).
        heard.append(found.clone() if isinstance(found, Tensor) else found)

    with listening([(network.get_submodule(tap.path), keep)]):
        output = network(input_BCHW)
    if len(heard) != 1:
        raise ModelError(
            f"tap {tap.path!r} ran {len(heard)} times in one forward pass; name a module that "
            "runs once"
        )
    features = heard[0]
    if not isinstance(features, Tensor) or features.dim() != MAP_RANK:
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ModelError(
            f"tap {tap.path!r} gives {shape}; expected a feature map (batch, dimensions, height, "
            "width); name a convolution or a block that gives one"
        )
    return features, output
