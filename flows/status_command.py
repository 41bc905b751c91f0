"""`otce status`: how far a run is, as a table or as JSON."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from flows.show import plain, printable, show_failures
from flows.status import Part, Status, runs_of, seen, status_of
from otce.errors import StoreError
from otce.storage.files import absolute_uri
from otce.storage.store import Store

_MOST_LEFT = 12


def status(
    store: str,
    run_id: str | None = None,
    *,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Tell how far a run is, from its store alone: while it runs elsewhere, or after it died.

    Args:
        store: path or fsspec URI of a store, or of the folder of a run below it.
        run_id: which run; the one that was started last when left out.
        json_: print JSON instead of tables.
    """
    found = find_status(*_place(absolute_uri(store, "."), run_id))
    if json_:
        print(json.dumps(asdict(found), indent=2))  # noqa: T201 - the output of the command
    else:
        show_status(Console(), found)
    return 0


def find_status(store: Store, run_id: str | None) -> Status:
    """Read how far a run of a store is.

    Args:
        store: the store.
        run_id: which run; the one that was started last when left out.

    Returns:
        The status.

    Raises:
        StoreError: there is no such run, it is of a version that left no plan, or the store does
            not answer.
    """
    times = store.put_times("runs")
    runs = runs_of(times)
    chosen = run_id or next(reversed(runs), None)
    if chosen not in runs:
        known = ", ".join(runs) or "none"
        raise StoreError(
            f"{store.uri} has no run {chosen or 'at all'} with a plan, which is put once data are "
            f"listed; runs with one: {known}; otce ls lists all that are finished"
        )
    return status_of(seen(store, str(chosen), times), store.uri, time.time())


def _place(uri: str, run_id: str | None) -> tuple[Store, str | None]:
    """Take the folder of a run apart into its store and its id."""
    root, _, last = uri.rstrip("/").rpartition("/")
    is_run = run_id is None and root.endswith("/runs") and Store(uri).exists("plan.json")
    return (Store(root.removesuffix("/runs")), last) if is_run else (Store(uri), run_id)


def show_status(console: Console, found: Status) -> None:
    """Print how far a run is.

    Args:
        console: where to.
        found: the status.
    """

    def say(text: str) -> None:
        console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    say(f"run {found.run_id} in {found.store}, started {found.started}: {_told(found)}")
    counts = f"{found.total} pairs: {found.done} done"
    counts += f" ({found.reused} of them before this start)" if found.reused else ""
    counts += f", {found.failed} failed, {found.left} "
    counts += (
        "left the race early" if found.racing is not None and found.state == "finished" else "left"
    )
    say(counts + (f", {found.racing} of them racing" if found.racing else ""))
    if found.pairs_per_hour is not None:
        ends = "" if found.time_left_s is None else f", about {duration(found.time_left_s)} left"
        say(f"{found.pairs_per_hour:,.0f} pairs an hour{ends}")
    for kind, parts in (("target", found.targets), ("model", found.models)):
        _show_parts(console, kind, parts)
    show_failures(console, found.failures)


def _told(found: Status) -> str:
    if found.state == "finished":
        return "finished"
    age, pause = duration(found.newest_age_s), duration(found.longest_pause_s)
    if found.state == "running":
        return f"seems to run: the newest object is {age} old, the longest pause so far was {pause}"
    return (
        f"silent for {age}, longer than it ever paused ({pause}): it has died or hangs; the same "
        "command goes on where it stopped"
    )


def _show_parts(console: Console, kind: str, parts: Sequence[Part]) -> None:
    """Show those that have something left or failed, and count the others."""
    open_ = [part for part in parts if part.done < part.total]
    if not open_:
        return
    table = Table(box=SIMPLE)
    table.add_column(kind, overflow="fold")
    for name in ("done", "failed", "left"):
        table.add_column(name, justify="right")
    for part in open_[:_MOST_LEFT]:
        left = part.total - part.done - part.failed
        table.add_row(plain(part.id), str(part.done), str(part.failed), str(left))
    hidden, whole = len(open_[_MOST_LEFT:]), len(parts) - len(open_)
    more = [f"{hidden} more like these"] if hidden else []
    more += [f"{whole} {kind}s done"] if whole else []
    table.caption = ", ".join(more) or None
    console.print(table)


def duration(seconds: float) -> str:
    """Write a time as people say it.

    Args:
        seconds: how long.

    Returns:
        Its two largest units at most.

    Example:
        >>> duration(7.4), duration(3700), duration(200_000)
        ('7 s', '1 h 1 min', '2 d 7 h')
    """
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
