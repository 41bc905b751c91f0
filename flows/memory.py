"""How much memory a run takes, told before it starts, and refused where there is not so much."""

import os
from collections.abc import Sequence
from typing import Final

from rich.console import Console

from otce.config import RunConfig
from otce.footprint import footprint_bytes, refuse_too_large
from tasks.memory import machine_bytes

_FLOAT32_BYTES: Final = 4
_MIB: Final = 1 << 20


def check_memory(
    config: RunConfig, dim: int, sizes: Sequence[tuple[int, int]], console: Console
) -> None:
    """Print how much memory a run takes.

    Args:
        config: the run.
        dim: feature dimensions, the most of any model.
        sizes: source and target pixels of each pair.
        console: where to print.

    Raises:
        ClusterError: this machine cannot hold one transport, and no cluster is to be joined.
    """
    sampling = config.sampling
    drawn = sampling.repetitions * sampling.pixels * (1 + len(config.targets))
    transport_bytes = max((footprint_bytes(config, *size) for size in sizes), default=0)
    console.print(
        f"estimated memory: features of one model {drawn * dim * _FLOAT32_BYTES / _MIB:,.0f} MiB, "
        f"one transport {transport_bytes / _MIB:,.0f} MiB (one runs on each CPU)"
    )
    if "RAY_ADDRESS" not in os.environ:
        refuse_too_large(config, sizes, machine_bytes(), "this machine")
