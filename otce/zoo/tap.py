"""Where to listen inside a network: its logits, the input of its final classifier, or any module.

The final classifier is found *by number*: the convolution whose output, resized bilinearly, equals
the logits. Names differ between libraries, and the convolution that runs last is often an
auxiliary head; numbers do not lie.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from otce.errors import ModelError

HEAD_TOLERANCE: Final = 1e-3
"""Largest |resized output - logits| / |logits| of a final classifier; auxiliary heads are at 1."""


@dataclass(frozen=True)
class Tap:
    """A resolved tap.

    Attributes:
        path: dotted path of the module, empty for the logits.
        side: whether its input or its output is the feature map.
    """

    path: str
    side: Literal["input", "output"]


def logits_of(output: object) -> Tensor:
    """Find the logits in whatever a segmentation network returns.

    Args:
        output: a tensor, a mapping with `out` or `logits`, an object with `logits`, or a sequence
            that starts with one of these.

    Returns:
        (B, C, h, w) tensor.

    Raises:
        ModelError: nothing of the kind.
    """
    if isinstance(output, Tensor):
        if output.dim() != 4:  # noqa: PLR2004
            raise ModelError(
                f"the network returned a tensor of shape {tuple(output.shape)}; expected logits "
                "(batch, classes, height, width); name a module path as its tap"
            )
        return output
    if isinstance(output, dict):
        named = next((output[key] for key in ("out", "logits") if key in output), None)
    else:
        named = getattr(output, "logits", None)
        if named is None and isinstance(output, tuple | list) and output:
            named = output[0]
    if named is None:
        raise ModelError(
            f"the network returned a {type(output).__name__} without logits; expected a tensor, "
            "a dict with 'out' or 'logits', or an object with .logits"
        )
    return logits_of(named)


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
    if tap == "head":
        return Tap(_find_head(network, example_BCHW), "input")
    paths = [path for path, _ in network.named_modules() if path]
    if tap not in paths:
        close = get_close_matches(tap, paths, n=5) or paths[-5:]
        raise ModelError(
            f"tap {tap!r} is no module of the network; close to it: {', '.join(close)}; or use "
            "head or logits"
        )
    return Tap(tap, "output")


def listen(network: nn.Module, tap: Tap, input_BCHW: Tensor) -> Tensor:
    """Run the network and return the feature map at a tap.

    Args:
        network: in evaluation mode.
        tap: a resolved tap.
        input_BCHW: network input.

    Returns:
        (B, D, h, w) floating-point feature map.

    Raises:
        ModelError: the module did not run or gave no such map.
    """
    if not tap.path:
        return logits_of(network(input_BCHW))
    heard: list[object] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        found = inputs[0] if tap.side == "input" else output
        # A copy, because what runs next may write into it (ReLU(inplace=True)).
        heard.append(found.clone() if isinstance(found, Tensor) else found)

    with _hooked([(network.get_submodule(tap.path), keep)]):
        network(input_BCHW)
    if len(heard) != 1:
        raise ModelError(
            f"tap {tap.path!r} ran {len(heard)} times in one forward pass; name a module that "
            "runs once"
        )
    features = heard[0]
    if not isinstance(features, Tensor) or features.dim() != 4:  # noqa: PLR2004
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ModelError(
            f"tap {tap.path!r} gives {shape}; expected a feature map (batch, dimensions, height, "
            "width); name a convolution or a block that gives one"
        )
    return features


def _find_head(network: nn.Module, example_BCHW: Tensor) -> str:
    outputs: dict[str, Tensor] = {}

    def keep_as(path: str) -> Callable[[nn.Module, tuple[Any, ...], object], None]:
        def keep(_: nn.Module, __: tuple[Any, ...], output: object) -> None:
            if isinstance(output, Tensor):
                outputs[path] = output

        return keep

    convolutions = [
        (module, keep_as(path))
        for path, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    with _hooked(convolutions):
        logits = logits_of(network(example_BCHW))
    distances = {
        path: _distance(output, logits)
        for path, output in outputs.items()
        if output.shape[:2] == logits.shape[:2]
    }
    heads = [path for path, distance in distances.items() if distance < HEAD_TOLERANCE]
    if len(heads) == 1:
        return heads[0]
    found = ", ".join(f"{path} ({distance:.2f})" for path, distance in distances.items()) or "none"
    raise ModelError(
        f"{len(heads)} convolutions give the logits, so there is no single head; candidates with "
        f"their distance from the logits: {found}; name a module path as tap, or use logits"
    )


def _distance(output: Tensor, logits: Tensor) -> float:
    """Relative distance between a convolution's resized output and the logits."""
    size = logits.shape[2:]
    scale = logits.abs().max().clamp_min(torch.finfo(logits.dtype).tiny)
    resized = (
        output
        if output.shape[2:] == size
        else functional.interpolate(output, size=size, mode="bilinear", align_corners=corners)
        for corners in (False, True)
    )
    return min(float((candidate - logits).abs().max() / scale) for candidate in resized)


@contextmanager
def _hooked(hooks: Sequence[tuple[nn.Module, Callable[..., None]]]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
