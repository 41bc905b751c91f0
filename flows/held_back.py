"""Which images of a measurement are held back, and that nothing is trained on them."""

from collections.abc import Mapping

from flows.pairs import Pair
from flows.sources import pinned_only
from otce.config import RunConfig
from otce.datasets.items import listing
from otce.errors import ConfigError, DataError
from otce.identity import Signature
from otce.measure_config import MeasureConfig
from tasks.census import Listed


def held_back_of(config: RunConfig) -> dict[str, str]:
    """Find the data set of held-back images of every target.

    Args:
        config: a run over concrete data sets.

    Returns:
        Ids by target.

    Raises:
        ConfigError: there is no `measure`, a target has none, or a name stands for nothing.
    """
    measure, found = measure_of(config), {}
    _refuse_unknown(config)
    for target in config.targets:
        named = _named(measure, target)
        if named not in config.datasets:
            told = "no data set" if named is None else f"{named}, which is no data set,"
            raise ConfigError(
                f"measure.evaluate has {told} for target {target}; name one of held-back images "
                f"there; data sets: {listing(sorted(config.datasets))}"
            )
        found[target] = str(named)
    return found


def _refuse_unknown(config: RunConfig) -> None:
    """Refuse images held back of what is no data set; of one that this run leaves out they may be.

    That way `--set targets=[one]` needs no other change.
    """
    known = {*config.targets, *config.datasets}
    allowed = known | {id_.rpartition("/")[0] for id_ in known if "/" in id_}
    for key in measure_of(config).evaluate:
        if key not in allowed:
            raise ConfigError(
                f"measure.evaluate has {key}, which is no data set of this configuration, so that "
                "its images would judge nothing; correct the name or take it out; data sets: "
                f"{listing(sorted(known))}"
            )


def _named(measure: MeasureConfig, id_: str) -> str | None:
    """Name the images held back of a data set, or of one that is a part of another."""
    whole, _, part = id_.rpartition("/")
    at_whole = measure.evaluate.get(whole)
    return measure.evaluate.get(id_) or (f"{at_whole}/{part}" if at_whole else None)


def at_home_of(config: RunConfig) -> dict[Pair, str]:
    """Find the models that can be judged at home: images of their source are held back too.

    Args:
        config: a run over concrete data sets.

    Returns:
        Ids of the held-back images by model and source.

    Raises:
        ConfigError: there is no `measure`.
    """
    measure, later = measure_of(config), pinned_only(config)
    found = {}
    for id_ in dict.fromkeys(model for model, _ in config.pairs):
        source = str(config.models[id_].source)
        named = _named(measure, source)
        is_read = source in config.datasets and source not in later
        if named in config.datasets and is_read and not config.models[id_].signature:
            found[id_, source] = str(named)
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
    at_home = {pair: (pair[1], named) for pair, named in at_home_of(config).items()}
    return at_home | {
        (model, target): (target, evaluate[target])
        if config.models[model].signature or config.models[model].source in later
        else (target, evaluate[target], str(config.models[model].source))
        for model, target in config.pairs
    }


def refuse_overlap(
    model: str, target: str, evaluate: str, side: Signature, listed: Mapping[str, Listed]
) -> None:
    """Refuse held-back images that anything was or will be trained on, by their digests.

    Args:
        model: the source model.
        target: the target, or the source where the model is judged at home.
        evaluate: id of the held-back images.
        side: the model's source side.
        listed: data sets whose content was read, by id.

    Raises:
        DataError: images are in both, or the classes differ.
    """
    held_back = listed[evaluate]
    if held_back.classes != listed[target].classes:
        raise DataError(
            f"{evaluate} has the classes {listing(list(held_back.classes))} and target {target} "
            f"{listing(list(listed[target].classes))}; give both the same classes and label rules"
        )
    digests = dict(zip(held_back.image_digests, held_back.items, strict=True))
    # At home both are one data set, and nothing is transferred.
    trainings = {target: "its transfers train on"} | {side.source: f"{model} was trained on"}
    for trained, by in trainings.items():
        if trained in listed:
            seen = [digests[d].id for d in listed[trained].image_digests if d in digests]
            if seen:
                raise DataError(
                    f"{len(seen)} of {len(digests)} images of {evaluate} are also in {trained}, "
                    f"which {by}: {listing(seen)}; hold other images back (between, first, items)"
                )
