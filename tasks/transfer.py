"""Make transfers of one model and judge them: one Ray task each, on a GPU slot where there are any.

Every task computes with one thread, so that no number depends on the machine it runs on.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from otce.config import DatasetConfig
from otce.datasets import Item, open_dataset
from otce.errors import DataError, OtceError
from otce.features import round_alike
from otce.measure_config import Training
from otce.model_config import ModelConfig
from otce.storage.files import StorageOptions
from otce.storage.store import Store
from otce.tables import table
from otce.transfer.crops import LabelledImage
from otce.transfer.tables import TIMINGS, Cell, kept_table
from otce.transfer.training import Transfer, as_it_is, transferred
from otce.zoo import load_model
from tasks.plan import Plan
from tasks.ray_calls import Ref
from tasks.retry import GaveUpError, Window


@dataclass(frozen=True)
class Part:
    """Some items of a data set, with the digests they had when it was listed.

    Attributes:
        config: the data set.
        items: those that count.
        digests: (image digest, label digest) of each.
    """

    config: DatasetConfig
    items: tuple[Item, ...]
    digests: tuple[tuple[str, str], ...]

    def images(self, options: StorageOptions) -> Iterator[LabelledImage]:
        """Read the items one by one.

        Args:
            options: fsspec options by protocol.

        Yields:
            Image and label of each.

        Raises:
            DataError: one is corrupt or changed, or an image and its label differ in size.
        """
        dataset = open_dataset(self.config, options, self.items)
        for item, (image_digest, label_digest) in zip(self.items, self.digests, strict=True):
            image, label = dataset.image(item, image_digest), dataset.label(item, label_digest)
            if image.shape[:2] != label.shape:
                raise DataError(
                    f"{item.id}: the image has {image.shape[:2]} pixels and its label "
                    f"{label.shape}; store both in one size"
                )
            yield image, label


@dataclass(frozen=True)
class Job:
    """One transfer.

    Attributes:
        name: its fingerprint.
        cell: which it is; where models share it, that of the first of them.
        model: the source model, pinned to the digest of its weights.
        class_map: target label of each source class, -1 for none; empty where it is not asked for.
        few: labelled images to train on; none where nothing is trained.
        held_back: images to judge on.
        n_classes: classes of the target.
        training: how; None where nothing is trained.
        row: what its table says beside the figures.
    """

    name: str
    cell: Cell
    model: ModelConfig
    class_map: tuple[int, ...]
    few: Part
    held_back: Part
    n_classes: int
    training: Training | None
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Transfers:
    """What the transfers of all models share.

    Attributes:
        store: where results go.
        python_path: folders searched for factories.
        options: fsspec options by protocol.
        plan: how the cluster is shared.
        window: bounds the tasks.
        on_job: told which transfer is done, and why when it failed.
    """

    store: Store
    python_path: Sequence[str]
    options: StorageOptions
    plan: Plan
    window: Window
    on_job: Callable[[Job, OtceError | None], None]


@task(task_run_name="transfer {model_id}", cache_policy=NO_CACHE, persist_result=False)
def transfer_model(
    model_id: str,  # noqa: ARG001 - names the task run
    jobs: Sequence[Job],
    work: Transfers,
) -> dict[str, tuple[str, OtceError]]:
    """Make all transfers of a model and keep each as soon as it is there.

    Args:
        model_id: the source model.
        jobs: its transfers.
        work: what all models share.

    Returns:
        Of those that failed, by name, the stage and the reason.
    """
    submits = [partial(_submit, job, work) for job in jobs]
    failures: dict[str, tuple[str, OtceError]] = {}
    for index, result in work.window.run(submits):
        job = jobs[index]
        if isinstance(result, GaveUpError):
            failures[job.name] = "transfer", result
        else:
            found, timing = result
            try:
                _put(job, found, timing, work)
            except OtceError as error:
                failures[job.name] = "publish", error
        work.on_job(job, failures[job.name][1] if job.name in failures else None)
    return failures


def _put(job: Job, found: Transfer, timing: dict[str, Any], work: Transfers) -> None:
    # What it cost first: a transfer that is there is never made again.
    cost = timing | job.cell.row | {"truth_fingerprint": job.name, "steps": job.row["steps"]}
    cost["training_cpu_s"] = found.training_cpu_s
    work.store.put_table(f"truth_timings/{job.name}.parquet", table([cost], TIMINGS))
    kept = kept_table(job.row, found, [item.id for item in job.held_back.items])
    work.store.put_table(f"truth/{job.name}.parquet", kept)


def _submit(job: Job, work: Transfers) -> Ref:
    gpus = work.plan.actor_gpus
    # Ray runs as many at once as there are slots; unlike features, training fills a CPU alone.
    start = _transfer.options(num_gpus=gpus, num_cpus=1)
    return start.remote(job, list(work.python_path), work.options, gpus)


@ray.remote(max_retries=0)
def _transfer(
    job: Job, python_path: Sequence[str], options: StorageOptions, gpus: float
) -> tuple[Transfer, dict[str, Any]]:
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    _compute_alike()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = _made(job, python_path, options, device)
    wall_s = time.perf_counter() - started_s
    return found, {
        "wall_s": wall_s,
        "cpu_s": time.process_time() - started_cpu_s,
        "gpu_s": wall_s * gpus if device == "cuda" else 0.0,
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
    }


def _compute_alike() -> None:
    """Set torch so that equal transfers give equal numbers: bytes on CPUs, as near on GPUs."""
    # Read by cuBLAS when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    round_alike()
    torch.use_deterministic_algorithms(mode=True, warn_only=True)


def _made(job: Job, python_path: Sequence[str], options: StorageOptions, device: str) -> Transfer:
    model = load_model(
        job.cell.model, job.model, python_path=python_path, device=device, options=options
    )
    held_back = job.held_back.images(options)
    if job.training is None:
        return as_it_is(model, job.class_map, held_back, job.n_classes)
    few = list(job.few.images(options))
    return transferred(model, job.class_map, few, held_back, job.n_classes, job.training)
