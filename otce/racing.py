"""Racing: nothing more is spent on a model once it cannot reach the top k.

A race has phases: *heats*, repetitions of fewer pixels on fewer images, and *finals*, the ordinary
repetitions of a run. A phase has rounds: some more repetitions of every model that is left, then
decisions. All models of a round see the same pixels, so differences between two models are far less
noisy than their scores, and a decision rests on such paired differences of one phase alone: fewer
pixels lower a score by themselves, so scores of two sizes are never compared.

The rule. After n repetitions model i leaves when at least k others are better beyond doubt:
`mean_j - mean_i > q sqrt(v_ij (1/n - 1/K))`. Here v_ij is the variance of the paired differences,
but at least its mean over all pairs of models, for few repetitions make accidentally small
variances; q is the quantile of Student's t at level `error / (looks k (M - k))` with the
(M - 1)(n - 1) degrees of freedom of that mean, for M models left and `looks` rounds that decide.
After one repetition there is no variance, and nobody leaves.

What it promises. A model of the top k leaves only if it is found below a model that is not better:
one of k (M - k) comparisons goes wrong in one of the looks. So with normal scores of one variance
the chance that any of the top k leaves is at most `error` (union bound). Unequal variances are met
by the floor, approximately. In finals the top k is that of the full run of K repetitions: after n
of them only the others are unknown, hence 1/n - 1/K, and with K all is known. In heats K is
infinite and the top k is that of the expected scores at the heats' size: if fewer pixels change the
order of models, a heat does not see it. That is why a phase may be told how many models to spare.

Literature: Maron and Moore, "Hoeffding Races", NIPS 1993 (racing); Moore and Lee, ICML 1994 (paired
differences); Karnin et al., "Almost Optimal Exploration in Multi-Armed Bandits", ICML 2013 (rounds
that grow while models leave). Scores are in units of their metric, higher is better.
"""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, NamedTuple

from otce.standings import Scores, Standing, standings

Decision = Literal["stays", "leaves", "finished", "failed"]


@dataclass(frozen=True)
class Phase:
    """Rounds whose scores may be compared.

    Attributes:
        name: `heats` or `finals`.
        ends: repetitions that a model has after each round, ascending.
        work: transport work of a repetition; 1 is that of a repetition of the full run.
        whole: K, if the decisions are about the mean of K repetitions; None: about the expectation.
        survivors: fewest models to spare.
    """

    name: str
    ends: tuple[int, ...]
    work: float = 1.0
    whole: int | None = None
    survivors: int = 0


@dataclass(frozen=True)
class Rules:
    """What a race is about.

    Attributes:
        top_k: how many models are wanted.
        error: largest chance that any of them is lost, over all rounds; 0: nobody ever leaves.
        minimum: repetitions of a phase that every model in it gets before anyone leaves; at least
            2, as one has no variance.
    """

    top_k: int
    error: float
    minimum: int = 2


class Round(NamedTuple):
    """What is to be scored next: these repetitions of these models, all on the same pixels."""

    phase: Phase
    models: tuple[str, ...]
    repetitions: range


class Verdict(NamedTuple):
    """A row of `otce.tables.RACE`, but for the target and the metric."""

    round: int
    phase: str
    source_model: str
    repetitions: int
    mean: float | None
    bound: float | None
    threshold: float | None
    decision: Decision
    reason: str
    work: float


def round_ends(repetitions: Sequence[int], total: int) -> tuple[int, ...]:
    """Fit a schedule of rounds to a number of repetitions.

    Args:
        repetitions: how many more each round has, at least 1.
        total: how many there are in all, at least 1.

    Returns:
        Repetitions after each round; the last is the total, whatever the schedule says.

    Example:
        >>> round_ends([1, 1, 2, 2, 4], 10), round_ends([1, 1, 2, 2, 4], 5), round_ends([2], 6)
        ((1, 2, 4, 6, 10), (1, 2, 4, 5), (2, 6))
    """
    return (*(end for end in accumulate(repetitions) if end < total), total)


def comparison_level(rules: Rules, phases: Sequence[Phase], models: int) -> float:
    """Share the error among all comparisons that can go wrong.

    Args:
        rules: of the race.
        phases: all its phases.
        models: how many start.

    Returns:
        Chance of being wrong that each comparison of two models may have.

    Example:
        >>> finals = Phase("finals", (1, 2, 4, 10), whole=10)
        >>> comparison_level(Rules(top_k=1, error=0.04), [finals], 5)
        0.005
    """
    looks = sum(_decides(rules, phase, end) for phase in phases for end in phase.ends)
    comparisons = rules.top_k * max(models - rules.top_k, 1)
    return rules.error / max(looks, 1) / comparisons


