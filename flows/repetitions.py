"""Which repetitions of a pair are to be scored, and whole pairs from kept ones."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flows.pairs import Pair, Prepared
from flows.score import Scorer
from flows.sources import repetition_names
from otce.config import RunConfig
from otce.recipe import Metric, repetitions_of
from otce.storage.store import Store
from tasks.kept import Kept
from tasks.work import Wanted


def stems(
    config: RunConfig, found: Prepared, pair: Pair, *, heat: bool = False
) -> dict[Metric, str]:
    """Name what the repetitions of a pair have in common.

    Args:
        config: the run.
        found: what is known of it.
        pair: model and target.
        heat: those of the heats of a race.

    Returns:
        Fingerprints by metric.
    """
    model, target = pair
    side, digest = found.sides[model], found.listed[target].digest
    return repetition_names(config, model, target, side, digest, heat=heat)


def wanted_of(
    config: RunConfig,
    found: Prepared,
    kept: Kept,
    asked: Mapping[Pair, range],
    failures: Iterable[Mapping[str, Any]] = (),
) -> dict[Pair, Wanted]:
    """Find what of some repetitions of pairs the store lacks.

    Args:
        config: the run.
        found: what is known of it.
        kept: what the store holds.
        asked: repetitions by pair.
        failures: rows of the failures table; what failed is not asked for again.

    Returns:
        What is to be scored, by pair; pairs of which nothing is missing are left out.
    """
    failed = {(row["source_model"], row["target_dataset"], row["metric"]) for row in failures}
    wanted = {}
    for pair, repetitions in asked.items():
        names = {m: n for m, n in found.todo.get(pair, {}).items() if (*pair, m) not in failed}
        if not names:
            continue
        own = stems(config, found, pair)
        missing = {
            m: kept.missing(name, own[m], repetitions_of(m, repetitions))
            for m, name in names.items()
        }
        if left := {m: ranges for m, ranges in missing.items() if ranges}:
            wanted[pair] = Wanted(names, own, left)
    return wanted


def heats_of(
    config: RunConfig, found: Prepared, kept: Kept, asked: Mapping[Pair, range]
) -> dict[Pair, Wanted]:
    """Find which heats of pairs the store lacks.

    Args:
        config: the run.
        found: what is known of it.
        kept: what the store holds.
        asked: heats by pair.

    Returns:
        What is to be scored, by pair.
    """
    wanted = {}
    for pair, repetitions in asked.items():
        own = stems(config, found, pair, heat=True)
        if ranges := kept.missing("", own["otce"], repetitions):
            wanted[pair] = Wanted({}, own, {"otce": ranges})
    return wanted


def score_in_full(
    config: RunConfig, found: Prepared, store: Store, scorer: Scorer, pairs: Iterable[Pair]
) -> None:
    """Score all repetitions of pairs that the store does not hold, a race's included.

    Args:
        config: the run.
        found: what is known of it.
        store: where scores are kept.
        scorer: scores.
        pairs: which.
    """
    asked = dict.fromkeys(pairs, range(config.sampling.repetitions))
    if not asked:
        return
    scorer.score(wanted_of(config, found, Kept.listed(store), asked))


def join_whole(config: RunConfig, found: Prepared, store: Store) -> Kept:
    """Put together the pairs of which all repetitions are kept.

    Args:
        config: the run.
        found: what is known of it.
        store: where they are kept.

    Returns:
        What the store holds now; where nothing was to be scored, of no race either, it is not
        asked.

    Raises:
        StoreError: an object is damaged, or the store refuses.
    """
    if not found.todo and config.strategy != "race":
        return Kept(store, (), {})
    kept, repetitions = Kept.listed(store), range(config.sampling.repetitions)

    def join(pair: Pair) -> set[str]:
        own = stems(config, found, pair)
        whole = {
            name: metric
            for metric, name in found.todo[pair].items()
            if name not in kept.whole
            and not kept.missing(name, own[metric], repetitions_of(metric, repetitions))
        }
        for name, metric in whole.items():
            kept.join(name, own[metric], len(repetitions_of(metric, repetitions)))
        return set(whole)

    with ThreadPoolExecutor(max_workers=8) as pool:
        joined = list(pool.map(join, found.todo))
    return Kept(store, set(kept.whole).union(*joined), kept.parts)
