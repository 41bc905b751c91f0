"""Everything that can be refused before a run: data sets counted, models loaded, store probed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from flows.show import plain, printable
from otce.bad_items import Readable, open_readable
from otce.census import count_labels, dataset_digest, item_digests
from otce.config import RunConfig
from otce.counts import kept_counts
from otce.datasets.expand import expanded
from otce.errors import OtceError
from otce.identity import ModelIdentity, pair_fingerprint
from otce.sampling import pixels_to_draw
from otce.store import Store
from otce.transport import peak_bytes
from otce.zoo import load_model, model_identity
from otce.zoo.preprocess import described

_T = TypeVar("_T")
_FLOAT32_BYTES = 4
_MIB = 1 << 20


@dataclass(frozen=True)
class CheckedData:
    """A data set that can be sampled.

    Attributes:
        readable: opened, corrupt items left out as far as they may be.
        digest: of its content.
        pixels: pixels a draw will have.
    """

    readable: Readable
    digest: str
    pixels: int


def validate(config: RunConfig, console: Console) -> list[str]:
    """Check a run without starting Ray or Prefect, and print what it would do.

    Args:
        config: the run.
        console: where to print.

    Returns:
        Every problem found, none when the run can start.
    """
    problems: list[str] = []

    def tried(work: Callable[[], _T]) -> _T | None:
        try:
            return work()
        except OtceError as error:
            problems.append(f"{type(error).__name__}: {error}")
            return None

    store = Store(config.execution.store, config.execution.storage_options)
    tried(store.probe)
    usable = None if problems else store
    concrete = tried(lambda: expanded(config))
    if concrete is None:
        return problems
    config = concrete
    data = {}
    table = Table("data set", "images", "labelled pixels", "pixels a draw", "classes", box=SIMPLE)
    for id_ in config.datasets:
        checked = tried(lambda id_=id_: _check_data(id_, config, usable, table))  # type: ignore[misc]
        if checked is not None:
            data[id_] = checked
    console.print(table)
    for id_, checked in data.items():
        for note in (*checked.readable.notes, *checked.readable.left_out.values()):
            told = printable(f"{id_}: {note}")
            console.print(told, markup=False, highlight=False, soft_wrap=True)
    models = {}
    table = Table("model", "tap", "dim", "map / image", "preprocessing", "weights", box=SIMPLE)
    for id_ in config.models:
        checked_model = tried(lambda id_=id_: _check_model(id_, config, data, table))  # type: ignore[misc]
        if checked_model is not None:
            models[id_] = checked_model
    console.print(table)
    present = tried(lambda: set(store.names("scores"))) or set()
    _print_plan(config, data, models, present, console)
    return problems


def _check_data(id_: str, config: RunConfig, store: Store | None, table: Table) -> CheckedData:
    readable = open_readable(config.datasets[id_], config.execution.storage_options)
    dataset = readable.dataset
    digests = item_digests(dataset, dataset.items)
    digest = dataset_digest(dataset, digests)
    kept = kept_counts(digest, store) if store else None
    counts = count_labels(dataset, dataset.items, digests) if kept is None else kept
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
    return CheckedData(readable, digest, pixels)


def _check_model(
    id_: str, config: RunConfig, data: dict[str, CheckedData], table: Table
) -> tuple[ModelIdentity, int]:
    chosen, execution = config.models[id_], config.execution
    identity = model_identity(chosen, execution.python_path, execution.storage_options)
    source = data.get(chosen.source)
    model = load_model(
        id_,
        chosen,
        python_path=execution.python_path,
        options=execution.storage_options,
        n_classes=len(source.readable.dataset.classes) if source is not None else None,
    )
    # Two images, because a network may answer the second otherwise.
    for image in _images(source):
        _, dim, height, width = model.feature_maps([image]).shape
    shape = f"{height}x{width} / {image.shape[0]}x{image.shape[1]}"
    table.add_row(
        plain(id_),
        plain(chosen.tap),
        str(dim),
        shape,
        described(identity.preprocessing),
        identity.weights_digest[:12],
    )
    return identity, dim


def _images(source: CheckedData | None) -> list[NDArray[np.uint8]]:
    if source is not None:
        dataset = source.readable.dataset
        return [dataset.image(item) for item in dataset.items[:2]]
    return list(np.random.default_rng(0).integers(0, 256, (2, 128, 192, 3), dtype=np.uint8))


def _print_plan(
    config: RunConfig,
    data: dict[str, CheckedData],
    models: dict[str, tuple[ModelIdentity, int]],
    present: set[str],
    console: Console,
) -> None:
    runnable = [
        (model, target)
        for model, target in config.pairs
        if model in models and target in data and config.models[model].source in data
    ]
    names = {
        pair_fingerprint(
            config,
            model,
            target,
            model=models[model][0],
            source_digest=data[config.models[model].source].digest,
            target_digest=data[target].digest,
        )
        for model, target in runnable
    }
    done = sum(f"{name}.parquet" in present for name in names)
    sampling = config.sampling
    console.print(
        f"{len(config.pairs)} pairs: {done} done, {len(runnable) - done} to do, "
        f"{len(config.pairs) - len(runnable)} not possible; {sampling.repetitions} draws of at "
        f"most {sampling.pixels:,} pixels a side; run id {config.run_id}"
    )
    if not models:
        return
    widest = max(dim for _, dim in models.values())
    drawn = sampling.repetitions * sampling.pixels * (1 + len(config.targets))
    features_mib = drawn * widest * _FLOAT32_BYTES / _MIB
    pixels, recipe = sampling.pixels, config.score
    transport_bytes = peak_bytes(pixels, pixels, solver=recipe.solver, relaxation=recipe.relaxation)
    console.print(
        f"estimated memory: features of one model {features_mib:,.0f} MiB, one transport "
        f"{transport_bytes / _MIB:,.0f} MiB (one runs on each CPU)"
    )
