"""`measure_zoo`: plan, transfer what is new, publish."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from threading import Semaphore
from typing import Any

import pyarrow as pa
import yaml
from prefect import flow
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from rich.console import Console

from flows.compute import compute_beside
from flows.held_back import data_needed
from flows.manifest import manifest
from flows.pairs import list_datasets
from flows.progress import Progress
from flows.sources import with_signatures
from flows.transfers import Planned, failed, plan_transfers
from otce.config import RunConfig
from otce.config_file import load_config
from otce.datasets.expand import expanded
from otce.errors import OtceError
from otce.fingerprint import fingerprint
from otce.storage.store import Store
from otce.truth.compute import Compute
from tasks.cluster import cluster
from tasks.publish_truth import publish_truth, sound_transfers
from tasks.retry import Window, explained_of_model
from tasks.transfer import Job, Transfers, transfer_model

Reasons = dict[str, tuple[str, OtceError]]
"""Of transfers that failed, by fingerprint, the stage and the reason."""


@dataclass(frozen=True)
class Measured:
    """What a measurement did; transfers are counted as rows of the truth table.

    Attributes:
        run_id: folder of its tables below `runs/`.
        store_uri: the store.
        truth: `otce.transfer.tables.TRUTH`.
        computed: transfers made now.
        reused: transfers found in the store.
        failures: rows of `otce.transfer.tables.FAILURES`.
        compute: what a short fine-tune costs beside the scores, where both are known.
    """

    run_id: str
    store_uri: str
    truth: pa.Table
    computed: int
    reused: int
    failures: list[dict[str, Any]]
    compute: Compute | None


def _run_name() -> str:
    return f"measure {PurePath(flow_run.parameters['config_uri']).stem}"


@flow(name="measure-zoo", flow_run_name=_run_name, persist_result=False, retries=0)
def measure_zoo(config_uri: str, overrides: list[str] | None = None) -> Measured:
    """Really transfer every model of a zoo to every target, and judge it on held-back images.

    What the store holds is not made again: equal transfers have equal object names.

    Args:
        config_uri: path or fsspec URI of the configuration.
        overrides: `dotted.key=value` texts.

    Returns:
        What every transfer gave, and what it took.

    Raises:
        ConfigError: the configuration is wrong, or names no held-back images.
        DataError: there are no cities (or sequences) to make data sets of.
        StoreError: the store cannot be used.
        ClusterError: Ray cannot be used.
    """
    started = datetime.now(UTC)
    config, described = with_signatures(expanded(load_config(config_uri, overrides or ())))
    needs = data_needed(config)
    store = Store(config.execution.store, config.execution.storage_options)
    store.probe()
    with Progress(Console(stderr=True)) as progress:
        planned = plan_transfers(config, described, *list_datasets(config, needs, progress))
        sound = sound_transfers(planned.jobs, store)
        todo = {name: job for name, job in planned.jobs.items() if name not in sound}
        progress.say(_plan_line(config, planned, len(todo)))
        reasons = _made(config, store, todo, progress) if todo else {}
    failures = planned.failures + [
        failed(cell, *reasons[name]) for cell, name in planned.names.items() if name in reasons
    ]
    names = {cell: name for cell, name in planned.names.items() if name not in reasons}
    computed = sum(name in todo for name in names.values())
    reused = len(names) - computed
    counts = {"computed": computed, "reused": reused, "failed": len(failures)}
    truth = publish_truth(
        config.run_id,
        store,
        names=names,
        sources={id_: side.source for id_, side in planned.sides.items()},
        failures=failures,
        manifest=_manifest(config, planned, counts, started),
        config_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    )
    folder, options = f"runs/{config.run_id}", config.execution.storage_options
    compute = compute_beside(store, folder, f"{store.uri}/{folder}/truth.parquet", options)
    return Measured(config.run_id, store.uri, truth, computed, reused, failures, compute)


def _plan_line(config: RunConfig, planned: Planned, n_todo: int) -> str:
    shared = len(planned.names) - len(planned.jobs)
    return (
        f"{len(config.models)} models, {len(config.targets)} targets, "
        f"{len(planned.names)} transfers"
        + (f" ({shared} of them from scratch and shared)" if shared else "")
        + f": {len(planned.jobs) - n_todo} in the store, {n_todo} to make"
    )


def _made(config: RunConfig, store: Store, todo: Mapping[str, Job], progress: Progress) -> Reasons:
    """Make transfers on Ray, no more models at once than have a slot or wait for one."""
    by_model: dict[str, list[Job]] = {}
    for job in todo.values():
        by_model.setdefault(job.cell.model, []).append(job)
    execution = config.execution
    progress.say("starting Ray")
    with cluster(execution) as plan:
        progress.expect("transfers", len(todo))
        work = Transfers(
            store=store,
            python_path=execution.python_path,
            options=execution.storage_options,
            plan=plan,
            window=Window(
                plan.in_flight, attempts=execution.attempts, time_limit_s=execution.time_limit_s
            ),
            on_job=_teller(progress),
        )
        room = Semaphore(plan.actors + 1)
        futures: dict[PrefectFuture[Reasons], list[Job]] = {}
        for model, jobs in by_model.items():
            room.acquire()
            future = transfer_model.submit(model, jobs, work)
            future.add_done_callback(lambda _: room.release())
            futures[future] = jobs
        reasons: Reasons = {}
        for future in as_completed(list(futures)):
            result: Reasons | Exception = future.result(raise_on_failure=False)
            if isinstance(result, Exception):
                reason = "transfer", explained_of_model(result)
                result = {job.name: reason for job in futures[future]}
            reasons |= result
    return reasons


def _teller(progress: Progress) -> Callable[[Job, OtceError | None], None]:
    def tell(job: Job, error: OtceError | None) -> None:
        progress.advance("transfers")
        if error is not None:
            cell = job.cell
            progress.say(f"{cell.model} -> {cell.target}: {cell.kind} failed")

    return tell


def _manifest(
    config: RunConfig, planned: Planned, counts: Mapping[str, int], started: datetime
) -> dict[str, Any]:
    found = manifest(config, planned.listed, {}, planned.sides, counts, started)
    transfers = found.pop("pairs")
    names = sorted(set(planned.names.values()))
    return found | {"transfers": transfers, "truth_fingerprint": fingerprint(names)}
