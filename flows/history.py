"""Which run came before this one, in a series of numbered runs; no clock is looked at.

A run whose id ends in `{n}` takes the next number of its series when it finds anything changed:
the configuration, a model, a data set. Where nothing changed it is the last run again. A run
without a manifest did not finish, so its number is free: the same command goes on with it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.pairs import Prepared
from otce.config import RunConfig
from otce.drift import Earlier
from otce.errors import ConfigError
from otce.fingerprint import fingerprint
from otce.storage.store import Store
from otce.tables import SUMMARY

NUMBERED = "{n}"
"""What the id of a numbered run ends in."""


@dataclass(frozen=True)
class History:
    """Where a run stands in its series.

    Attributes:
        run_id: folder of its tables.
        number: its number; None: it is not numbered.
        inputs: fingerprint of everything that its tables depend on.
        previous: id of the finished run before it; None: there is none.
    """

    run_id: str
    number: int | None
    inputs: str
    previous: str | None

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest holds of it."""
        return {"number": self.number, "inputs": self.inputs, "previous": self.previous}


def history(config: RunConfig, found: Prepared, store: Store) -> History:
    """Find the place of a run in its series.

    Args:
        config: the run.
        found: what is known of its data sets and models.
        store: where runs are kept.

    Returns:
        Its id and the run before it; without `{n}` in the id there is none.

    Raises:
        StoreError: the store does not answer.
    """
    inputs = _inputs(config, found)
    if not config.run_id.endswith(NUMBERED):
        return History(config.run_id, None, inputs, None)
    numbers = finished(config.run_id, store)
    last = max(numbers, default=0)
    if numbers and (told := _manifest(store, numbers[last])).get("inputs") == inputs:
        return History(numbers[last], last, inputs, told.get("previous"))
    return History(_id(config.run_id, last + 1), last + 1, inputs, numbers.get(last))


def finished(series: str, store: Store) -> dict[int, str]:
    """Find the finished runs of a series.

    Args:
        series: a run id that ends in `{n}`.
        store: where runs are kept.

    Returns:
        Run ids by number.

    Raises:
        StoreError: the store does not answer.
    """
    shape = re.compile(re.escape(series.removesuffix(NUMBERED)) + r"([0-9]{4,})/manifest\.json")
    matches = [match for name in store.names("runs") if (match := shape.fullmatch(name))]
    found = {int(match[1]): match[0].partition("/")[0] for match in matches}
    # A listing may lag behind what the last run wrote; a look at one name does not.
    latest = max(found, default=0) + 1
    while store.exists(f"runs/{_id(series, latest)}/manifest.json"):
        found[latest] = _id(series, latest)
        latest += 1
    return found


def pinned(config: RunConfig) -> RunConfig:
    """Let the id of a numbered run stand for the last finished run of its series.

    Args:
        config: a run; unchanged where it is not numbered.

    Returns:
        The run with the id of one folder.

    Raises:
        ConfigError: no run of the series is finished.
        StoreError: the store does not answer.
    """
    if not config.run_id.endswith(NUMBERED):
        return config
    store = Store(config.execution.store, config.execution.storage_options)
    numbers = finished(config.run_id, store)
    if not numbers:
        raise ConfigError(f"{store.uri} has no finished run of {config.run_id}; run it first")
    return config.numbered(numbers[max(numbers)])


def earlier_run(run_id: str | None, store: Store) -> Earlier | None:
    """Read what a finished run found.

    Args:
        run_id: its id; None: there is none.
        store: where runs are kept.

    Returns:
        Its manifest and summary; None where there is none, or it was pruned.

    Raises:
        StoreError: it is damaged, or the store does not answer.
    """
    if run_id is None or not store.exists(f"runs/{run_id}/manifest.json"):
        return None
    table = store.get_table(f"runs/{run_id}/summary.parquet", SUMMARY)
    return Earlier(run_id, _manifest(store, run_id), table)


def _manifest(store: Store, run_id: str) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(store.get(f"runs/{run_id}/manifest.json"))
    return found


def _id(series: str, number: int) -> str:
    return f"{series.removesuffix(NUMBERED)}{number:04d}"


def _inputs(config: RunConfig, found: Prepared) -> str:
    """Hash what tables depend on: names of pairs hold recipe and digests, not where files lie."""
    pairs = [[*pair, found.names.get(pair)] for pair in sorted(config.pairs)]
    rules = config.race if config.strategy == "race" else None
    return fingerprint({"kind": "inputs", "pairs": pairs, "race": rules})
