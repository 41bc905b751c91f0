"""What `otce measure` is to do: transfers named, and what each of them needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.held_back import at_home_of, held_back_of, measure_of, refuse_overlap
from flows.pairs import Pair, lost_pairs
from flows.sources import Described, over_models, source_side
from otce.config import RunConfig
from otce.datasets.selection import evenly_spaced
from otce.errors import DataError, OtceError
from otce.identity import Signature
from otce.measure_config import AT_SOURCE, SHORT, MeasureConfig, Training
from otce.scores.zero_shot import class_map
from otce.transfer.tables import Cell, truth_fingerprint
from otce.transfer.training import judging
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
        failures: rows of `otce.transfer.tables.FAILURES`.
    """

    names: dict[Cell, str]
    jobs: dict[str, Job]
    listed: dict[str, Listed]
    sides: dict[str, Signature]
    failures: list[dict[str, Any]]


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
    evaluate, at_home = held_back_of(config), at_home_of(config)
    known = [pair for pair in (*config.pairs, *at_home) if pair not in lost_pairs(lost)]
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
            named = at_home.get((model, target)) or evaluate[target]
            refuse_overlap(model, target, named, side, listed)
        except OtceError as error:
            stage = "load" if error is side else "overlap"
            planned.failures.append(_of_all(failure_row(model, target, stage, error)))
        else:
            _add(planned, config, (model, target), side, named)
    return planned


def failed(cell: Cell, stage: str, error: OtceError) -> dict[str, Any]:
    """Describe a transfer that was not measured.

    Args:
        cell: which.
        stage: where it failed.
        error: why; a `GaveUpError` also says after how many attempts.

    Returns:
        A row of `otce.transfer.tables.FAILURES`.
    """
    return _of_all(failure_row(cell.model, cell.target, stage, error)) | cell.row


def _of_all(row: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name not in {"repetition", "metric"}}
    return rest | {"kind": None, "shots": None, "seed": None}


def _cells(
    measure: MeasureConfig,
    pair: Pair,
    label_map: tuple[int, ...],
    n_classes: int,
    *,
    is_at_home: bool,
) -> list[Cell]:
    """The transfers of a pair that mean something, whether or not the model can be trained."""
    if is_at_home:
        return [Cell(*pair, AT_SOURCE)] if label_map else []
    found = []
    for kind in measure.kinds:
        if kind == "zero_shot":
            found += [Cell(*pair, kind)] if label_map else []
        elif kind != "fine_tune" or _keeps_head(label_map, n_classes):
            found += [
                Cell(*pair, kind, shots, seed) for shots in measure.shots for seed in measure.seeds
            ]
    if measure.short_steps and set(measure.kinds) - {"zero_shot"}:
        found.append(Cell(*pair, SHORT, max(measure.shots), measure.seeds[0]))
    return found


def _keeps_head(label_map: tuple[int, ...], n_classes: int) -> bool:
    """Say whether the source's final classifier has an output of every target class."""
    return set(range(n_classes)) <= set(label_map)


def _add(planned: Planned, config: RunConfig, pair: Pair, side: Signature, evaluate: str) -> None:
    target, measure = planned.listed[pair[1]], measure_of(config)
    label_map = class_map(side.classes, target.classes) or ()
    is_at_home = pair[1] == side.source
    for cell in _cells(measure, pair, label_map, len(target.classes), is_at_home=is_at_home):
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
    training = _training(cell, measure_of(config), label_map, len(target.classes))
    if cell.kind == SHORT:
        few, judges = _few(target, cell.shots, measure_of(config).validation)
        held_back = target
    else:
        few, judges = _part(target, cell.shots), _part(held_back, len(held_back.items))
    name = truth_fingerprint(
        config,
        cell,
        side=side,
        training=training,
        target_digest=target.digest,
        evaluate=(held_back.id, held_back.digest),
    )
    shared = cell.kind == "scratch"
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
        held_back=judges,
        n_classes=len(target.classes),
        training=training,
        row=row,
    )


def _training(
    cell: Cell, measure: MeasureConfig, label_map: tuple[int, ...], n_classes: int
) -> Training | None:
    seed = int(cell.seed or 0)
    match cell.kind:
        case "zero_shot" | "at_source":
            return None
        case "short_fine_tune":
            keeps_head = _keeps_head(label_map, n_classes)
            return measure.short_training(seed, measure.short_steps or 1, keeps_head=keeps_head)
        case kind:
            return measure.training(kind, seed)


def _few(data: Listed, shots: int, validation: float) -> tuple[Part, Part]:
    """Part the labelled images: those to train on, and those of validation, which judge."""
    positions = evenly_spaced(len(data.items), shots)
    judges = [positions[n] for n in judging(shots, validation)]
    return _at(data, [n for n in positions if n not in judges]), _at(data, judges)


def _part(data: Listed, shots: int) -> Part:
    return _at(data, evenly_spaced(len(data.items), shots) if shots else [])


def _at(data: Listed, positions: Sequence[int]) -> Part:
    return Part(
        config=data.config,
        items=tuple(data.items[n] for n in positions),
        digests=tuple((data.image_digests[n], data.label_digests[n]) for n in positions),
    )
