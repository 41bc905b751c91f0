"""The command line: `otce run | validate | status | report` and others, see `app`.

Exit codes: 0 all scored, 1 some pairs failed, 2 configuration or usage, 3 store or cluster
unreachable, 130 interrupted. Heavy libraries are imported by the command that needs them, after its
first line of output.
"""

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from otce.errors import ClusterError, OtceError, StoreError
from otce.events import event, in_json, json_lines

OK, SOME_FAILED, WRONG_INPUT, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130

app: Final = App(
    name="otce",
    help="Rank trained segmentation models for a target data set without fine-tuning them.",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)
_SET = Annotated[
    list[str] | None,
    Parameter(name="--set", negative=(), help="dotted.key=value, in YAML; may be repeated."),
]
_ONLY = Annotated[list[str] | None, Parameter(name="--only", negative=(), consume_multiple=True)]


app.command(
    "flows.status_command:status",
    name="status",
    help="Say how far a run is: done, failed, left, rate and time left.",
)
app.command(
    "flows.measure_command:measure",
    name="measure",
    help="Really transfer the models of a configuration and keep what each reached.",
)


@app.command
def run(
    config: str, *, overrides: _SET = None, only: _ONLY = None, since: str | None = None
) -> int:
    """Rank the zoo of a configuration and print the ranking; what is stored is not done again.

    Args:
        config: YAML file, a path or any fsspec URI.
        overrides: changes to the configuration.
        only: globs of ids of models and targets; the others are left out.
        since: id of an earlier run, or previous: what failed for good there is not tried again
            unless its model or a data set changed.
    """
    from flows.server import prefect_server, server_stays  # noqa: PLC0415
    from flows.show import printable, show_failures, show_ranking  # noqa: PLC0415

    started_s = time.monotonic()
    console, notes = Console(), Console(stderr=True, quiet=in_json())
    notes.print(f"otce run {config}", markup=False, highlight=False, soft_wrap=True)
    # Failures are told by us, once and readable; Prefect would add tracebacks.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")
    # A server that went away is asked again for a quarter of a minute, and not for a whole one.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "3")
    with prefect_server() as wait_for_server:
        from otce.config_file import load_config  # noqa: PLC0415
        from otce.storage.files import absolute_uri  # noqa: PLC0415

        load_config(config, overrides or ())
        with _loading():
            from flows.rank import rank_zoo  # noqa: PLC0415
        wait_for_server()
        with server_stays():
            place = absolute_uri(config, ".")
            outcome = rank_zoo(place, overrides, only=only, since=since)
    show_ranking(console, outcome.summary)
    show_failures(console, outcome.failures)
    for key in outcome.set_aside:
        told = f"warning: damaged, set aside and computed again: {outcome.store_uri}/{key}"
        console.print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)
    failed = len({(row["source_model"], row["target_dataset"]) for row in outcome.failures})
    idle = not outcome.computed and not failed
    computed = "nothing to compute" if idle else f"{outcome.computed} pairs computed"
    console.print(
        f"{computed}, {outcome.reused} reused, {failed} failed in "
        f"{time.monotonic() - started_s:.0f} s",
        highlight=False,
        soft_wrap=True,
    )
    if outcome.drift:
        told = printable(outcome.drift).replace("\n", "")
        console.print(
            f"drift: {told}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )
    folder = f"{outcome.store_uri}/runs/{outcome.run_id}"
    console.print(f"tables and report: {folder}/report.html", soft_wrap=True, highlight=False)
    return SOME_FAILED if failed else OK


@app.command
def validate(config: str, *, overrides: _SET = None) -> int:
    """Check everything that can be checked before a run: data, models, taps, store.

    Args:
        config: YAML file, a path or any fsspec URI.
        overrides: changes to the configuration.
    """
    console = Console()
    console.print(f"otce validate {config}", markup=False, highlight=False, soft_wrap=True)
    from flows.show import printable  # noqa: PLC0415
    from flows.validate import validate as check  # noqa: PLC0415
    from otce.config_file import load_config  # noqa: PLC0415

    problems = check(load_config(config, overrides or ()), console)
    for problem in problems:
        console.print(
            printable(problem), style="red", markup=False, highlight=False, soft_wrap=True
        )
    console.print(f"{len(problems)} problems" if problems else "ready to run")
    return WRONG_INPUT if problems else OK


@app.command
def signature(config: str, model: str, file: str, *, overrides: _SET = None) -> int:
    """Write the source side of a model, as a run kept it, to one file to go with its weights.

    Args:
        config: YAML file, a path or any fsspec URI.
        model: id of the model.
        file: what to write, a path or any fsspec URI.
        overrides: changes to the configuration.
    """
    from flows.export import export_signature  # noqa: PLC0415
    from otce.config_file import load_config  # noqa: PLC0415

    contents, n_bytes = export_signature(load_config(config, overrides or ()), model, file)
    Console().print(
        f"{file}: {len(contents.repetitions)} draws of the source side of {model} on "
        f"{contents.signature.source}, {contents.feature_dim} dimensions, {n_bytes:,} bytes",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return OK


@app.command(name="map")
def map_(
    config: str,
    model: str,
    target: str,
    *,
    images: Annotated[
        list[str] | None, Parameter(name="--images", negative=(), consume_multiple=True)
    ] = None,
    out: str | None = None,
    patches: Annotated[bool, Parameter(name="--patches", negative=())] = False,
    overrides: _SET = None,
) -> int:
    """Show where a target transfers and where not: the risk of every pixel of some images.

    Args:
        config: YAML file, a path or any fsspec URI.
        model: id of the model.
        target: id of the target data set.
        images: ids of target images; the three hardest when left out.
        out: folder to write to, a path or any fsspec URI; with the run in the store when left out.
        patches: show the patch-wise map beside it, which takes the source images.
        overrides: changes to the configuration.
    """
    started_s = time.monotonic()
    console, notes = Console(), Console(stderr=True)
    notes.print(f"otce map {config}", markup=False, highlight=False, soft_wrap=True)
    from flows.maps import map_pair  # noqa: PLC0415
    from flows.progress import Progress  # noqa: PLC0415
    from flows.show import printable  # noqa: PLC0415
    from otce.config_file import load_config  # noqa: PLC0415

    run_config = load_config(config, overrides or ())
    with Progress(notes) as progress:
        found = map_pair(
            run_config,
            model,
            target,
            progress,
            image_ids=images or (),
            out=out,
            with_patches=patches,
        )
    for row in found.images:
        mean = "-" if row["mean_nats"] is None else f"{row['mean_nats']:.4f} nats a pixel"
        line = f"{row['id']}: risk {mean} over {row['scored_px']:,} pixels, {row['name']}.png"
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    told = f"OTCE of the first draw {found.otce:.4f} nats, {time.monotonic() - started_s:.0f} s"
    console.print(f"{told}; maps: {found.folder}", markup=False, highlight=False, soft_wrap=True)
    return OK


app.command("flows.reading:ls", name="ls", help="List the runs of a store, the newest last.")
app.command(
    "flows.reading:report",
    name="report",
    help="Print a run's ranking and write its report anew, also against measured transfer.",
)
app.command(
    "flows.serve:serve_command",
    name="serve",
    help="Rank the zoo of a configuration on a schedule, on this machine.",
)
app.command(
    "flows.prune:prune_command",
    name="prune",
    help="Show, and with --delete delete, what no run of a store refers to.",
)


@contextmanager
def _loading() -> Iterator[None]:
    """Load libraries within: nothing that they make is garbage, and looking for some takes long."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def guarded(command: Callable[[], Any]) -> int:
    """Run a command and turn how it ends into an exit code and a readable line.

    Args:
        command: does the work and returns its exit code.

    Returns:
        The exit code.
    """
    notes = Console(stderr=True, quiet=in_json())
    try:
        return int(command() or OK)
    except CycloptsError:
        return WRONG_INPUT
    except KeyboardInterrupt:
        told = "interrupted; the same command goes on where this one stopped"
        _tell_end("KeyboardInterrupt", told)
        notes.print(told)
        return INTERRUPTED
    except OtceError as error:
        kind = type(error).__name__
        _tell_end(kind, str(error))
        from flows.show import printable  # noqa: PLC0415

        told = printable(f"{kind}: {error}")
        notes.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
        return UNREACHABLE if isinstance(error, StoreError | ClusterError) else WRONG_INPUT


def _tell_end(kind: str, message: str) -> None:
    with json_lines():
        event("stopped", level=logging.ERROR, error_class=kind, message=message)


def main() -> None:
    """Run the command of `sys.argv`."""
    # A scheduler stops us by SIGTERM; ending as on Ctrl-C lets every part clean up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = guarded(lambda: app(exit_on_error=False, print_error=True, result_action="return_value"))
    # Ray and the server are ended and all is written. What Prefect's threads would still tell them
    # could only wait, and taking a process with so many libraries apart takes a second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
