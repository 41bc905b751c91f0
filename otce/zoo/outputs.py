"""What networks return and what passes inside them: logits found, modules listened to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from torch import Tensor, nn

from otce.errors import ModelError

MAP_RANK: Final = 4
"""Dimensions of a feature map: batch, features, height, width."""
Hook = Callable[[nn.Module, tuple[Any, ...], object], None]


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
    found = _named(output)
    if found is None:
        raise ModelError(
            f"the network returned a {type(output).__name__} without logits; expected a tensor, "
            "a dict with 'out' or 'logits', or an object with .logits"
        )
    if found.dim() != MAP_RANK:
        raise ModelError(
            f"the network returned a tensor of shape {tuple(found.shape)}; expected logits "
            "(batch, classes, height, width); name a module path as its tap"
        )
    return found


def has_logits(output: object) -> bool:
    """Say whether a network's output holds logits.

    Args:
        output: as for `logits_of`.

    Returns:
        True when `logits_of` finds them.
    """
    found = _named(output)
    return found is not None and found.dim() == MAP_RANK


def _named(output: object) -> Tensor | None:
    if isinstance(output, Tensor) or output is None:
        return output
    if isinstance(output, dict):
        return _named(next((output[key] for key in ("out", "logits") if key in output), None))
    named = getattr(output, "logits", None)
    if named is None and isinstance(output, tuple | list) and output:
        named = output[0]
    return _named(named)


@contextmanager
def listening(hooks: Sequence[tuple[nn.Module, Hook]]) -> Iterator[None]:
    """Hook modules for as long as the context lasts.

    Args:
        hooks: modules and what is called after each of their passes.

    Yields:
        Nothing.
    """
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
