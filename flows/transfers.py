"""What `otce measure` is to do: images held back, overlaps refused, transfers named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.pairs import Pair, lost_pairs
from flows.sources import Described, over_models, pinned_only, source_side
from otce.config import RunConfig
from otce.datasets.items import listing
from otce.datasets.selection import evenly_spaced
from otce.errors import ConfigError, DataError, OtceError
from otce.identity import Signature
from otce.measure_config import MeasureConfig
from otce.scores.zero_shot import class_map
from otce.truth_tables import Cell, truth_fingerprint
from tasks.census import Listed
from tasks.transfer import Job, Part
from tasks.work import failure_row


@dataclass(frozen=True)
class Planned:
    """What is known before any Ray is started.

    Attributes:
        names: fingerprint of each transfer that can be made.
        jobs: how each is made, by fingerprint; models may share one.
        listed: data sets whose content was read, by id.
        sides: source sides by model.
        failures: rows of `otce.truth_tables.FAILURES`.
    """

    names: dict[Cell, str]
    jobs: dict[str, Job]
    listed: dict[str, Listed]
    sides: dict[str, Signature]
    failures: list[dict[str, Any]]


def held_back_of(config: RunConfig) -> dict[str, str]:
    """Find the data set of held-back images of every target.

    Args:
        config: a run over concrete data sets.

    Returns:
        Ids by target.

    Raises:
        ConfigError: there is no `measure`, a target has none, or a name stands for nothing.
    """
    evaluate, found = measure_of(config).evaluate, {}
    for target in config.targets:
        whole, _, part = target.rpartition("/")
        named = evaluate.get(target) or (f"{evaluate[whole]}/{part}" if whole in evaluate else None)
        if named not in config.datasets:
            told = "no data set" if named is None else f"{named}, which is no data set,"
            raise ConfigError(
                f"measure.evaluate has {told} for target {target}; name one of held-back images "
                f"there; data sets: {listing(sorted(config.datasets))}"
            )
        found[target] = str(named)
    return found


def measure_of(config: RunConfig) -> MeasureConfig:
    """Say how a run measures.

    Args:
        config: the run.

    Returns:
        Its measure section.

    Raises:
        ConfigError: there is none.
    """
    if config.measure is None:
        raise ConfigError(
            "there is no measure section; name the held-back images of every target, such as "
            "measure: {evaluate: {bay: bay-test}}"
        )
    return config.measure


def data_needed(config: RunConfig) -> dict[Pair, tuple[str, ...]]:
    """Name the data sets that each pair's transfers ask for.

    Args:
        config: a run over concrete data sets.

    Returns:
        Ids by pair.

    Raises:
        ConfigError: see `held_back_of`.
    """
    evaluate, later = held_back_of(config), pinned_only(config)
    return {
        (model, target): (target, evaluate[target])
        if config.models[model].signature or config.models[model].source in later
        else (target, evaluate[target], str(config.models[model].source))
        for model, target in config.pairs
    }


def plan_transfers(
    config: RunConfig,
    described: Described,
    listed: Mapping[str, Listed],
    lost: Sequence[Mapping[str, Any]],
) -> Planned:
    """Identify, refuse what would be judged on training images, and name the rest.

    Args:
        config: a run over concrete data sets.
        described: what signature files hold, by model.
        listed: what `data_needed` names, by id.
        lost: failure rows of pairs whose data sets cannot be read.

    Returns:
        What is to be done.

    Raises:
        ConfigError: see `held_back_of`.
    """
    evaluate = held_back_of(config)
    known = [pair for pair in config.pairs if pair not in lost_pairs(lost)]
    content = {id_: (data.digest, data.classes) for id_, data in listed.items()}
    sides = over_models(
        lambda id_: source_side(id_, config, described, content),
        dict.fromkeys(model for model, _ in known),
    )
    planned = Planned(
        names={},
        jobs={},
        listed=dict(listed),
        sides={id_: side for id_, side in sides.items() if isinstance(side, Signature)},
        failures=[_of_all(row) for row in lost],
    )
    for model, target in known:
        side = sides[model]
        try:
            if isinstance(side, OtceError):
                raise side
            _refuse_overlap(model, target, evaluate[target], side, listed)
        except OtceError as error:
            stage = "load" if error is side else "overlap"
            planned.failures.append(_of_all(failure_row(model, target, stage, error)))
        else:
            _add(planned, config, (model, target), side, evaluate[target])
    return planned


def failed(cell: Cell, stage: str, error: OtceError) -> dict[str, Any]:
    """Describe a transfer that was not measured.

    Args:
        cell: which.
        stage: where it failed.
        error: why; a `GaveUpError` also says after how many attempts.

    Returns:
        A row of `otce.truth_tables.FAILURES`.
    """
    return _of_all(failure_row(cell.model, cell.target, stage, error)) | cell.row


def _of_all(row: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name not in {"repetition", "metric"}}
    return rest | {"kind": None, "shots": None, "seed": None}


def _refuse_overlap(
    model: str, target: str, evaluate: str, side: Signature, listed: Mapping[str, Listed]
) -> None:
    """Refuse held-back images that anything was or will be trained on, by their digests."""
    held_back = listed[evaluate]
    if held_back.classes != listed[target].classes:
        raise DataError(
            f"{evaluate} has the classes {listing(list(held_back.classes))} and target {target} "
            f"{listing(list(listed[target].classes))}; give both the same classes and label rules"
        )
    digests = dict(zip(held_back.image_digests, held_back.items, strict=True))
    for trained, by in (
        (target, "its transfers train on"),
        (side.source, f"{model} was trained on"),
    ):
        if trained in listed:
            seen = [digests[d].id for d in listed[trained].image_digests if d in digests]
            if seen:
                raise DataError(
                    f"{len(seen)} of {len(digests)} images of {evaluate} are also in {trained}, "
                    f"which {by}: {listing(seen)}; hold other images back (between, first, items)"
                )


def _cells(
    measure: MeasureConfig, pair: Pair, label_map: tuple[int, ...], n_classes: int
) -> list[Cell]:
    """The transfers of a pair that mean something, whether or not the model can be trained."""
    found = []
    for kind in measure.kinds:
        if kind == "zero_shot":
            found += [Cell(*pair, kind)] if label_map else []
        elif kind != "fine_tune" or set(range(n_classes)) <= set(label_map):
            found += [
                Cell(*pair, kind, shots, seed) for shots in measure.shots for seed in measure.seeds
            ]
    return found


def _add(planned: Planned, config: RunConfig, pair: Pair, side: Signature, evaluate: str) -> None:
    target, measure = planned.listed[pair[1]], measure_of(config)
    label_map = class_map(side.classes, target.classes) or ()
    for cell in _cells(measure, pair, label_map, len(target.classes)):
        if cell.shots > len(target.items):
            error = DataError(
                f"{target.id} has {len(target.items)} images, fewer than the {cell.shots} of "
                "measure.shots; give it more or ask for fewer"
            )
            planned.failures.append(failed(cell, "census", error))
        else:
            job = _job(cell, config, side, label_map, target, planned.listed[evaluate])
            planned.names[cell] = job.name
            planned.jobs.setdefault(job.name, job)


def _job(
    cell: Cell,
    config: RunConfig,
    side: Signature,
    label_map: tuple[int, ...],
    target: Listed,
    held_back: Listed,
) -> Job:
    training = (
        None
        if cell.kind == "zero_shot"
        else measure_of(config).training(cell.kind, int(cell.seed or 0))
    )
    name = truth_fingerprint(
        config,
        cell,
        side=side,
        training=training,
        target_digest=target.digest,
        evaluate=(held_back.id, held_back.digest),
    )
    few, shared = _part(target, cell.shots), cell.kind == "scratch"
    row = cell.row | {
        "truth_fingerprint": name,
        "source_model": None if shared else cell.model,
        "source_dataset": None if shared else side.source,
        "model_digest": None if shared else side.weights_digest,
        "evaluate_dataset": held_back.id,
        "target_digest": target.digest,
        "evaluate_digest": held_back.digest,
        "learning_rates": training.learning_rates if training else (),
        "steps": training.steps if training else 0,
        "n_train_images": len(few.items),
    }
    # With its digest, weights that change meanwhile are noticed.
    pinned = {"weights_digest": side.weights_digest}
    return Job(
        name=name,
        cell=cell,
        model=config.models[cell.model].model_copy(update=pinned),
        class_map=label_map,
        few=few,
        held_back=_part(held_back, len(held_back.items)),
        n_classes=len(target.classes),
        training=training,
        row=row,
    )


def _part(data: Listed, shots: int) -> Part:
    positions = evenly_spaced(len(data.items), shots) if shots else []
    return Part(
        config=data.config,
        items=tuple(data.items[n] for n in positions),
        digests=tuple((data.image_digests[n], data.label_digests[n]) for n in positions),
    )
