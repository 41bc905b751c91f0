"""`otce prune`: show which objects no run refers to, and delete them when told to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import pyarrow as pa
from cyclopts import Parameter
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from otce.errors import ConfigError
from otce.storage.files import StorageOptions, absolute_uri, join
from otce.storage.listing import Entry, delete, entries, now_s
from otce.storage.retention import FOLDERS, REFERENCES, Verdict, unreferenced
from otce.storage.store import Store

_DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class Pruned:
    """What may be deleted of a store.

    Attributes:
        dropped: ids of the runs that are beyond the number to keep.
        tables: objects of those runs, named below the root, their manifests first.
        entries: all objects of each shared folder.
        found: those that no kept run refers to.
    """

    dropped: list[str]
    tables: list[Entry]
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    found: dict[str, list[Verdict]] = field(default_factory=dict)

    @property
    def deletable(self) -> list[Entry]:
        """What is deleted, in order: a run without its manifest is none, so those go first."""
        shared = [
            verdict.entry._replace(name=f"{folder}/{verdict.entry.name}")
            for folder, verdicts in self.found.items()
            for verdict in verdicts
            if verdict.is_young is False
        ]
        return self.tables + shared


def prune(
    uri: str,
    options: StorageOptions | None = None,
    *,
    keep_runs: int | None = None,
    grace_s: float = _DAY_S,
    deletes: bool = False,
) -> Pruned:
    """Find what no kept run refers to, and delete it when told to.

    A run that is in progress has no manifest yet: what it wrote is kept by the grace period. Ages
    are differences of the store's own times, so no other clock counts.

    Args:
        uri: path or fsspec URI of the store.
        options: fsspec options by protocol.
        keep_runs: newest runs to keep of each name; None: all.
        grace_s: younger objects stay.
        deletes: whether to delete.

    Returns:
        What was found.

    Raises:
        ConfigError: a number is out of range, or a run is of an otce that did not write references.
        StoreError: the store refuses or does not answer.
    """
    if grace_s < 0 or (keep_runs is not None and keep_runs < 1):
        raise ConfigError(
            f"keep-runs is {keep_runs} and the grace period {grace_s:g} s; keep at least one run, "
            "and let the period be 0 or more"
        )
    store = Store(uri, options)
    kept, dropped = _parted(_manifests(store), keep_runs)
    references = [_references(store, run_id) for run_id in kept]
    time_s = now_s(store.uri, options)
    found = Pruned(dropped, [e for run_id in dropped for e in _tables(store, run_id, options)])
    for folder in FOLDERS:
        found.entries[folder] = entries(join(store.uri, folder), options)
        found.found[folder] = unreferenced(
            folder, found.entries[folder], references, now_s=time_s, grace_s=grace_s
        )
    if deletes:
        delete(store.uri, [entry.name for entry in found.deletable], options)
    return found


def prune_command(
    store: str,
    *,
    keep_runs: int | None = None,
    grace_days: float = 1.0,
    deletes: Annotated[bool, Parameter(name="--delete", negative=())] = False,
) -> int:
    """Show which objects of a store no run refers to; with --delete, delete them.

    Not while a run is in progress: what it found in the store may be deleted under it, and then it
    fails, and the same command computes what is missing.

    Args:
        store: path or fsspec URI of the store.
        keep_runs: newest runs to keep of each name, numbered ones by number, others by when they
            finished; the tables of the others go too. All when left out.
        grace_days: objects younger than so many days stay; 0 for stores that keep no times.
        deletes: delete what is shown.
    """
    console = Console()
    found = prune(
        absolute_uri(store, "."),
        keep_runs=keep_runs,
        grace_s=grace_days * _DAY_S,
        deletes=deletes,
    )
    console.print(_shown(found))
    for line in _told(found, deleted=deletes):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _manifests(store: Store) -> list[dict[str, Any]]:
    keys = [key for key in store.names("runs") if key.endswith("/manifest.json")]
    return [json.loads(store.get(f"runs/{key}")) for key in keys if key.count("/") == 1]


def _parted(
    manifests: Sequence[dict[str, Any]], keep_runs: int | None
) -> tuple[list[str], list[str]]:
    """Part runs into those to keep and the others."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for manifest in manifests:
        by_name.setdefault(manifest["name"], []).append(manifest)
    kept, dropped = [], []
    for runs in by_name.values():
        runs.sort(key=lambda run: (run.get("number") or 0, run["finished"], run["run_id"]))
        at = 0 if keep_runs is None else max(0, len(runs) - keep_runs)
        dropped += [run["run_id"] for run in runs[:at]]
        kept += [run["run_id"] for run in runs[at:]]
    return kept, dropped


def _references(store: Store, run_id: str) -> pa.Table:
    key = f"runs/{run_id}/references.parquet"
    if not store.exists(key):
        raise ConfigError(
            f"{store.uri}: run {run_id} is of an older otce and does not say what it refers to; "
            "run it again (which computes nothing), or delete its folder"
        )
    return store.get_table(key, REFERENCES)


def _tables(store: Store, run_id: str, options: StorageOptions | None) -> list[Entry]:
    folder = f"runs/{run_id}"
    found = entries(join(store.uri, folder), options)
    found.sort(key=lambda entry: (entry.name != "manifest.json", entry.name))
    return [entry._replace(name=f"{folder}/{entry.name}") for entry in found]


def _shown(found: Pruned) -> Table:
    table = Table(box=SIMPLE)
    table.add_column("folder")
    for name in ("objects", "bytes", "unreferenced", "their bytes", "of them too young"):
        table.add_column(name, justify="right")
    for folder, all_ in found.entries.items():
        verdicts = found.found[folder]
        cells = [
            len(all_),
            sum(entry.n_bytes for entry in all_),
            len(verdicts),
            sum(verdict.entry.n_bytes for verdict in verdicts),
            sum(verdict.is_young is True for verdict in verdicts),
        ]
        table.add_row(folder, *(f"{cell:,}" for cell in cells))
    return table


def _told(found: Pruned, *, deleted: bool) -> list[str]:
    lines = []
    if found.dropped:
        lines.append(f"runs that are not kept: {', '.join(found.dropped)}")
    undated = sum(v.is_young is None for verdicts in found.found.values() for v in verdicts)
    if undated:
        lines.append(
            f"{undated} objects stay, as this store does not say how old they are; --grace-days 0 "
            "takes them as well"
        )
    n_bytes = sum(entry.n_bytes for entry in found.deletable)
    what = f"{len(found.deletable)} objects, {n_bytes:,} bytes"
    lines.append(f"deleted {what}" if deleted else f"nothing deleted; --delete deletes {what}")
    return lines
