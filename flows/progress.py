"""Progress that people see: bars on a terminal, a line every 30 seconds otherwise."""

import threading
import time
from contextvars import copy_context
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from flows.show import printable
from otce.events import event

_LINE_EVERY_S: Final = 30.0


class Progress:
    """Counts finished work of named kinds and shows it while it runs.

    Args:
        console: where to show it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._has_bars = console.is_terminal and not console.quiet
        self._started_s = time.monotonic()
        self._counts: dict[str, list[int]] = {}
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not self._has_bars,
        )
        self._ids = {}  # type: ignore[var-annotated]
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bars.start()
        if not self._has_bars:
            context = copy_context()
            threading.Thread(target=context.run, args=(self._write_lines,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._bars.stop()

    def say(self, text: str) -> None:
        """Write a line above the bars.

        Args:
            text: the line; it is shown without markup and control characters.
        """
        event("note", message=text)
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def expect(self, kind: str, total: int) -> None:
        """Announce work; what was announced before as this kind is over.

        Args:
            kind: what is counted, such as `pairs`.
            total: how many.
        """
        with self._lock:
            self._counts[kind] = [0, total]
            if kind in self._ids:
                self._bars.reset(self._ids[kind], total=total)
            else:
                self._ids[kind] = self._bars.add_task(kind, total=total)

    def advance(self, kind: str) -> None:
        """Count one as finished.

        Args:
            kind: as announced.
        """
        with self._lock:
            self._counts[kind][0] += 1
            self._bars.advance(self._ids[kind])

    def _write_lines(self) -> None:
        while not self._ended.wait(_LINE_EVERY_S):
            with self._lock:
                done = ", ".join(f"{kind} {n}/{total}" for kind, (n, total) in self._counts.items())
            self.say(f"{time.monotonic() - self._started_s:.0f} s: {done}")
