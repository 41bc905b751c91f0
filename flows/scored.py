"""Score what the store lacks, and read what it holds; what is damaged there is scored once more."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from flows.pairs import Pair, Prepared, lost_pairs
from flows.progress import Progress
from flows.repetitions import join_whole, score_in_full
from flows.rounds import left_early, race_zoo, unfinished_tables
from flows.score import Scorer
from flows.teller import Teller
from flows.view import unseen
from otce.config import RunConfig
from otce.errors import DamagedError
from otce.recipe import Metric
from otce.storage.store import Store
from tasks.census import Census
from tasks.gather import gather
from tasks.keep import set_aside_damaged
from tasks.timings import Timings


@dataclass(frozen=True)
class Scored:
    """What became of a run's pairs.

    Attributes:
        found: what was known of them.
        censuses: data sets as drawn, by id.
        computed: pairs of which something was scored.
        failures: rows of the failures table.
        names: model id and fingerprint of every pair table that is to be published.
        unfinished: tables of the pairs that left a race.
        race: what a race decided, of schema `otce.tables.RACE`, if there was one.
        timings: what was computed took, of schema `otce.timing_table.TIMINGS`.
        set_aside: keys that damaged pair tables and kept draws have now.
    """

    found: Prepared
    censuses: Mapping[str, Census]
    computed: frozenset[Pair]
    failures: list[dict[str, Any]]
    names: Sequence[tuple[str, str]]
    unfinished: Sequence[pa.Table]
    race: pa.Table | None
    timings: pa.Table
    set_aside: tuple[str, ...] = ()

    @property
    def is_idle(self) -> bool:
        """Whether everything was there."""
        return not self.computed and not self.failures and self.race is None

    def counts(self, config: RunConfig) -> dict[str, int]:
        """Count pairs.

        Args:
            config: the run.

        Returns:
            In all, computed, reused and failed.
        """
        failed = {(row["source_model"], row["target_dataset"]) for row in self.failures}
        return {
            "total": len(config.pairs),
            "computed": len(self.computed),
            "reused": len(self.found.names.keys() - self.computed - failed),
            "failed": len(failed),
        }


def score(
    config: RunConfig,
    found: Prepared,
    store: Store,
    progress: Progress,
    teller: Teller,
    timings: Timings,
) -> Scored:
    """Score what the store lacks.

    Args:
        config: the run.
        found: what is known of its pairs.
        store: where scores and draws are kept.
        progress: told of what is done.
        teller: told of every pair.
        timings: told what every call to a worker took.

    Returns:
        What became of the pairs.

    Raises:
        StoreError: the store cannot be used.
        ClusterError: Ray cannot be used.
    """
    progress.say(_plan_line(config, found.reused, len(found.todo)))
    with Scorer(config, store, found, progress, teller, timings) as scorer:
        if config.strategy == "race":
            race = race_zoo(config, found, store, scorer, progress)
        else:
            race = None
            score_in_full(config, found, store, scorer, found.todo)
    kept = join_whole(config, found, store)
    left = left_early(race) if race is not None else {}
    return Scored(
        found=found,
        censuses=scorer.censuses,
        computed=frozenset(scorer.computed),
        failures=scorer.failures,
        names=_whole(found.names, scorer.failures, left),
        unfinished=unfinished_tables(config, found, kept, left),
        race=race,
        timings=scorer.timings,
    )


def read_all(
    store: Store, progress: Progress, done: Scored, score_again: Callable[[], Scored]
) -> tuple[Scored, pa.Table]:
    """Read all pair tables; what is damaged is set aside, made again, and read again.

    Args:
        store: where scores and draws are kept.
        progress: told of what is done.
        done: what became of the pairs.
        score_again: looks what the store lacks, and scores it.

    Returns:
        What became of them now, and all their rows, of schema `otce.tables.PAIR`.

    Raises:
        DamagedError: a table is damaged that was put just now.
        StoreError: the store cannot be used.
    """
    read = gather(unseen(done.names), unseen(done.unfinished), store)
    aside = _draws_set_aside(store, done)
    aside += [store.set_aside(f"scores/{name}.parquet") for name in read.damaged]
    if not aside:
        return done, read.table
    for key in aside:
        name = f"{store.uri}/{key.removesuffix('.corrupt')}"
        progress.say(f"{name} is damaged and was set aside; its pairs are scored again")
    again = score_again()
    read = gather(unseen(again.names), unseen(again.unfinished), store)
    if read.damaged:
        raise DamagedError(
            f"{store.uri}/scores/{read.damaged[0]}.parquet is damaged although it was put just "
            "now; check the storage, then run again"
        )
    computed = done.computed | again.computed
    return replace(again, computed=computed, set_aside=tuple(aside)), read.table


def _draws_set_aside(store: Store, done: Scored) -> list[str]:
    """Set the kept draws aside that failed models for being damaged."""
    damaged = {r["source_model"] for r in done.failures if r["error_class"] == "DamagedError"}
    kept = done.found.kept
    return [
        key for model in sorted(damaged) for key in set_aside_damaged(kept.get(model, ()), store)
    ]


def _whole(
    names: Mapping[Pair, Mapping[Metric, str]],
    failures: list[dict[str, Any]],
    left: Container[Pair],
) -> list[tuple[str, str]]:
    """Name the tables of all metrics of all pairs that have one of their own."""
    lost = lost_pairs(failures)
    failed = {(row["source_model"], row["target_dataset"], row["metric"]) for row in failures}
    return [
        (pair[0], name)
        for pair in sorted(names)
        if pair not in lost and pair not in left
        for metric, name in names[pair].items()
        if (*pair, metric) not in failed
    ]


def _plan_line(config: RunConfig, reused: int, new: int) -> str:
    sampling = config.sampling
    todo = "nothing to compute" if not new else f"{new} to score"
    if new and config.strategy == "race":
        todo = f"{new} race for the best {config.race.top_k}"
    return (
        f"{len(config.models)} models, {len(config.targets)} targets, {len(config.pairs)} pairs: "
        f"{reused} in the store, {todo}; {sampling.repetitions} draws of {sampling.pixels} pixels"
    )
