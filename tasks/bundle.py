"""Transports as Ray tasks: a large one has a task of its own, small ones share one.

A Ray task costs its driver about a millisecond, which is much beside a transport of few pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import ray

from otce.errors import OtceError
from otce.recipe import Metric
from tasks.ray_calls import Ref
from tasks.solve import Request, Rows, solve_parts
from tasks.timings import Meter, Spent

_TOGETHER_PX2: Final = 1 << 20
"""Pairs of pixels that the transports of a task couple together: what N = 1 000 couples alone."""
_MOST: Final = 16


@dataclass(frozen=True)
class Transport:
    """One repetition of one pair.

    Attributes:
        request: what is wanted of it.
        source: references of the source parts.
        target: references of the target parts.
        blocks: references of sums over all target pixels, where a metric asks for them.
    """

    request: Request
    source: Sequence[Ref]
    target: Sequence[Ref]
    blocks: Sequence[Ref]


class Told(NamedTuple):
    """What the driver learns of a transport; its rows stay where they are."""

    failed: Mapping[Metric, OtceError]
    spent: Spent


def bundled(sizes: Sequence[tuple[int, int]]) -> list[range]:
    """Share out transports to tasks.

    Args:
        sizes: source and target pixels of each.

    Returns:
        Positions of those of each task, in order.

    Example:
        >>> bundled([(100, 100), (100, 100), (9000, 9000), (100, 100)])
        [range(0, 2), range(2, 3), range(3, 4)]
    """
    bundles: list[range] = []
    held_px2 = 0
    for position, (n, m) in enumerate(sizes):
        held_px2 += n * m
        if bundles and held_px2 <= _TOGETHER_PX2 and len(bundles[-1]) < _MOST:
            bundles[-1] = range(bundles[-1].start, position + 1)
        else:
            bundles.append(range(position, position + 1))
            held_px2 = n * m
    return bundles


def submit(
    transports: Sequence[Transport], *, name: str, num_cpus: float, memory_bytes: int
) -> tuple[Ref, Ref]:
    """Start some transports, one after the other in one task; features travel by reference.

    Args:
        transports: which.
        name: what Ray's views call it.
        num_cpus: CPUs that it holds.
        memory_bytes: memory that it holds: no node starts more of them than it has room for.

    Returns:
        References of a list of what is `Told` of each, and of a list of the `Rows` of each.
    """
    parts: dict[Ref, int] = {}

    def places(refs: Sequence[Ref]) -> list[int]:
        return [parts.setdefault(ref, len(parts)) for ref in refs]

    asked = [
        (one.request, places(one.source), places(one.target), places(one.blocks))
        for one in transports
    ]
    # Ray's types know of one result a task only.
    start: Any = _solve.options(num_returns=2, num_cpus=num_cpus, memory=memory_bytes, name=name)
    told, rows = start.remote(asked, *parts)
    return told, rows


@ray.remote(max_retries=0)
def _solve(
    asked: list[tuple[Request, list[int], list[int], list[int]]], *parts: Any
) -> tuple[list[Told], list[Rows]]:
    told, rows = [], []
    for request, *places in asked:
        meter = Meter()
        source, target, blocks = ([parts[i] for i in some] for some in places)
        found = solve_parts(request, len(source), len(target), *source, *target, *blocks)
        failed = {m: row for m, row in found.items() if isinstance(row, OtceError)}
        solved = [row for row in found.values() if not isinstance(row, OtceError)]
        spent = meter.spent(n_iter=sum(row.get("n_iter") or 0 for row in solved))
        told.append(Told(failed, spent))
        rows.append(found)
    return told, rows