def _decides(rules: Rules, phase: Phase, end: int) -> bool:
    """After the last repetition of a full run nothing is left to save."""
    return end >= rules.minimum and end != phase.whole


def race(
    models: Sequence[str], phases: Sequence[Phase], rules: Rules, late: Collection[str] = ()
) -> Generator[Round, Scores, list[Verdict]]:
    """Run a race as a generator: it yields what to score, and is sent the scores.

    It reads nothing but what it is sent, so equal scores make equal decisions, and a race that was
    interrupted is run again over the scores that are kept. A model that is missing from what is
    sent could not be scored, and is out. When nobody can leave any more, the finals have one round.

    Args:
        models: ids of comparable models: equal pixel counts, none degenerate.
        phases: heats, if any, then finals; those end with the K of the full run.
        rules: what the race is about.
        late: those of the models that have no heats and join in the finals.

    Yields:
        The next round.

    Returns:
        All decisions, by round and model.

    Example:
        >>> running = race(["a", "b", "c"], [Phase("finals", (2, 4), whole=4)], Rules(1, 0.05))
        >>> next(running).repetitions
        range(0, 2)
        >>> running.send({"a": [-0.1, -0.1], "b": [-0.1, -0.11], "c": [-0.9, -0.9]}).models
        ('a', 'b')
    """
    left = tuple(sorted(set(models).difference(late)))
    level = comparison_level(rules, phases, len(models))
    work = dict.fromkeys(models, 0.0)
    verdicts: list[Verdict] = []
    for phase in phases:
        if phase.whole is not None:
            left = tuple(sorted({*left, *late}))
        scores: dict[str, list[float]] = {model: [] for model in left}
        for end in phase.ends:
            settled = len(left) <= max(rules.top_k, phase.survivors)
            if not left or (settled and (phase.whole is None or end != phase.ends[-1])):
                continue
            done = len(scores[left[0]])
            found = yield Round(phase, left, range(done, end))
            for model in left:
                work[model] += phase.work * (end - done)
                scores[model].extend(found.get(model, ()))
            said = _said({m: scores[m] for m in left if m in found}, phase, rules, level)
            index = verdicts[-1].round + 1 if verdicts else 0
            verdicts += [
                Verdict(index, phase.name, model, len(scores[model]), *said[model], work[model])
                if model in said
                else Verdict(index, phase.name, model, done, *_FAILED, work[model])
                for model in left
            ]
            left = tuple(m for m in said if said[m].decision in {"stays", "finished"})
    return verdicts


class _Said(NamedTuple):
    mean: float | None
    bound: float | None
    threshold: float | None
    decision: Decision
    reason: str


_FAILED: Final = _Said(None, None, None, "failed", "could not be scored: see the failures table")


def _said(scores: Scores, phase: Phase, rules: Rules, level: float) -> dict[str, _Said]:
    """Decide about every model of a round that was scored."""
    if not scores:
        return {}
    n = len(next(iter(scores.values())))
    wanted = min(rules.top_k, len(scores))
    deciding = level if _decides(rules, phase, n) and len(scores) > wanted else 0.0
    found = standings(scores, top_k=wanted, level=deciding, whole=phase.whole)
    spared = max(rules.top_k, phase.survivors)
    best = sorted((standing.mean for standing in found.values()), reverse=True)[:spared]
    return {
        model: _Said(*standing, *_decision(standing, n, phase, rules, best[-1]))
        for model, standing in found.items()
    }


def _decision(
    standing: Standing, n: int, phase: Phase, rules: Rules, spared_mean: float
) -> tuple[Decision, str]:
    if n == phase.whole:
        return "finished", "has all repetitions"
    if n < rules.minimum:
        return "stays", f"{rules.minimum} repetitions are guaranteed"
    if standing.bound is None:
        return "stays", "no error is allowed" if rules.error == 0 else "no more models than places"
    if standing.bound >= standing.threshold:
        return "stays", f"may be among the best {rules.top_k}"
    if standing.mean >= spared_mean:
        return "stays", f"the best {max(rules.top_k, phase.survivors)} are spared"
    return "leaves", f"cannot be among the best {rules.top_k}"
