"""Tells what becomes of pairs: to people, to the log, to Prometheus, and to the store."""

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from flows.journal import Journal
from flows.progress import Progress
from otce.events import event
from tasks import metrics
from tasks.timings import Timings


class Teller:
    """Tells, from many threads.

    Args:
        progress: for people.
        journal: in the store.
        timings: what calls took so far.
    """

    def __init__(self, progress: Progress, journal: Journal, timings: Timings) -> None:
        self._progress, self._journal, self._timings = progress, journal, timings
        self._lock = threading.Lock()
        self._counted: set[tuple[str, ...]] = set()

    def pair(self, model: str, target: str, failures: list[dict[str, Any]]) -> None:
        """Tell that a pair is done; in a race that its round is.

        Args:
            model: its model.
            target: its target.
            failures: rows of what of it has no score.
        """
        self._progress.advance("pairs")
        if failures:
            self._progress.say(f"{model} -> {target} failed")
            self.failures(failures)
            return
        seconds = self._timings.solve_s(model, target)
        event("pair_done", model=model, target=target, stage="solve", seconds=seconds)
        if self._is_new("scored", model, target):
            metrics.PAIRS_SCORED.inc()

    def failures(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Tell failures, wherever they happened.

        Args:
            rows: rows of the failures table.
        """
        rows = list(rows)
        self._journal.failed(rows)
        for row in rows:
            model, target = row["source_model"], row["target_dataset"]
            told = {k: row[k] for k in ("stage", "metric", "repetition", "error_class", "message")}
            event(
                "pair_failed",
                level=logging.ERROR,
                model=model,
                target=target,
                attempt=row["attempts"],
                transient=row["transient"],
                **told,
            )
            if self._is_new("failed", model, target):
                metrics.PAIRS_FAILED.inc(1, {"error_class": row["error_class"]})

    def _is_new(self, *what: str) -> bool:
        """A race scores a pair again in every round."""
        with self._lock:
            is_new = what not in self._counted
            self._counted.add(what)
        return is_new
