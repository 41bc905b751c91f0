"""What scoring a model needs, and what becomes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from otce.config import RunConfig
from otce.errors import OtceError
from otce.identity import Signature
from otce.recipe import Metric
from otce.storage.store import Store
from tasks.census import Census
from tasks.plan import Plan
from tasks.ray_calls import Refs
from tasks.retry import GaveUpError, Window
from tasks.shards import Cuts
from tasks.slots import Slots
from tasks.timings import Timings

Names = Mapping[Metric, str]
"""Fingerprint of each metric of a pair."""


@dataclass(frozen=True)
class Wanted:
    """What of a pair is to be scored.

    Attributes:
        names: fingerprints of its metrics that are not kept whole.
        stems: fingerprints of the repetitions of its metrics.
        missing: by metric the repetitions to score, as ranges that are kept apart.
    """

    names: Names
    stems: Names
    missing: Mapping[Metric, list[range]]

    @property
    def metrics_of(self) -> dict[int, tuple[Metric, ...]]:
        """By repetition the metrics to score, ascending."""
        found: dict[int, tuple[Metric, ...]] = {}
        for metric, ranges in self.missing.items():
            for k in (k for one in ranges for k in one):
                found[k] = (*found.get(k, ()), metric)
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Work:
    """What every model's scoring shares.

    Attributes:
        config: the run.
        store: where score tables go.
        censuses: data sets as counted and drawn, by id.
        heats: the same as drawn for the heats of a race.
        sides: source sides by model.
        kept: URIs of the draws of the models whose source side is kept.
        held: by model and data set the features that further rounds of a race need.
        plan: how the cluster is shared.
        slots: places for feature actors.
        window: bounds the transports.
        on_pair: told (model, target, failure rows) when a pair is done.
        cuts: the shards of data sets.
        timings: told what every call to a worker took.
    """

    config: RunConfig
    store: Store
    censuses: Mapping[str, Census]
    heats: Mapping[str, Census]
    sides: Mapping[str, Signature]
    kept: Mapping[str, tuple[str, ...]]
    held: dict[tuple[str, str], Refs]
    plan: Plan
    slots: Slots
    window: Window
    on_pair: Callable[[str, str, list[dict[str, Any]]], None]
    cuts: Cuts
    timings: Timings = field(default_factory=Timings)

    def drawn(self, dataset_id: str, *, heat: bool) -> Census:
        """A data set as drawn.

        Args:
            dataset_id: its id.
            heat: for the heats of a race.

        Returns:
            Its census.
        """
        return (self.heats if heat else self.censuses)[dataset_id]

    def size(self, model: str, target: str) -> tuple[int, int]:
        """How many pixels a transport of a pair couples; a heat couples fewer.

        Args:
            model: its model.
            target: its target.

        Returns:
            Source and target pixels; N for a source whose draws are kept.
        """
        sampling, source = self.config.sampling, self.censuses.get(self.sides[model].source)
        pixels = self.censuses[target].sample.item.size // sampling.repetitions
        if source is None:
            return sampling.pixels, pixels
        return source.sample.item.size // sampling.repetitions, pixels


@dataclass
class Outcome:
    """What became of a model's pairs.

    Attributes:
        scored: targets whose tables were all put.
        failures: rows of the failures table.
    """

    scored: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)


def failure_row(
    model_id: str,
    target_id: str,
    stage: str,
    error: OtceError,
    *,
    repetition: int | None = None,
    metric: Metric | None = None,
) -> dict[str, Any]:
    """Describe a pair that has no score.

    Args:
        model_id: the source model.
        target_id: the target data set.
        stage: where it failed.
        error: why; a `GaveUpError` also says after how many attempts.
        repetition: which draw, when it was one.
        metric: which score, when the others may be had.

    Returns:
        A row of `otce.tables.FAILURES`.
    """
    attempts = error.attempts if isinstance(error, GaveUpError) else 1
    cause = error.error if isinstance(error, GaveUpError) else error
    return {
        "source_model": model_id,
        "target_dataset": target_id,
        "metric": metric,
        "stage": stage,
        "repetition": repetition,
        "error_class": type(cause).__name__,
        "transient": cause.transient,
        "attempts": attempts,
        "message": str(cause),
    }
