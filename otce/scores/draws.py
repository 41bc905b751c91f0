"""The draws of a pair, on a GPU two at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import torch

from otce.scores.otce import Score, score_pixels
from otce.scores.pixels import Array, full_precision

_STREAMS: Final = 2
"""Draws on a card at once: one is told what to do while another is waited for."""


def score_draws(
    draws: Sequence[tuple[Array, Array, Array, Array]], *, device: str, **recipe: Any
) -> list[Score]:
    """Score the K draws of a pair; on a GPU some at once, in streams.

    A draw's score does not depend on the others: they share the device and nothing else.

    Args:
        draws: the four arrays of `score_pixels`, for every draw.
        device: torch device; on a CPU the draws are scored one after the other.
        **recipe: the other arguments of `score_pixels`.

    Returns:
        One score a draw, in the given order.

    Raises:
        DataError: as in `score_pixels`.
        TransportError: as in `score_pixels`.
    """
    if torch.device(device).type != "cuda":
        return [score_pixels(*draw, device=device, **recipe) for draw in draws]

    streams = _streams(device)

    def in_stream(number: int) -> list[Score]:
        with torch.cuda.stream(streams[number]):
            mine = draws[number :: len(streams)]
            return [score_pixels(*draw, device=device, **recipe) for draw in mine]

    # The precision is the process's: what one thread puts back, another may still need.
    with full_precision(), ThreadPoolExecutor(len(streams)) as pool:
        parts = list(pool.map(in_stream, range(len(streams))))
    return [parts[k % len(streams)][k // len(streams)] for k in range(len(draws))]


@cache
def _streams(device: str) -> tuple[torch.cuda.Stream, ...]:
    """The same streams in every call: the memory that each has taken is its own."""
    return tuple(torch.cuda.Stream(device) for _ in range(_STREAMS))
