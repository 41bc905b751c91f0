"""Race the models of a run: draw, score round by round, and tell how far each pair came."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from flows.entrants import comparable, drawn_heats, with_heats
from flows.pairs import Pair, Prepared
from flows.progress import Progress
from flows.race import Todo, run_races
from flows.repetitions import heats_of, score_in_full, stems, wanted_of
from flows.score import Scorer
from otce.config import RunConfig
from otce.pair_table import unfinished_pair
from otce.recipe import OVER_ALL_PIXELS
from otce.storage.store import Store
from tasks.kept import Kept

_NAMED = 3


def race_zoo(
    config: RunConfig, found: Prepared, store: Store, scorer: Scorer, progress: Progress
) -> pa.Table:
    """Race all pairs that can be compared, and score the others in full.

    Args:
        config: the run.
        found: what is known of it.
        store: where scores are kept.
        scorer: scores.
        progress: told of every round.

    Returns:
        A table of `otce.tables.RACE`.

    Raises:
        StoreError: the store does not answer.
    """
    scorer.draw(
        {
            (model, target): tuple(
                id_ for id_ in (found.sides[model].source, target) if id_ in found.listed
            )
            for model, target in found.names
        }
    )
    pairs = [pair for pair in found.names if pair not in scorer.lost]
    entrants = comparable(config, pairs, scorer.censuses)
    racing = {(model, target) for target, models in entrants.items() for model in models}
    score_in_full(config, found, store, scorer, [pair for pair in pairs if pair not in racing])
    heats = with_heats(config, found, Kept.listed(store), entrants)
    scorer.draw({pair: (found.sides[pair[0]].source, pair[1]) for pair in heats}, heat=True)
    heats = drawn_heats(config, heats, scorer.heats)
    entrants = {
        target: [model for model in models if (model, target) not in scorer.lost]
        for target, models in entrants.items()
    }
    rounds = _Rounds(config, found, store, scorer, progress)
    return run_races(config, entrants, rounds.score, late=racing - heats)


def left_early(race: pa.Table) -> dict[Pair, int]:
    """Tell how many repetitions the pairs have that a race did not finish.

    Args:
        race: of `otce.tables.RACE`.

    Returns:
        Repetitions of finals by pair; 0 where there are none that may be published.
    """
    found = {}
    for row in race.to_pylist():
        pair = row["source_model"], row["target_dataset"]
        in_finals = row["phase"] == "finals" and row["decision"] != "failed"
        found[pair] = row["repetitions"] if in_finals else 0
        if row["decision"] == "finished":
            del found[pair]
    return found


def unfinished_tables(
    config: RunConfig, found: Prepared, kept: Kept, ends: Mapping[Pair, int]
) -> list[pa.Table]:
    """Read the repetitions of the pairs that left a race.

    The store may hold more of them than the race asked for; what a race publishes is its own.

    Args:
        config: the run.
        found: what is known of it.
        kept: what the store holds.
        ends: repetitions by pair.

    Returns:
        Tables of `otce.tables.PAIR`, one a pair and metric.
    """

    def read(pair: Pair) -> list[pa.Table]:
        own, tables = stems(config, found, pair), []
        for metric, name in found.names[pair].items():
            if kept.missing(name, own[metric], wanted := range(ends[pair])):
                continue
            table = kept.read(name, own[metric], wanted)
            # What has one repetition is whole.
            is_whole = metric in OVER_ALL_PIXELS
            tables.append(table if is_whole else unfinished_pair(own[metric], table.to_pylist()))
        return tables

    with ThreadPoolExecutor(max_workers=8) as pool:
        return [one for part in pool.map(read, sorted(p for p in ends if ends[p])) for one in part]


class _Rounds:
    """Scores rounds of all targets, from the store where they are kept."""

    def __init__(
        self,
        config: RunConfig,
        found: Prepared,
        store: Store,
        scorer: Scorer,
        progress: Progress,
    ) -> None:
        self._config, self._found, self._store = config, found, store
        self._scorer, self._progress, self._transports = scorer, progress, 0

    def score(self, todo: Todo) -> dict[Pair, Sequence[float]]:
        kept = Kept.listed(self._store)
        heats = {p: one.repetitions for p, one in todo.items() if one.phase.whole is None}
        finals = {p: one.repetitions for p, one in todo.items() if p not in heats}
        self._scorer.release(finals)
        self._scorer.score(heats_of(self._config, self._found, kept, heats), heat=True)
        failures = self._scorer.failures
        self._scorer.score(wanted_of(self._config, self._found, kept, finals, failures))
        self._tell(todo)
        return self._values(heats, finals)

    def _values(
        self, heats: Mapping[Pair, range], finals: Mapping[Pair, range]
    ) -> dict[Pair, Sequence[float]]:
        kept = Kept.listed(self._store)
        failed = {
            (row["source_model"], row["target_dataset"])
            for row in self._scorer.failures
            if row["metric"] in {None, "otce"}
        }

        def values(pair: Pair) -> list[float]:
            heat = pair in heats
            stem = stems(self._config, self._found, pair, heat=heat)["otce"]
            name = "" if heat else self._found.names[pair]["otce"]
            return kept.values(name, stem, heats[pair] if heat else finals[pair])

        sound = [pair for pair in (*heats, *finals) if pair not in failed]
        with ThreadPoolExecutor(max_workers=8) as pool:
            return dict(zip(sound, pool.map(values, sound), strict=True))

    def _tell(self, todo: Todo) -> None:
        """Tell each kind of round; targets without heats are ahead of others."""
        rounds: dict[tuple[str, range], list[Pair]] = {}
        for pair, one in todo.items():
            rounds.setdefault((one.phase.name, one.repetitions), []).append(pair)
        for (phase, repetitions), pairs in rounds.items():
            self._transports += len(pairs) * len(repetitions)
            targets = sorted({target for _, target in pairs})
            where = ", ".join(targets) if len(targets) <= _NAMED else f"{len(targets)} targets"
            span = f"{repetitions[0] + 1}-{repetitions[-1] + 1}"
            models = len({model for model, _ in pairs})
            self._progress.say(
                f"{phase} {span} of {where}: {models} models left, "
                f"{self._transports} transports so far"
            )
