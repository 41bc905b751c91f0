"""`otce measure`: the command and what it prints."""

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

_OK, _SOME_FAILED = 0, 1
_PERCENT = 100


def measure(
    config: str,
    *,
    overrides: Annotated[
        list[str] | None,
        Parameter(name="--set", negative=(), help="dotted.key=value, in YAML; may be repeated."),
    ] = None,
) -> int:
    """Really transfer the models of a configuration, to learn how far its ranking can be trusted.

    Args:
        config: YAML file, a path or any fsspec URI.
        overrides: changes to the configuration.
    """
    from flows.server import prefect_server  # noqa: PLC0415
    from flows.show import show_failures  # noqa: PLC0415

    started_s = time.monotonic()
    console, notes = Console(), Console(stderr=True)
    notes.print(f"otce measure {config}", markup=False, highlight=False, soft_wrap=True)
    # Failures are told by us, once and readable; Prefect would add tracebacks.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    with prefect_server() as wait_for_server:
        from otce.config_file import load_config  # noqa: PLC0415

        written = load_config(config, overrides or ())
        from flows.held_back import measure_of  # noqa: PLC0415
        from flows.measure import measure_zoo  # noqa: PLC0415

        # Before the server is waited for: what is wrong is told at once.
        measure_of(written)

        wait_for_server()
        uri = os.path.abspath(config) if "://" not in config else config  # noqa: PTH100
        found = measure_zoo(uri, overrides)
    show_truth(console, found.truth)
    show_failures(console, [row | {"metric": row["kind"]} for row in found.failures])
    if found.compute:
        console.print(str(found.compute), highlight=False, soft_wrap=True)
    told = (
        f"{found.computed} transfers measured, {found.reused} reused, {len(found.failures)} failed "
        f"in {time.monotonic() - started_s:.0f} s"
    )
    console.print(told, highlight=False, soft_wrap=True)
    folder = f"{found.store_uri}/runs/{found.run_id}"
    console.print(f"tables: {folder}/truth.parquet", soft_wrap=True, highlight=False)
    return _SOME_FAILED if found.failures else _OK


def show_truth(console: Console, truth: "pa.Table") -> None:
    """Print the mean mIoU over seeds of every model, one table a target and number of images.

    Args:
        console: where to.
        truth: `otce.transfer.tables.TRUTH`.
    """
    from flows.show import plain  # noqa: PLC0415
    from otce.measure_config import BASELINES  # noqa: PLC0415

    rows = [row for row in truth.to_pylist() if row["kind"] not in BASELINES]
    for target in dict.fromkeys(row["target_dataset"] for row in rows):
        mine = [row for row in rows if row["target_dataset"] == target]
        for shots in sorted({row["shots"] for row in mine} - {0}) or [0]:
            title = f"target {plain(target)}, {shots} labelled images: mIoU ↑ percent"
            console.print(_table(title, [row for row in mine if row["shots"] in {0, shots}]))


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    from flows.show import plain  # noqa: PLC0415
    from otce.measure_config import KINDS  # noqa: PLC0415

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE)
    table.add_column("source model", no_wrap=True)
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        values.setdefault((row["source_model"], row["kind"]), []).append(row["value"])
    kinds = [kind for kind in KINDS if any(kind == known for _, known in values)]
    for kind in kinds:
        table.add_column(kind.replace("_", " "), justify="right")
    for model in dict.fromkeys(row["source_model"] for row in rows):
        table.add_row(plain(model), *(_mean(values.get((model, kind), [])) for kind in kinds))
    return table


def _mean(values: list[float]) -> str:
    return f"{_PERCENT * sum(values) / len(values):.1f}" if values else "-"
