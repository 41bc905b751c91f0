"""What Prefect shows of a run: nothing rests on it, and a server that went away ends no run."""

from collections.abc import Callable
from typing import TypeVar, cast

import httpx
from prefect.utilities.annotations import quote

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


def unseen(value: _T) -> _T:
    """Keep Prefect from walking through all of a task's argument to look for results of others.

    Args:
        value: the argument.

    Returns:
        The same to the task, and opaque to Prefect.
    """
    return cast("_T", quote(value))
