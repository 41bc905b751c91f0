"""What work took, measured where it is done and collected where it is waited for.

Workers measure with a `Meter` and send what it says beside their results; the driver sums it up
in `Timings`. So nothing of it passes through the score tables.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import torch

from otce.storage.traffic import READ
from otce.tables import table
from otce.timing_table import TIMINGS
from tasks import metrics

Step = Literal["load", "extract", "solve"]


@dataclass(frozen=True)
class Spent:
    """What one call took.

    Attributes:
        worker_s: wall time within the worker.
        read_bytes: bytes that it read meanwhile.
        images: images that were run through the model.
        batch_size: images a forward pass that were asked for.
        device: name of the device.
        n_iter: iterations of the solver.
        cpu_s: processor time of the worker's process meanwhile.
    """

    worker_s: float
    read_bytes: int
    images: int | None = None
    batch_size: int | None = None
    device: str | None = None
    n_iter: int | None = None
    cpu_s: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        """Add what another call of the same kind took."""
        return Spent(
            self.worker_s + other.worker_s,
            self.read_bytes + other.read_bytes,
            images=_sum(self.images, other.images),
            batch_size=max(self.batch_size or 0, other.batch_size or 0) or None,
            device=_both(self.device, other.device),
            n_iter=_sum(self.n_iter, other.n_iter),
            cpu_s=self.cpu_s + other.cpu_s,
        )


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)


def _both(one: str | None, other: str | None) -> str | None:
    names = {name for told in (one, other) if told for name in told.split(", ")}
    return ", ".join(sorted(names)) or None


class Meter:
    """Measures from when it is made; one call at a time a process, which is how workers work."""

    def __init__(self) -> None:
        self._started_s, self._started_cpu_s = time.perf_counter(), time.process_time()
        self._before_bytes = READ.n_bytes

    def spent(self, **known: Any) -> Spent:
        """Say what was spent so far.

        Args:
            **known: the other fields of `Spent`.

        Returns:
            Time and bytes since the meter was made.
        """
        worker_s = time.perf_counter() - self._started_s
        cpu_s = time.process_time() - self._started_cpu_s
        return Spent(worker_s, READ.n_bytes - self._before_bytes, cpu_s=cpu_s, **known)


def device_name(device: torch.device) -> str:
    """Name a device as people know it.

    Args:
        device: of a model.

    Returns:
        The name of a GPU, or `cpu`.
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


class Timings:
    """Sums up what calls took, from many threads, and shows it to Prometheus."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Sums and not lists: the driver's memory must not grow with every repetition.
        self._sums: dict[tuple[Step, str, str], tuple[int, Spent]] = {}

    def add(self, step: Step, model_id: str, dataset_id: str, spent: Spent) -> None:
        """Add a call.

        Args:
            step: what was done.
            model_id: of which model.
            dataset_id: of which data set; for `solve` the target, for `load` nothing.
            spent: what it took.
        """
        key = step, model_id, dataset_id
        with self._lock:
            calls, before = self._sums.get(key, (0, None))
            self._sums[key] = calls + 1, spent if before is None else before + spent
        if step == "solve":
            metrics.TRANSPORT_SECONDS.observe(spent.worker_s)
        if spent.images:
            metrics.IMAGES_EXTRACTED.inc(spent.images)
            metrics.SHARD_SECONDS.observe(spent.worker_s, {"device": str(spent.device)})

    def solve_s(self, model_id: str, target_id: str) -> float:
        """Sum up the transports of a pair.

        Args:
            model_id: its model.
            target_id: its target.

        Returns:
            Seconds in workers, 0 when there was none.
        """
        with self._lock:
            found = self._sums.get(("solve", model_id, target_id))
        return found[1].worker_s if found else 0.0

    def table(self, gpus_per_actor: float) -> pa.Table:
        """Show what was collected.

        Args:
            gpus_per_actor: GPUs that a feature actor holds.

        Returns:
            A table of `otce.timing_table.TIMINGS`, by step, model and data set.
        """
        with self._lock:
            sums = sorted(self._sums.items())
        rows = [_row(*key, calls, spent, gpus_per_actor) for key, (calls, spent) in sums]
        return table(rows, TIMINGS)


def _row(
    step: Step, model_id: str, dataset_id: str, calls: int, spent: Spent, gpus_per_actor: float
) -> dict[str, Any]:
    return {
        "step": step,
        "source_model": model_id,
        "dataset": dataset_id or None,
        "calls": calls,
        "worker_s": spent.worker_s,
        "gpu_s": 0.0 if step == "solve" else spent.worker_s * gpus_per_actor,
        "images": spent.images,
        "images_per_s": spent.images / spent.worker_s if spent.images else None,
        "read_bytes": spent.read_bytes,
        "batch_size": spent.batch_size,
        "device": spent.device,
        "n_iter": spent.n_iter,
        "cpu_s": spent.cpu_s,
    }
