"""Tell whether a run's tables are published already, so that they need not be made again."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from otce.errors import DamagedError
from otce.fingerprint import fingerprint
from otce.storage.store import Store
from otce.tables import SUMMARY

_OF_ONE_START: Final = {"command", "started", "finished", "pairs"}
_FILES: Final = (
    "config.yaml",
    "failures.parquet",
    "joints.parquet",
    "references.parquet",
    "report.html",
    "risks.parquet",
    "scores.parquet",
)


def tables_mark(
    about: Mapping[str, Any], names: Sequence[tuple[str, str]], items: Mapping[str, Sequence[str]]
) -> str:
    """Fingerprint all that the tables and the report of a run without failures are made of.

    Args:
        about: what `manifest.json` holds; when it was started and how does not count.
        names: model id and fingerprint of every pair table.
        items: ids of the images by data set id.

    Returns:
        32 hexadecimal digits, kept in the manifest as `tables`.
    """
    said = {name: value for name, value in about.items() if name not in _OF_ONE_START}
    pairs = sorted(name for _, name in names)
    return fingerprint({"kind": "tables", "about": said, "pairs": pairs, "items": items})


def published_summary(run_id: str, mark: str, store: Store) -> pa.Table | None:
    """Read the ranking of a run whose tables are there.

    Args:
        run_id: the run.
        mark: what its tables are to be made of.
        store: where they are kept.

    Returns:
        `otce.tables.SUMMARY`; None when something is absent, damaged, or made of something else.

    Raises:
        StoreError: the store does not answer.
    """
    folder = f"runs/{run_id}"
    if not store.exists(f"{folder}/manifest.json"):
        return None
    try:
        if json.loads(store.get(f"{folder}/manifest.json")).get("tables") != mark:
            return None
        if not all(store.exists(f"{folder}/{name}") for name in _FILES):
            return None
        return store.get_table(f"{folder}/summary.parquet", SUMMARY)
    except (DamagedError, ValueError):
        return None
