"""What Prefect shows of a run: nothing rests on it, and a server that went away ends no run."""

from collections.abc import Callable
from typing import TypeVar

import httpx

_T = TypeVar("_T")


def shown(tell: Callable[[], _T]) -> _T | None:
    """Tell the Prefect server something.

    Args:
        tell: the call.

    Returns:
        What it returns, or None when the server does not answer.
    """
    try:
        return tell()
    except httpx.HTTPError:
        return None
