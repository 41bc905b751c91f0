"""What happens during a run, as structured records: nothing by default, JSON lines when asked.

An event is a record of the standard logger `otce.events`; its name is the message. Fields that say
what it is about are set once with `about` and join every event of that thread, and of the tasks
that it submits. Only names, counts, times and messages of our own errors are told: no
configuration, which may hold secrets.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

_LOGGER: Final = logging.getLogger("otce.events")
# Nobody who did not ask for them sees events: neither by the root's handlers nor by the last
# resort of the standard library.
_LOGGER.propagate = False
_LOGGER.setLevel(logging.INFO)
_LOGGER.addHandler(logging.NullHandler())
_ABOUT: Final[ContextVar[Mapping[str, Any]]] = ContextVar("about", default={})  # noqa: B039 - never changed


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Say what the events within are about.

    Args:
        **fields: such as `model`; what is None is not told.
    """
    before = _ABOUT.set({**_ABOUT.get(), **fields})
    try:
        yield
    finally:
        _ABOUT.reset(before)


def event(name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Tell an event.

    Args:
        name: what happened, such as `pair_done`.
        level: of the standard logging.
        **fields: more than `about` says; what is None is not told.
    """
    _LOGGER.log(level, name, extra={"fields": {**_ABOUT.get(), **fields}})


def in_json() -> bool:
    """Say whether JSON lines are asked for, by `OTCE_LOG=json` in the environment."""
    return os.environ.get("OTCE_LOG") == "json"


@contextmanager
def json_lines() -> Iterator[None]:
    """Write events within to stderr, one JSON object a line, when they are asked for."""
    if not in_json():
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)


class JsonFormatter(logging.Formatter):
    """One JSON object a record: `time` in UTC, `level`, `event`, then its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record.

        Args:
            record: of `event`, or any other.

        Returns:
            A line of JSON without control characters, also none that are escaped.
        """
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {k: v for k, v in getattr(record, "fields", {}).items() if v is not None}
        told = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps({k: _clean(v) for k, v in (told | fields).items()}, ensure_ascii=False)


def _clean(value: Any) -> Any:
    """Ids and messages are data; whoever prints a line must not run what they hold."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 3)
    return "".join(c if c.isprintable() else " " for c in str(value))
