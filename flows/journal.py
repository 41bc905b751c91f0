"""What a run leaves in its store before it has tables: a plan first, and failures as they happen.

Both are for eyes only: `otce status` reads them, no run does, and no table depends on them. A plan
names all objects that the run will have in the end, so that what is there can be counted.
"""

import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from typing import Any

from flows.pairs import Pair, Prepared
from flows.sources import repetition_names
from otce.config import RunConfig
from otce.errors import StoreError
from otce.fingerprint import fingerprint
from otce.storage.store import Store


class Journal:
    """Writes the plan and the failures of one start of a run.

    Args:
        store: the store of the run.
        run_id: folder of its tables below `runs/`.
        started: when the command began; tells its failures from those of an earlier start.
    """

    def __init__(self, store: Store, run_id: str, started: datetime) -> None:
        self._store, self._folder = store, f"runs/{run_id}"
        self._started = started.isoformat(timespec="seconds")
        self._lock = threading.Lock()
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def put_plan(self, config: RunConfig, found: Prepared) -> None:
        """Put `plan.json`.

        Args:
            config: the run.
            found: its pairs and what is known of them.

        Raises:
            StoreError: the store refuses.
        """
        plan = {
            "run_id": config.run_id,
            "started": self._started,
            "otce_version": version("otce"),
            "strategy": config.strategy,
            "pairs": [
                {"source_model": pair[0], "target_dataset": pair[1]} | _objects(config, found, pair)
                for pair in config.pairs
            ],
        }
        self._put("plan.json", plan)

    def failed(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put failures beside the plan, one object a model.

        That the store refuses one is no failure of the run: its tables will hold them all.

        Args:
            rows: rows of the failures table.
        """
        by_model: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_model.setdefault(row["source_model"], []).append(dict(row))
        for model, new in by_model.items():
            # Within the lock: of two puts of a model the longer must be the later.
            with self._lock, suppress(StoreError):
                mine = self._rows.setdefault(model, [])
                mine += new
                told = {"started": self._started, "failures": mine}
                self._put(f"failing/{fingerprint(model)}.json", told)

    def _put(self, name: str, value: Mapping[str, Any]) -> None:
        text = json.dumps(value, separators=(",", ":"))
        self._store.put(f"{self._folder}/{name}", text.encode())


def _objects(config: RunConfig, found: Prepared, pair: Pair) -> dict[str, Any]:
    """Name what the store will hold of a pair; nothing where it has failed already."""
    if pair not in found.names:
        return {"scores": []}
    names = {"scores": list(found.names[pair].values())}
    if config.strategy != "race":
        return names
    # What a race keeps of a pair before it is whole.
    side, digest = found.sides[pair[0]], found.listed[pair[1]].digest
    named = (repetition_names(config, *pair, side, digest, heat=heat) for heat in (True, False))
    return names | {"repetitions": [names["otce"] for names in named]}
