"""Rows of a pass shared out over cores: a part each, computed by one thread from end to end.

torch's own threads split every single operation, so that a core reads from memory what the other
one has just written to its cache; products of a matrix and a vector gain nothing by them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

_T = TypeVar("_T")


def in_parts(work: Callable[[slice], _T], rows: int, parts: int) -> list[_T]:
    """Do work on contiguous parts of the rows, at the same time.

    Args:
        work: called with the rows of a part.
        rows: how many there are.
        parts: threads to share them out to.

    Returns:
        What `work` returns, in order of rows: equal parts give equal results.

    Example:
        >>> in_parts(lambda part: part.stop - part.start, 5, 2)
        [2, 3]
    """
    if parts == 1:
        return [work(slice(0, rows))]
    ends = [rows * number // parts for number in range(parts + 1)]
    shares = [slice(*ends[number : number + 2]) for number in range(parts)]
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, shares))
    finally:
        # A thread's setting is also what threads to come start with.
        torch.set_num_threads(threads)
