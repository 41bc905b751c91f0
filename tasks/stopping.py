"""How a run is stopped: asked once it begins nothing new, and what is begun has a while to be kept.

Begun are a data set's census, a shard of images and a pair, of which each is kept whole or not at
all. Asked again, or when the time is up, the run ends at once.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_DRAIN_S: Final = 30.0
_NOTE: Final = (
    f"\nstopping: nothing new is begun, what is begun has {_DRAIN_S:g} s; once more ends it now\n"
)


class StoppingError(BaseException):
    """The run is to end and begins nothing; like `KeyboardInterrupt` nothing to recover from."""


_asked: Final = threading.Event()


def begin() -> None:
    """Say that a piece of work is about to begin.

    Raises:
        StoppingError: none may begin any more.
    """
    if _asked.is_set():
        raise StoppingError


class _Signals:
    """Holds the first signal back, and lets whoever handled it before have it in the end."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._held: int | None = None
        self._timer: threading.Timer | None = None

    def take(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A shell starts what runs in the background deaf to Ctrl-C, which is for others.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)

    def give_back(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        while self._before:
            signal.signal(*self._before.popitem())

    def deliver(self) -> None:
        self.give_back()
        if self._held is not None:
            signal.raise_signal(self._held)
            raise KeyboardInterrupt

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._held is not None:
            self.deliver()
            return
        self._held = number
        _asked.set()
        self._timer = threading.Timer(_DRAIN_S, os.kill, (os.getpid(), number))
        self._timer.daemon = True
        self._timer.start()
        # A console may be in the middle of a line, which it cannot be twice.
        os.write(2, _NOTE.encode())


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """Within, the first Ctrl-C or SIGTERM lets what is begun be kept; then it does what it did.

    Raises:
        KeyboardInterrupt: or what else the signal's handler raises, when all that was begun is
            kept, half a minute is over, or the second signal comes.
    """
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may handle signals.
        yield
        return
    signals = _Signals()
    signals.take()
    try:
        yield
        signals.deliver()
    finally:
        signals.give_back()
        _asked.clear()
