"""Put score tables into the store by Ray tasks: rows never pass through the driver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any, Final

import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from otce.config import ExecutionConfig
from otce.errors import OtceError
from otce.pair_table import Row, pair_rows, whole_pair
from otce.recipe import Metric
from otce.storage.files import StorageOptions
from otce.storage.store import Store
from otce.tables import PAIR, table
from tasks.ray_calls import Ref, inside, result
from tasks.retry import attempt
from tasks.solve import Rows


@dataclass(frozen=True)
class Solved:
    """Where the rows of a repetition are.

    Attributes:
        rows: reference of those of a whole task.
        position: among them.
    """

    rows: Ref
    position: int


@dataclass(frozen=True)
class Scores:
    """One object to put.

    Attributes:
        name: its fingerprint, if it is a whole pair; None: it holds some repetitions.
        key: its name below the root of the store.
        metric: of which score.
        columns: what all its rows say, see `otce.pair_table.pair_columns`.
    """

    name: str | None
    key: str
    metric: Metric
    columns: Row

    def table(self, rows: Mapping[int, Row]) -> pa.Table:
        """Make the table of what repetitions gave.

        Args:
            rows: by repetition.

        Returns:
            A table of `otce.tables.PAIR`.
        """
        full = pair_rows(self.columns, rows)
        return table(full, PAIR) if self.name is None else whole_pair(self.name, full)


_Asked = list[tuple[Scores, dict[int, tuple[int, int]]]]
"""What is put, and of each repetition the part that has it and the place in it."""

_ROOM: Final = BoundedSemaphore(4)
"""Workers that put at once: each is a process on the driver's node, which may be a small one."""


def put_scores(
    objects: Sequence[tuple[Scores, Mapping[int, Solved]]], store: Store, execution: ExecutionConfig
) -> list[OtceError | None]:
    """Put some score tables.

    Args:
        objects: what, and where the rows of its repetitions are.
        store: where they go.
        execution: the execution half of the run.

    Returns:
        Why the store does not hold each; None: it does.

    Raises:
        GaveUpError: the worker died, or rows were lost with their node.
    """
    parts: dict[Ref, int] = {}
    asked = [
        (one, {k: (parts.setdefault(at.rows, len(parts)), at.position) for k, at in rows.items()})
        for one, rows in objects
    ]
    options = execution.storage_options

    def put() -> list[OtceError | None]:
        if store.is_in_memory:
            return _put(store, asked, [result(ref, execution.time_limit_s) for ref in parts])
        # Where the driver is: there its folders are, its keys of a bucket, and its version.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        with _ROOM:
            with inside():
                start = _put_scores.options(scheduling_strategy=here)
                ref = start.remote(store.uri, options, asked, *parts)
            found: list[OtceError | None] = result(ref, execution.time_limit_s)
        return found

    # An object that is put twice is put with equal bytes.
    errors = attempt(put, attempts=execution.attempts, recover=lambda: None)
    for (one, _), error in zip(objects, errors, strict=True):
        if error is None:
            store.was_put(one.key)
    return errors


# It waits for storage more than it computes, and must not wait for a transport to end.
@ray.remote(max_retries=0, num_cpus=0)
def _put_scores(
    root: str, options: StorageOptions, asked: _Asked, *parts: list[Rows]
) -> list[OtceError | None]:
    return _put(Store(root, options), asked, parts)


def _put(store: Store, asked: _Asked, parts: Sequence[list[Rows]]) -> list[OtceError | None]:
    errors: list[OtceError | None] = []
    for one, places in asked:
        rows: dict[int, Any] = {k: parts[i][at][one.metric] for k, (i, at) in places.items()}
        try:
            store.put_table(one.key, one.table(rows))
        except OtceError as error:
            errors.append(error)
        else:
            errors.append(None)
    return errors
