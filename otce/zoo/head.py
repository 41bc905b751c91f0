"""The final classifier of a network, found *by number*.

It is the convolution whose output, resized bilinearly, equals the logits. Names differ between
libraries, and the convolution that runs last is often an auxiliary head; numbers do not lie.
"""

from collections import Counter
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from otce.errors import ModelError
from otce.zoo.outputs import MAP_RANK, Hook, has_logits, listening, logits_of

HEAD_TOLERANCE: Final = 1e-3
"""Largest |resized output - logits| / |logits| of a final classifier; auxiliary heads are at 1."""
_LAST, _SUGGESTIONS = 8, 4
_CONVOLUTIONS: Final = (".Conv2d", ".ConvTranspose2d")


def find_head(network: nn.Module, example_BCHW: Tensor) -> str:
    """Find the one convolution that gives the logits.

    Args:
        network: in evaluation mode.
        example_BCHW: network input.

    Returns:
        Its dotted path.

    Raises:
        ModelError: none or several; says which modules give feature maps instead.
    """
    outputs: dict[str, Tensor] = {}

    def keep_as(path: str) -> Hook:
        def keep(_: nn.Module, __: tuple[Any, ...], output: object) -> None:
            if isinstance(output, Tensor):
                outputs[path] = output

        return keep

    convolutions = [
        (module, keep_as(path))
        for path, module in network.named_modules()
        if _is_convolution(module)
    ]
    with listening(convolutions):
        output = network(example_BCHW)
    if not has_logits(output):
        raise ModelError(
            f"the network returned a {type(output).__name__} without logits of pixels, so it has "
            f"no head; {_instead(network, example_BCHW, None)}"
        )
    logits = logits_of(output)
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
        f"their distance from the logits: {found}; use logits, or "
        f"{_instead(network, example_BCHW, logits.shape[1])}"
    )


def _is_convolution(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return True
    # Modules of an exported program are interpreters that remember what they were.
    type_name = getattr(module, "type_name", None)
    return callable(type_name) and str(type_name()).endswith(_CONVOLUTIONS)


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


def _instead(network: nn.Module, example_BCHW: Tensor, n_classes: int | None) -> str:
    """Say what to name: of the last modules that give feature maps, the finest ones first."""
    shapes: dict[str, torch.Size] = {}
    passes: Counter[str] = Counter()

    def keep_as(path: str) -> Hook:
        def keep(_: nn.Module, __: tuple[Any, ...], output: object) -> None:
            passes[path] += 1
            if isinstance(output, Tensor) and output.dim() == MAP_RANK:
                shapes[path] = output.shape

        return keep

    with listening([(module, keep_as(path)) for path, module in network.named_modules() if path]):
        network(example_BCHW)
    named: dict[str, torch.Size] = {}
    for path, shape in reversed(shapes.items()):
        is_part = any(path.startswith(f"{whole}.") for whole in named)
        is_map = shape[1] != n_classes and shape[2:].numel() > 1 and passes[path] == 1
        if is_map and not is_part:
            named[path] = shape
    finest = sorted(list(named.items())[:_LAST], key=lambda item: -item[1][2:].numel())
    found = ", ".join(
        f"{path} ({dim} at {height}x{width})"
        for path, (_, dim, height, width) in finest[:_SUGGESTIONS]
    )
    return f"name as tap a module whose output is a feature map, such as {found or 'none here'}"
