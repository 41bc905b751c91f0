"""Who may race: pairs whose scores can be compared, and those of them that have heats."""

from collections import Counter
from collections.abc import Iterable, Mapping

from flows.pairs import Pair, Prepared
from flows.repetitions import stems
from flows.sources import pinned_only
from otce.config import RunConfig
from tasks.census import Census
from tasks.kept import Kept

Entrants = Mapping[str, list[str]]
"""Models by target."""


def comparable(
    config: RunConfig, pairs: Iterable[Pair], censuses: Mapping[str, Census]
) -> dict[str, list[str]]:
    """Choose the pairs that may race: of usual pixel counts, neither side of one class.

    This is how `otce.ranking.summarize` chooses whom to rank. Of a source that is not read the
    pixels are known only where fewer than N are refused; its classes are not asked for.

    Args:
        config: the run.
        pairs: models and targets.
        censuses: data sets as drawn, by id.

    Returns:
        Models by target.
    """
    unread = unread_sources(config)
    one_class = {id_ for id_, census in censuses.items() if census.is_degenerate}
    source_px: dict[str, dict[str, int]] = {}
    for model, target in pairs:
        source, pixels = str(config.models[model].source), config.sampling.pixels
        if model in unread:
            known = config.sampling.too_few_pixels == "refuse"
        else:
            known = source not in one_class
            pixels = min(pixels, sum(censuses[source].class_px))
        if known and target not in one_class:
            source_px.setdefault(target, {})[model] = pixels
    found = {}
    for target, pixels_of in source_px.items():
        counts = Counter(pixels_of.values())
        usual = max(counts, key=lambda pixels: (counts[pixels], pixels))
        found[target] = [model for model, pixels in pixels_of.items() if pixels == usual]
    return found


def unread_sources(config: RunConfig) -> set[str]:
    """Name the models whose source images a run may do without, so that a race does as well.

    What the store happens to hold must not change the course of a race: these never have heats.

    Args:
        config: the run.

    Returns:
        Ids of models with a signature file, or a source pinned to a digest.
    """
    pinned = pinned_only(config)
    return {id_ for id_, m in config.models.items() if m.signature or m.source in pinned}


def with_heats(config: RunConfig, found: Prepared, kept: Kept, entrants: Entrants) -> set[Pair]:
    """Choose the pairs that have heats, if their data sets have pixels enough.

    Where all pairs of a target are kept whole and none ever had a heat, a full run is done:
    nothing is left to save.

    Args:
        config: the run.
        found: what is known of it.
        kept: what the store holds.
        entrants: who races.

    Returns:
        Models and targets.
    """
    if not config.race.heats:
        return set()
    unread = unread_sources(config)
    chosen: set[Pair] = set()
    for target, models in entrants.items():
        pairs = [(model, target) for model in models if model not in unread]
        is_done = all((model, target) not in found.todo for model in models)
        if not is_done or any(
            stems(config, found, pair, heat=True)["otce"] in kept.parts for pair in pairs
        ):
            chosen.update(pairs)
    return chosen


def drawn_heats(config: RunConfig, pairs: Iterable[Pair], heats: Mapping[str, Census]) -> set[Pair]:
    """Keep the pairs whose data sets have heats: pixels enough, and two classes in every heat.

    Args:
        config: the run.
        pairs: models and targets.
        heats: data sets as drawn for heats, by id.

    Returns:
        Models and targets.
    """
    fit = {id_ for id_, census in heats.items() if not census.is_degenerate}
    return {pair for pair in pairs if {str(config.models[pair[0]].source), pair[1]} <= fit}
