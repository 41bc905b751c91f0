"""What `otce measure` does: which transfers are really made, how, and on which images they count.

Nothing in here can change a score, so nothing in here is part of a score's fingerprint.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from otce.section import PositiveFloat, Section, Seed

Kind = Literal["zero_shot", "head", "fine_tune", "fine_tune_new_head", "scratch"]
Baseline = Literal["at_source", "short_fine_tune"]

KINDS: Final[tuple[Kind, ...]] = (
    "zero_shot",
    "head",
    "fine_tune",
    "fine_tune_new_head",
    "scratch",
)
"""Kinds of transfer, from the one that changes least."""
AT_SOURCE: Final = "at_source"
"""No transfer: the model as it is, on images of its own source that were held back."""
SHORT: Final = "short_fine_tune"
"""A fine-tune of about the cost of a score: a few steps on most of the labelled images of the
target, judged on the rest of them, so that like a score it never sees a held-back image."""
BASELINES: Final[tuple[Baseline, ...]] = (AT_SOURCE, SHORT)
"""Measured to be held against scores, whatever kinds are asked for; never what is predicted."""
Trained = Literal["head", "fine_tune", "fine_tune_new_head", "scratch"]


def _once(values: tuple[object, ...]) -> tuple[object, ...]:
    if len(set(values)) < len(values):
        raise ValueError("one is written twice; write each once")
    return values


Grid = Annotated[
    tuple[PositiveFloat, ...], Field(min_length=1, max_length=8), AfterValidator(_once)
]
"""Learning rates to choose from; of equally good ones the first is taken."""


class LearningRates(Section):
    """Rates to choose from, for each kind of transfer that trains."""

    head: Grid = (1e-3, 1e-2, 1e-1)
    """A new final classifier on features that stay as they are."""
    fine_tune: Grid = (1e-4, 3e-4, 1e-3, 3e-3)
    """All weights, the source's final classifier among them."""
    fine_tune_new_head: Grid = (3e-4, 1e-3, 3e-3, 1e-2)
    """All weights, with a new final classifier."""
    scratch: Grid = (1e-3, 4e-3, 2e-2)
    """All weights, from random ones."""


@dataclass(frozen=True)
class Training:
    """All that training one network depends on besides the network and the images.

    Attributes:
        kind: what is trained.
        seed: of new weights, batches and dropout.
        steps: batches of a training.
        batch_size: crops a batch.
        crop: side of a crop, as a share of the smallest image's.
        weight_decay: of AdamW.
        validation: share of the labelled images that choose the learning rate.
        learning_rates: to choose from.
    """

    kind: Trained
    seed: int
    steps: int
    batch_size: int
    crop: float
    weight_decay: float
    validation: float
    learning_rates: tuple[float, ...]


class MeasureConfig(Section):
    """Which transfers are made and how."""

    evaluate: dict[str, str] = Field(default_factory=dict)
    """By target, the data set of held-back images that its transfers are judged on. Where a source
    is named as well, its models are judged at home: a baseline of every score."""
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1), AfterValidator(_once)] = KINDS
    """Which transfers are made."""
    shots: Annotated[
        tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1), AfterValidator(_once)
    ] = (5, 20, 50)
    """How many labelled images of a target are trained on, evenly spaced in order of ids."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_once)] = (0, 1)
    """Roots of new weights, batches and dropout; each is one repetition."""
    steps: Annotated[int, Field(ge=1)] = 100
    """Batches of a training."""
    short_steps: Annotated[int, Field(ge=1)] | None = 40
    """Batches of the short fine-tune, a baseline of every score where a kind trains at all; null:
    there is none. It trains on the most `shots` less those of `validation`, which judge it, with
    the first of `seeds`."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Crops a batch."""
    crop: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Side of a random crop, as a share of the smallest image's."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Of AdamW."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of the labelled images, at least one, that choose the learning rate; the training that
    counts then sees all of them."""
    learning_rates: LearningRates = LearningRates()
    """What the learning rate is chosen from; with one rate nothing is chosen."""

    def training(self, kind: Trained, seed: int) -> Training:
        """Say how one network is trained.

        Args:
            kind: what is trained.
            seed: one of `seeds`.

        Returns:
            All that counts for it.
        """
        return Training(
            kind=kind,
            seed=seed,
            steps=self.steps,
            batch_size=self.batch_size,
            crop=self.crop,
            weight_decay=self.weight_decay,
            validation=self.validation,
            learning_rates=getattr(self.learning_rates, kind),
        )

    def short_training(self, seed: int, steps: int, *, keeps_head: bool) -> Training:
        """Say how the short fine-tune is done: at one rate, as there is no time to choose.

        Args:
            seed: one of `seeds`.
            steps: batches.
            keeps_head: whether the source's final classifier stays.

        Returns:
            All that counts for it; of the learning rates it has the upper middle one, as few steps
            want a high rate and the highest may diverge.
        """
        usual = self.training("fine_tune" if keeps_head else "fine_tune_new_head", seed)
        rates = sorted(usual.learning_rates)
        return replace(usual, steps=steps, learning_rates=(rates[len(rates) // 2],))
