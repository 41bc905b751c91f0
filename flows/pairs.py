"""What is to be done: data sets listed, source sides described, pairs named."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from prefect.futures import PrefectFuture

from flows.progress import Progress
from flows.sources import (
    Described,
    kept_sources,
    over_models,
    pair_names,
    pinned_only,
    source_side,
)
from flows.view import unseen
from otce.config import RunConfig
from otce.errors import OtceError
from otce.identity import PairNames, Signature
from otce.storage.store import Store
from tasks.census import Listed
from tasks.listing import list_all
from tasks.retry import explained
from tasks.work import Names, failure_row

Pair = tuple[str, str]
"""Ids of a model and a target."""
Needs = Mapping[Pair, tuple[str, ...]]
"""Ids of the data sets without which a pair cannot be scored."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Prepared:
    """What is known before any Ray is started.

    Attributes:
        listed: data sets whose content was read, by id.
        names: fingerprints of the metrics of the pairs that can be scored.
        sides: source sides by model.
        kept: URIs of the draws of the models to score whose source side needs no images.
        todo: of those, the ones that the store does not hold.
        reused: number of pairs of which it holds all.
        failures: rows of the pairs that cannot be scored.
    """

    listed: dict[str, Listed]
    names: dict[Pair, Names]
    sides: dict[str, Signature]
    kept: dict[str, tuple[str, ...]]
    todo: dict[Pair, Names]
    reused: int
    failures: list[dict[str, Any]]


def prepare(config: RunConfig, described: Described, store: Store, progress: Progress) -> Prepared:
    """List, identify, and find out what the store lacks.

    A source that is pinned to a digest is read last, and only for models whose draws are not kept.

    Args:
        config: the run.
        described: what signature files hold, by model.
        store: where scores and draws are kept.
        progress: told of each data set.

    Returns:
        What is to be done, and with what.

    Raises:
        StoreError: the store does not answer.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        # A bucket lists its thousand names a request, while data sets are hashed here.
        asked = pool.submit(store.names, "scores")
        listed, failures = list_datasets(config, first_needs(config), progress)
        lost = lost_pairs(failures)
        known = [pair for pair in config.pairs if pair not in lost]
        names, sides, problems = identify(config, known, listed, described)
        present = set(asked.result())
    todo = {pair: new for pair, all_ in names.items() if (new := absent(all_, present))}
    kept = kept_sources(config, sides, dict.fromkeys(model for model, _ in todo), store)
    late = {
        (model, target): (sides[model].source,)
        for model, target in todo
        if model not in kept and sides[model].source not in listed
    }
    read, unread = list_datasets(config, late, progress)
    lost = lost_pairs(unread)
    return Prepared(
        listed=listed | read,
        names=names,
        sides=sides,
        kept=kept,
        todo={pair: new for pair, new in todo.items() if pair not in lost},
        reused=len(names) - len(todo),
        failures=failures + problems + unread,
    )


def absent(names: Names, present: set[str]) -> Names:
    """Select what of a pair the store does not hold.

    Args:
        names: fingerprint of each metric.
        present: names of the objects that it holds.

    Returns:
        Fingerprints of the metrics that are to be computed.
    """
    return {m: name for m, name in names.items() if f"{name}.parquet" not in present}


def lost_pairs(failures: Iterable[Mapping[str, Any]]) -> set[Pair]:
    """Name the pairs that have no score at all.

    Args:
        failures: rows of the failures table.

    Returns:
        Ids of models and targets.
    """
    return {
        (row["source_model"], row["target_dataset"]) for row in failures if row["metric"] is None
    }


def first_needs(config: RunConfig) -> Needs:
    """Say which data sets are read before anything is known of the store.

    Args:
        config: the run.

    Returns:
        By pair its target, and its source unless a file or a pinned digest stands for it.
    """
    later = pinned_only(config)
    return {
        (model, target): (target,)
        if config.models[model].signature or config.models[model].source in later
        else (target, str(config.models[model].source))
        for model, target in config.pairs
    }


def list_datasets(
    config: RunConfig, needs: Needs, progress: Progress
) -> tuple[dict[str, Listed], list[dict[str, Any]]]:
    """List every data set that a pair needs.

    Args:
        config: the run.
        needs: of the pairs.
        progress: told of each, and of what was left out.

    Returns:
        Those that could be read, by id, and failure rows of the pairs that need the others.
    """
    needed = dict.fromkeys(id_ for ids in needs.values() for id_ in ids)
    progress.expect("data sets", len(needed))
    if not needed:
        return {}, []
    results = list_all(list(needed), unseen(config), lambda: progress.advance("data sets"))
    found, failures = parted(results, needs)
    for id_, data in found.items():
        for note in (*data.notes, *data.left_out.values()):
            progress.say(f"{id_}: {note}")
    return found, failures


def gathered(
    futures: Mapping[str, PrefectFuture[_T]], needs: Needs, advance: Callable[[], None]
) -> tuple[dict[str, _T], list[dict[str, Any]]]:
    """Wait for one task a data set; its failure is the failure of the pairs that need it.

    Args:
        futures: of the tasks, by data set id.
        needs: of the pairs that are to be scored.
        advance: called for each.

    Returns:
        Results by data set id, and failure rows.
    """
    results = {}
    for id_, future in futures.items():
        results[id_] = future.result(raise_on_failure=False)
        advance()
    return parted(results, needs)


def parted(
    results: Mapping[str, _T | Exception], needs: Needs
) -> tuple[dict[str, _T], list[dict[str, Any]]]:
    """Tell results from failures; that of a data set is the failure of the pairs that need it.

    Args:
        results: by data set id.
        needs: of the pairs that are to be scored.

    Returns:
        Results by data set id, and failure rows.
    """
    found: dict[str, _T] = {}
    failures = []
    for id_, result in results.items():
        if not isinstance(result, Exception):
            found[id_] = result
            continue
        error = explained(result)
        failures += [
            failure_row(model, target, "census", error)
            for (model, target), ids in needs.items()
            if id_ in ids
        ]
    return found, failures


def identify(
    config: RunConfig, pairs: Iterable[Pair], listed: Mapping[str, Listed], described: Described
) -> tuple[dict[Pair, Names], dict[str, Signature], list[dict[str, Any]]]:
    """Name every metric of every pair that can be scored.

    Args:
        config: the run.
        pairs: those whose data sets are known.
        listed: data sets whose content was read, by id.
        described: what signature files hold, by model.

    Returns:
        Fingerprints by metric, source sides by model, and failure rows of pairs that cannot be
        scored.
    """
    pairs = list(pairs)
    known = {id_: (data.digest, data.classes) for id_, data in listed.items()}
    found = over_models(
        lambda id_: source_side(id_, config, described, known),
        dict.fromkeys(model for model, _ in pairs),
    )
    signatures = {id_: side for id_, side in found.items() if isinstance(side, Signature)}
    namers = {id_: PairNames(config, id_, side) for id_, side in signatures.items()}
    names: dict[Pair, Names] = {}
    failures = []
    for model, target in pairs:
        try:
            if isinstance(lost := found[model], OtceError):
                raise lost
            data = listed[target]
            names[model, target] = pair_names(namers[model], target, data.digest, data.classes)
        except OtceError as error:
            failures.append(failure_row(model, target, "load", error))
    return names, signatures, failures
