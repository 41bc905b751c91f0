"""What a run refers to, and which objects of a store no run refers to."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import pyarrow as pa

from otce.columns import TEXT, column, schema
from otce.storage.listing import Entry

FOLDERS: Final = ("scores", "repetitions", "features", "samples", "counts")
"""Folders of a store whose objects are shared by runs."""

REFERENCES: Final = schema(
    "references",
    column("folder", TEXT, "folder of the store: scores, repetitions, features, samples or counts"),
    column("fingerprint", TEXT, "what the names of the objects there start with"),
    column("source_model", TEXT, "id of the source model; null where it serves several"),
    column("target_dataset", TEXT, "id of the target data set; null where it serves several"),
    column("metric", TEXT, "which score; null where it serves several"),
)
"""What a run read or wrote, failed pairs included; an object may be absent."""


class Verdict(NamedTuple):
    """What becomes of an object that no run refers to."""

    entry: Entry
    is_young: bool | None
    """Whether it was written within the grace period; None: the store does not say when."""


def unreferenced(
    folder: str,
    entries: Iterable[Entry],
    references: Iterable[pa.Table],
    *,
    now_s: float | None,
    grace_s: float,
) -> list[Verdict]:
    """Select the objects of a folder that no run refers to.

    Args:
        folder: one of `FOLDERS`.
        entries: its objects, named below the folder.
        references: of all runs that are kept, of schema `REFERENCES`.
        now_s: the store's own time, seconds since 1970; None: it does not tell times.
        grace_s: objects younger than so many seconds may be those of a run in progress.

    Returns:
        The objects, in order of names.
    """
    kept: set[str] = set()
    for table in references:
        folders, names = (table[name].to_pylist() for name in ("folder", "fingerprint"))
        kept.update(n for place, n in zip(folders, names, strict=True) if place == folder)
    return [
        Verdict(entry, _is_young(entry, now_s, grace_s))
        for entry in sorted(entries)
        if _stem(entry.name) not in kept
    ]


def _is_young(entry: Entry, now_s: float | None, grace_s: float) -> bool | None:
    if grace_s <= 0:
        return False
    if now_s is None or entry.modified_s is None:
        return None
    return now_s - entry.modified_s < grace_s


def _stem(name: str) -> str:
    return name.partition("/")[0].partition(".")[0]
