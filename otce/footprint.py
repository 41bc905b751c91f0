"""How much memory the couplings of a run take, and whether there is so much of it."""

from collections.abc import Iterable
from typing import Final

from otce.config import RunConfig
from otce.errors import ClusterError
from otce.metric_recipe import metric_recipe
from otce.recipe import FROM_COUPLING
from otce.transport import peak_bytes

_MIB: Final = 1 << 20


def footprint_bytes(config: RunConfig, n: int, m: int) -> int:
    """Estimate the peak memory of one transport: that of its largest coupling.

    Args:
        config: the run.
        n: source pixels.
        m: target pixels.

    Returns:
        Bytes, beside the features.
    """
    recipes = (metric_recipe(one, config.score) for one in config.metrics if one in FROM_COUPLING)
    return max(
        peak_bytes(n, m, solver=recipe["solver"], relaxation=recipe["relaxation"])
        for recipe in recipes
    )


def refuse_too_large(
    config: RunConfig, sizes: Iterable[tuple[int, int]], room_bytes: int, where: str
) -> None:
    """Refuse transports that cannot be held: their workers would be killed one after the other.

    Args:
        config: the run.
        sizes: source and target pixels of each pair.
        room_bytes: memory there is.
        where: whose memory, for the error.

    Raises:
        ClusterError: the largest does not fit.
    """
    needed, (n, m) = max(
        ((footprint_bytes(config, *size), size) for size in sizes), default=(0, (0, 0))
    )
    if needed > room_bytes:
        raise ClusterError(
            f"one transport of {n:,} x {m:,} pixels takes {needed / _MIB:,.0f} MiB with solver: "
            f"{config.score.solver}; {where} has {room_bytes / _MIB:,.0f} MiB; lower "
            "sampling.pixels, use solver: auto, or add memory"
        )
