"""Run the races of all targets side by side, so that a model is loaded once a round for all."""

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence

import pyarrow as pa

from flows.pairs import Pair
from otce import tables
from otce.config import RunConfig
from otce.racing import Phase, Round, Rules, Verdict, race, round_ends
from otce.standings import Scores

Todo = Mapping[Pair, Round]
"""By pair the round that it is in: which phase, and which repetitions."""
Running = Generator[Round, Scores, list[Verdict]]


def planned(config: RunConfig) -> tuple[list[Phase], Rules]:
    """Lay out the race that a configuration asks for.

    Args:
        config: the run.

    Returns:
        Heats, if any, and finals; and the rules.
    """
    chosen, whole = config.race, config.sampling.repetitions
    finals = Phase("finals", round_ends(chosen.finals, whole), whole=whole)
    rules = Rules(chosen.top_k, chosen.error, chosen.minimum)
    if not chosen.heats:
        return [finals], rules
    heats = Phase(
        "heats",
        round_ends(chosen.heats, sum(chosen.heats)),
        work=chosen.heat_pixels**2,
        survivors=chosen.heat_survivors,
    )
    return [heats, finals], rules


def transports(config: RunConfig, models: int) -> tuple[dict[str, int], dict[str, int]]:
    """Bound what a race of one target costs.

    Args:
        config: the run.
        models: how many race.

    Returns:
        The least and the most transports by phase: everybody who may leave does so as soon as it
        is allowed, or nobody ever.
    """
    phases, rules = planned(config)
    least, most, left = {}, {}, models
    for phase in phases:
        least[phase.name], done = 0, 0
        most[phase.name] = models * phase.ends[-1]
        spared = max(rules.top_k, phase.survivors)
        for end in phase.ends:
            if phase.whole is None and left <= spared:
                break
            least[phase.name] += left * (end - done)
            done = end
            if end >= rules.minimum and rules.error:
                left = min(left, spared)
    return least, most


def race_line(config: RunConfig, targets: Iterable[str]) -> str:
    """Tell the least and the most transports of a race, as if all pairs were comparable.

    Args:
        config: the run.
        targets: of each pair.

    Returns:
        One line.
    """
    count = Counter(targets)
    bounds = [transports(config, models) for models in count.values()]
    phases, _ = planned(config)
    told = [
        f"{sum(least[phase.name] for least, _ in bounds):,} to "
        f"{sum(most[phase.name] for _, most in bounds):,} {phase.name}"
        for phase in phases
    ]
    full = count.total() * config.sampling.repetitions
    return (
        f"race for the best {config.race.top_k}: {' and '.join(told)} (transports; a heat is "
        f"{phases[0].work:.3g} of one of the finals), in place of {full:,}"
        if len(phases) > 1
        else f"race for the best {config.race.top_k}: {told[0]} in place of {full:,} transports"
    )


def run_races(
    config: RunConfig,
    entrants: Mapping[str, Sequence[str]],
    score: Callable[[Todo], Mapping[Pair, Sequence[float]]],
    *,
    metric: str = "otce",
    late: Collection[Pair] = (),
) -> pa.Table:
    """Race the models of every target.

    Decisions follow from scores alone, so what was interrupted is run again over those that are
    kept, and comes to the same end.

    Args:
        config: the run.
        entrants: by target the models that may be compared: of equal pixel counts, none degenerate.
        score: scores a round of all targets, from the store where it is kept; gives a pair's
            scores in order of repetitions, and leaves out the pairs that could not be scored.
        metric: which score is raced by.
        late: pairs that have no heats and join in the finals.

    Returns:
        A table of `otce.tables.RACE`, by target, round and model. The pairs that `finished` have
        all repetitions.
    """
    phases, rules = planned(config)
    running: dict[str, Running] = {
        target: race(models, phases, rules, [m for m in models if (m, target) in late])
        for target, models in sorted(entrants.items())
    }
    verdicts: dict[str, list[Verdict]] = {}
    sent: dict[str, Scores | None] = dict.fromkeys(running)
    while sent:
        asked = _advance(running, sent, verdicts)
        todo = {(m, target): one for target, one in asked.items() for m in one.models}
        found = score(todo) if todo else {}
        sent = {
            target: {m: found[m, target] for m in one.models if (m, target) in found}
            for target, one in asked.items()
        }
    rows = [
        {"target_dataset": target, "metric": metric} | verdict._asdict()
        for target, said in sorted(verdicts.items())
        for verdict in said
    ]
    return tables.table(rows, tables.RACE)


def _advance(
    running: Mapping[str, Running],
    sent: Mapping[str, Scores | None],
    verdicts: dict[str, list[Verdict]],
) -> dict[str, Round]:
    """Take every race to its next round, or to its verdicts."""
    asked = {}
    for target, scores in sent.items():
        try:
            asked[target] = (
                next(running[target]) if scores is None else running[target].send(scores)
            )
        except StopIteration as ended:
            verdicts[target] = ended.value
    return asked
