"""What a model reference stands for, whatever family it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from otce.model_config import Preprocessing


@dataclass(frozen=True)
class Reference:
    """A resolved reference; no network is built yet.

    Attributes:
        code: SHA-256 of what gives the weights their meaning: source, graph, or library version.
        build: builds the network; given the bytes of the weights file, or None when it carries
            its own weights.
        weights: URI of the weights file; none: the file that the reference names is all.
        weights_digest: SHA-256 of that file, where it had to be read.
        preprocessing: what the library knows about the input, defaults for the rest.
        one_by_one: whether the network was fixed to a batch of one image.
    """

    code: str
    build: Callable[[bytes | None], nn.Module]
    weights: str | None
    weights_digest: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    one_by_one: bool = False
