"""Everything that can be refused before a run: data sets counted, models loaded, store probed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from flows.held_back import data_needed
from flows.memory import check_memory
from flows.pairs import absent
from flows.race import race_line
from flows.show import plain, printable
from flows.sources import (
    Described,
    kept_sources,
    over_models,
    pair_names,
    pinned_only,
    source_side,
    with_signatures,
)
from flows.transfers import plan_transfers
from otce.census import count_labels
from otce.config import RunConfig
from otce.counts import kept_counts
from otce.datasets.expand import expanded
from otce.errors import DataError, OtceError
from otce.identity import PairNames, Signature
from otce.readable import Readable, open_readable
from otce.sampling import pixels_to_draw
from otce.signature import read_whole
from otce.storage.store import Store
from otce.zoo import load_model
from otce.zoo.preprocess import described as described_preprocessing
from tasks.census import Listed
from tasks.work import failure_row

_T = TypeVar("_T")


@dataclass(frozen=True)
class CheckedData:
    """A data set that can be sampled.

    Attributes:
        readable: opened, corrupt items left out as far as they may be.
        pixels: pixels a draw will have.
    """

    readable: Readable
    pixels: int


@dataclass(frozen=True)
class CheckedModel:
    """A model that can be listened to.

    Attributes:
        side: its source side; none when its source data set has a problem.
        dim: dimension of its features.
    """

    side: Signature | None
    dim: int


def validate(config: RunConfig, console: Console) -> list[str]:
    """Check a run without starting Ray or Prefect, and print what it would do.

    Args:
        config: the run.
        console: where to print.

    Returns:
        Every problem found, none when the run can start.

    Raises:
        StoreError: the store cannot be used; nothing else is looked at.
    """
    store = Store(config.execution.store, config.execution.storage_options)
    store.probe()
    problems: list[str] = []

    def tried(work: Callable[[], _T]) -> _T | None:
        try:
            return work()
        except OtceError as error:
            problems.append(f"{type(error).__name__}: {error}")
            return None

    concrete = tried(lambda: with_signatures(expanded(config)))
    if concrete is None:
        return problems
    config, described = concrete
    unread = tried(lambda: _unread(config, described, store)) or set()
    data: dict[str, CheckedData] = {}
    table = Table("data set", "images", "labelled pixels", "pixels a draw", "classes", box=SIMPLE)
    for id_ in config.datasets:
        if id_ in unread:
            table.add_row(plain(id_), "not read", "-", "-", "its draws are kept")
            continue
        checked = tried(lambda id_=id_: _check_data(id_, config, store, table))  # type: ignore[misc]
        if checked is not None:
            data[id_] = checked
    console.print(table)
    _print_notes(data, console)
    models: dict[str, CheckedModel] = {}
    table = Table("model", "tap", "dim", "map / image", "preprocessing", "weights", box=SIMPLE)
    for id_ in config.models:
        checked_model = tried(
            lambda id_=id_: _check_model(id_, config, described, data, unread, table)  # type: ignore[misc]
        )
        if checked_model is not None:
            models[id_] = checked_model
    console.print(table)
    tried(lambda: _print_sources(config, models, store, console))
    present = tried(lambda: set(store.names("scores"))) or set()
    tried(lambda: _print_plan(config, data, models, present, console))
    if config.measure is not None:
        problems += tried(lambda: _print_transfers(config, described, data, console)) or []
    return problems


def _print_transfers(
    config: RunConfig, described: Described, data: dict[str, CheckedData], console: Console
) -> list[str]:
    """Tell what `otce measure` would make; what it would refuse."""
    listed = {
        id_: Listed.of(id_, config.datasets[id_], checked.readable) for id_, checked in data.items()
    }
    lost = [
        failure_row(*pair, "census", DataError("told above"))
        for pair, ids in data_needed(config).items()
        if not set(ids) <= data.keys()
    ]
    planned = plan_transfers(config, described, listed, lost)
    console.print(f"measure: {len(planned.names)} transfers, {len(planned.jobs)} of them different")
    # What cannot be read or loaded was told before.
    refused = [row for row in planned.failures[len(lost) :] if row["stage"] != "load"]
    return list(dict.fromkeys(f"{row['error_class']}: {row['message']}" for row in refused))


def _unread(config: RunConfig, described: Described, store: Store) -> set[str]:
    """Pinned sources that need not be read: the store keeps the draws of all their models."""
    ids = pinned_only(config)
    models = [id_ for id_, m in config.models.items() if m.source in ids and not m.signature]
    if not models:
        return set()
    sides = over_models(lambda id_: source_side(id_, config, described, {}), models)
    found = {id_: side for id_, side in sides.items() if isinstance(side, Signature)}
    kept = kept_sources(config, found, found, store)
    used = {str(config.models[id_].source) for id_ in models}
    return used - {str(config.models[id_].source) for id_ in models if id_ not in kept}


def _print_notes(data: dict[str, CheckedData], console: Console) -> None:
    for id_, checked in data.items():
        readable = checked.readable
        for note in (f"digest {readable.digest}", *readable.notes, *readable.left_out.values()):
            told = printable(f"{id_}: {note}")
            console.print(told, markup=False, highlight=False, soft_wrap=True)


def _print_sources(
    config: RunConfig, models: dict[str, CheckedModel], store: Store, console: Console
) -> None:
    """Tell where the source side of each model comes from; models of one origin in one line."""
    sides = {id_: checked.side for id_, checked in models.items() if checked.side is not None}
    kept = kept_sources(config, sides, sides, store)
    origins: dict[str, list[str]] = {}
    for id_, side in sides.items():
        file = config.models[id_].signature
        origin = "draws kept in the store" if id_ in kept else "images"
        origin = f"signature {file}" if file else origin
        origins.setdefault(f"source {side.source}: {origin}", []).append(id_)
    for origin, ids in origins.items():
        line = f"{origin}, for {', '.join(ids)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _check_data(id_: str, config: RunConfig, store: Store, table: Table) -> CheckedData:
    readable = open_readable(id_, config.datasets[id_], config.execution.storage_options)
    dataset = readable.dataset
    kept = kept_counts(readable.digest, store)
    counts = count_labels(dataset, dataset.items, readable.digests) if kept is None else kept
    labelled_px, class_px = int(counts.sum()), counts.sum(axis=0)
    pixels = pixels_to_draw(
        labelled_px,
        config.sampling.pixels,
        shrink=config.sampling.too_few_pixels == "shrink",
        where=f"data set {id_}",
    )
    shares = class_px / labelled_px
    largest = np.argsort(-shares)[:4]
    mix = ", ".join(f"{dataset.classes[i]} {shares[i]:.0%}" for i in largest)
    absent = int((class_px == 0).sum())
    mix += f"; {absent} of {len(dataset.classes)} absent" if absent else ""
    table.add_row(
        plain(id_), str(len(dataset.items)), f"{labelled_px:,}", f"{pixels:,}", plain(mix)
    )
    return CheckedData(readable, pixels)


def _check_model(
    id_: str,
    config: RunConfig,
    described: Described,
    data: dict[str, CheckedData],
    unread: set[str],
    table: Table,
) -> CheckedModel:
    chosen, execution = config.models[id_], config.execution
    options = execution.storage_options
    known = {
        name: (checked.readable.digest, checked.readable.dataset.classes)
        for name, checked in data.items()
    }
    side = None
    if chosen.signature or chosen.source in known.keys() | unread:
        side = source_side(id_, config, described, known)
    if chosen.signature:
        read_whole((chosen.signature,), options, chosen.max_weights_bytes)
    source = data.get(str(chosen.source))
    model = load_model(
        id_,
        chosen,
        python_path=execution.python_path,
        options=options,
        n_classes=len(side.classes) if side is not None else None,
    )
    # Two images, because a network may answer the second otherwise.
    for image in _images(source):
        (map_BDhw,) = model.features([image])
        _, dim, height, width = map_BDhw.shape
    shape = f"{height}x{width} / {image.shape[0]}x{image.shape[1]}"
    table.add_row(
        plain(id_),
        plain(chosen.tap),
        str(dim),
        shape,
        described_preprocessing(model.preprocessing),
        side.weights_digest[:12] if side is not None else "-",
    )
    return CheckedModel(side, dim)


def _images(source: CheckedData | None) -> list[NDArray[np.uint8]]:
    if source is not None:
        dataset = source.readable.dataset
        return [dataset.image(item) for item in dataset.items[:2]]
    return list(np.random.default_rng(0).integers(0, 256, (2, 128, 192, 3), dtype=np.uint8))


def _print_plan(
    config: RunConfig,
    data: dict[str, CheckedData],
    models: dict[str, CheckedModel],
    present: set[str],
    console: Console,
) -> None:
    sides = {id_: checked.side for id_, checked in models.items() if checked.side is not None}
    runnable = [
        (sides[model], model, target)
        for model, target in config.pairs
        if model in sides and target in data
    ]
    names = [
        pair_names(
            PairNames(config, model, side),
            target,
            data[target].readable.digest,
            data[target].readable.dataset.classes,
        )
        for side, model, target in runnable
    ]
    done = sum(not absent(metrics, present) for metrics in names)
    sampling = config.sampling
    console.print(
        f"{len(config.pairs)} pairs: {done} done, {len(runnable) - done} to do, "
        f"{len(config.pairs) - len(runnable)} not possible; {sampling.repetitions} draws of at "
        f"most {sampling.pixels:,} pixels a side; run id {config.run_id}"
    )
    if config.strategy == "race":
        console.print(race_line(config, [target for _, _, target in runnable]))
    if models:
        drawn = {id_: checked.pixels for id_, checked in data.items()}
        sizes = [(drawn.get(s.source, sampling.pixels), drawn[t]) for s, _, t in runnable]
        check_memory(config, max(checked.dim for checked in models.values()), sizes, console)
