"""Features of a model's source side and of its targets: held, read from the store, or extracted."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial

from otce.config import RunConfig
from otce.errors import OtceError, PlacementError
from otce.identity import Signature
from otce.model_config import ModelConfig
from otce.recipe import FROM_PREDICTIONS
from tasks.census import Census
from tasks.extract import ModelOnSlot
from tasks.keep import keep_draws, read_draws
from tasks.ray_calls import Refs
from tasks.retry import GaveUpError
from tasks.slots import Slot
from tasks.spread import spread
from tasks.stopping import begin
from tasks.sums import NO_SUMS, Kinds, kinds_of
from tasks.work import Wanted, Work

Found = Refs | tuple[str, OtceError]
"""Features of a data set, or the stage and reason of their failure."""


def features(
    model_id: str, pairs: Mapping[str, Wanted], work: Work, *, heat: bool
) -> Iterator[tuple[str, Found]]:
    """Yield the features of each data set that a model's pairs need, the source side's first.

    All draws of the run are extracted together, as each needs nearly all images; of heats only
    those that are asked for, as each looks at few images of its own.

    Args:
        model_id: the model.
        pairs: what is to be scored, by target.
        work: what all models share.
        heat: whether these are heats of a race.

    Yields:
        Ids of data sets, and their features. After a failure of the source side nothing follows.

    Raises:
        StoppingError: the run is to end before all are extracted.
    """
    source_id = work.sides[model_id].source
    keys = [(model_id, id_) for id_ in (source_id, *pairs)]
    held = {} if heat else {key[1]: work.held[key] for key in keys if key in work.held}
    if source_id in held:
        yield source_id, held[source_id]
    for dataset_id, found in _new(model_id, pairs, work, set(held), heat=heat):
        if work.config.strategy == "race" and not heat and not isinstance(found, tuple):
            work.held[model_id, dataset_id] = found
        yield dataset_id, found
        if isinstance(found, tuple) and dataset_id == source_id:
            return
    for dataset_id in pairs:
        if dataset_id in held:
            yield dataset_id, held[dataset_id]


def _new(
    model_id: str, pairs: Mapping[str, Wanted], work: Work, held: set[str], *, heat: bool
) -> Iterator[tuple[str, Found]]:
    config, side = work.config, work.sides[model_id]
    # With its digest, weights are found near where they were read before, and are those whose
    # identity names the pair though the file may have changed since.
    chosen = config.models[model_id].model_copy(update={"weights_digest": side.weights_digest})
    todo = [id_ for id_ in (side.source, *pairs) if id_ not in held]
    kept = None if heat or side.source in held else work.kept.get(model_id)
    if kept is not None:
        yield (
            side.source,
            _read(kept, side, chosen.max_weights_bytes if chosen.signature else None, config),
        )
        todo.remove(side.source)
    if not todo:
        return
    asked = sorted({k for wanted in pairs.values() for k in wanted.metrics_of})
    repetitions = range(asked[0], asked[-1] + 1) if heat else range(config.sampling.repetitions)
    while todo:
        # When no node has room for this place's actor any more, another place goes on.
        with suppress(PlacementError), work.slots.lease() as slot:
            begin()
            model = _model_on(slot, model_id, chosen, work)
            try:
                model.load()
            except GaveUpError as error:
                yield side.source, ("load", error)
                return
            while todo:
                # At this tap the features are the predictions.
                with_logits = (
                    todo[0] in pairs
                    and side.tap != "logits"
                    and not FROM_PREDICTIONS.isdisjoint(pairs[todo[0]].names)
                )
                found = _extracted(
                    model,
                    partial(_model_on, model_id=model_id, config=chosen, work=work),
                    work,
                    work.drawn(todo[0], heat=heat),
                    repetitions,
                    with_logits=with_logits,
                    sums=kinds_of(pairs[todo[0]].names) if todo[0] in pairs else NO_SUMS,
                )
                id_ = todo.pop(0)
                if id_ == side.source and not heat:
                    found = _kept(found, side, config)
                yield id_, found


def _model_on(slot: Slot, model_id: str, config: ModelConfig, work: Work) -> ModelOnSlot:
    n_classes = len(work.sides[model_id].classes)
    execution, threads = work.config.execution, work.plan.threads
    return ModelOnSlot(slot, model_id, config, execution, threads, n_classes, work.timings)


def _read(
    uris: tuple[str, ...], side: Signature, most_bytes: int | None, config: RunConfig
) -> Found:
    repetitions = config.sampling.repetitions
    try:
        return dict(enumerate(read_draws(uris, side, repetitions, config.execution, most_bytes)))
    except GaveUpError as error:
        return "extract", error


def _extracted(
    model: ModelOnSlot,
    helper: Callable[[Slot], ModelOnSlot],
    work: Work,
    census: Census,
    repetitions: range,
    *,
    with_logits: bool,
    sums: Kinds,
) -> Found:
    try:
        return spread(
            model,
            helper,
            work.slots,
            work.cuts.of(census, repetitions, sums),
            repetitions,
            with_logits=with_logits,
            sums=sums,
        )
    except GaveUpError as error:
        return "extract", error


def _kept(found: Found, side: Signature, config: RunConfig) -> Found:
    """Keep all draws of a source side before anything else happens."""
    if isinstance(found, tuple) or not config.execution.keep_signatures:
        return found
    try:
        keep_draws(list(found.values()), side, config.execution)
    except GaveUpError as error:
        return "publish", error
    return found
