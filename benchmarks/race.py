"""What a race saves, and how often it finds the best models of the full run.

    python benchmarks/race.py [--models 50] [--seeds 100] [--relaxation source]
    python benchmarks/race.py --models 500 --simulate [--computed 20]

A zoo is drawn anew for every seed: models that see the same images, each through features of its
own, with known separations of the classes. Images differ in their mix of classes and in how they
look, and models differ in what the look of an image does to their features, so few images mislead.
Pixels are drawn by `otce.sampling` and scored by `otce.score_pixels`, the heats' as the finals'.

With `--simulate` scores are not computed but drawn: models of the computed zoos of 50 (their mean
in finals, mean in heats, and noise in both) are drawn with replacement, moved a little, and given
normal noise of their own and noise that all share. What noise two models have in common beyond that
is left out; the error of the heats' means counts as a difference between heats and finals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Annotated, Any

import cyclopts
import numpy as np
import torch
from cyclopts import Parameter
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from otce import score_pixels
from otce.racing import Phase, Rules, Verdict, race, round_ends
from otce.recipe import ClassWeights, Relaxation
from otce.sampling import FEWEST_IMAGES, digest_over_images, draw_images, draw_ranks

CLASSES, DIM = 5, 6
IMAGE_PX = 200
"""Labelled pixels of an image."""
SOURCES, SOURCE_IMAGES, TARGET_IMAGES, REPETITIONS = 4, 400, 40, 10


@dataclass(frozen=True)
class Plan:
    """A race's settings.

    Attributes:
        heats: repetitions of each round of heats; none: finals only.
        images: share of the images that a heat sees.
        pixels: share of N that a heat draws.
        n_pixels: N.
        survivors: fewest models that heats spare.
        top_k: how many models are wanted.
        error: largest chance of losing one of them.
        relaxation, class_weights: of the coupling.
    """

    heats: tuple[int, ...] = (4, 4)
    images: float = 0.05
    pixels: float = 0.2
    n_pixels: int = 400
    survivors: int = 6
    top_k: int = 3
    error: float = 0.05
    relaxation: Relaxation = "source"
    class_weights: ClassWeights = "uniform"

    @property
    def phases(self) -> list[Phase]:
        """Heats, if any, and finals."""
        finals = Phase("finals", round_ends((1, 1, 2, 2, 4), REPETITIONS), whole=REPETITIONS)
        if not self.heats:
            return [finals]
        ends = round_ends(self.heats, sum(self.heats))
        return [Phase("heats", ends, self.pixels**2, survivors=self.survivors), finals]


@dataclass(frozen=True)
class Zoo:
    """Scores of all models, all repetitions.

    Attributes:
        finals: (models, K).
        heats: (models, heats).
        quality: (models,) known separation of the classes, the truth.
    """

    finals: NDArray[np.float64]
    heats: NDArray[np.float64]
    quality: NDArray[np.float64]


@dataclass(frozen=True)
class Images:
    """A data set in memory: what there is to see at each of its pixels."""

    labels: NDArray[np.int64]
    looks: NDArray[np.float64]
    details: NDArray[np.float64]
    digest: str

    def draw(self, seed: int, repetition: int, plan: Plan, *, heat: bool) -> NDArray[np.int64]:
        """Draw as a heat does, or as a run does."""
        n_images = len(self.looks)
        labelled_px = np.full(n_images, IMAGE_PX)
        if not heat:
            chosen, pixels, key = np.arange(n_images), plan.n_pixels, self.digest
        else:
            chosen = draw_images(
                labelled_px,
                plan.images,
                seed=seed,
                dataset_digest=self.digest,
                repetition=repetition,
            )
            pixels = round(plan.pixels * plan.n_pixels)
            key = digest_over_images(self.digest, plan.images)
        ranks = draw_ranks(
            len(chosen) * IMAGE_PX, pixels, seed=seed, dataset_digest=key, repetition=repetition
        )
        position, pixel = np.divmod(ranks, IMAGE_PX)
        return chosen[position] * IMAGE_PX + pixel


def images(count: int, generator: np.random.Generator) -> Images:
    mixes = generator.dirichlet(np.full(CLASSES, 1.0), count)
    labels = [generator.choice(CLASSES, IMAGE_PX, p=mix) for mix in mixes]
    return Images(
        np.concatenate(labels),
        generator.normal(size=(count, DIM)),
        generator.normal(size=(count * IMAGE_PX, DIM)),
        generator.bytes(32).hex(),
    )


def zoo(n_models: int, seed: int, plan: Plan) -> Zoo:
    """Draw images and models, and score every repetition of every model."""
    generator = np.random.default_rng(seed)
    target = images(TARGET_IMAGES, generator)
    sources = [images(SOURCE_IMAGES, generator) for _ in range(SOURCES)]
    quality = generator.normal(1.2, 0.3, n_models)
    middles = generator.normal(size=(CLASSES, DIM))
    draws = [(True, k) for k in range(sum(plan.heats))] + [(False, k) for k in range(REPETITIONS)]
    drawn = [[side.draw(seed, k, plan, heat=h) for side in (target, *sources)] for h, k in draws]

    def scores(model: int) -> list[float]:
        own = np.random.default_rng((seed, model))
        looks_DD, details_DD = own.normal(size=(2, DIM, DIM)) / DIM**0.5
        moved = middles + 0.3 * own.normal(size=middles.shape)

        def features(side: Images, at: NDArray[np.int64], means: Any) -> Any:
            looks = 0.6 * side.looks[at // IMAGE_PX] @ looks_DD
            return quality[model] * means[side.labels[at]] + looks + side.details[at] @ details_DD

        source = sources[model % SOURCES]
        return [
            score_pixels(
                features(source, places[1 + model % SOURCES], middles),
                source.labels[places[1 + model % SOURCES]],
                features(target, places[0], moved),
                target.labels[places[0]],
                relaxation=plan.relaxation,
                class_weights=plan.class_weights,
            ).otce
            for places in drawn
        ]

    table = np.array([scores(model) for model in range(n_models)])
    n_heats = sum(plan.heats)
    return Zoo(table[:, n_heats:], table[:, :n_heats], quality)


def simulated(zoos: list[Zoo], n_models: int, seed: int) -> Zoo:
    """Draw the scores of a larger zoo from the models of smaller ones, as the docstring says."""
    generator = np.random.default_rng((seed, 1))
    means = np.concatenate([parts_of(zoo.finals)[0] for zoo in zoos])
    heat_means = np.concatenate([parts_of(zoo.heats)[0] for zoo in zoos])
    noises = np.concatenate([parts_of(zoo.finals)[1] for zoo in zoos])
    heat_noises = np.concatenate([parts_of(zoo.heats)[1] for zoo in zoos])
    slope = np.polyfit(means, heat_means, 1)[0]
    # A tenth of the spread smooths the few best models of few zoos.
    models = generator.integers(0, len(means), n_models)
    moved = 0.1 * means.std() * generator.normal(size=n_models)

    def scores(zoo_scores: str, mean: Any, noise: Any, count: int) -> NDArray[np.float64]:
        shared = fmean(float(getattr(z, zoo_scores).mean(axis=0).std(ddof=1)) for z in zoos)
        own = noise[models][:, None] * generator.normal(size=(n_models, count))
        table: NDArray[np.float64] = mean[:, None] + shared * generator.normal(size=count) + own
        return table

    finals = scores("finals", means[models] + moved, noises, REPETITIONS)
    heats = scores("heats", heat_means[models] + slope * moved, heat_noises, zoos[0].heats.shape[1])
    return Zoo(finals, heats, means[models] + moved)


def parts_of(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take scores apart: models' means around the zoo's, and their noise beside the shared one."""
    means = scores.mean(axis=1)
    rest = scores - means[:, None] - (scores.mean(axis=0) - scores.mean())
    return means - means.mean(), rest.std(axis=1) * (scores.shape[1] / (scores.shape[1] - 1)) ** 0.5


def raced(found: Zoo, plan: Plan) -> list[Verdict]:
    """Run the race over scores that are known already."""
    names = {f"{model:04d}": model for model in range(len(found.quality))}
    running = race(list(names), plan.phases, Rules(plan.top_k, plan.error))
    try:
        asked = next(running)
        while True:
            table = found.heats if asked.phase.whole is None else found.finals
            span = slice(asked.repetitions.start, asked.repetitions.stop)
            asked = running.send({name: table[names[name], span].tolist() for name in asked.models})
    except StopIteration as ended:
        verdicts: list[Verdict] = ended.value
        return verdicts


def forward_passes(verdicts: list[Verdict], plan: Plan) -> int:
    """Count images, those of every round of heats and of the finals anew."""
    images_of = SOURCE_IMAGES, TARGET_IMAGES
    ends = (0, *np.cumsum(plan.heats).tolist())
    most = {0: 0}
    for start, end in pairwise(ends):
        most[end] = sum(
            min(n, (end - start) * max(round(plan.images * n), min(FEWEST_IMAGES, n)))
            for n in images_of
        )
    heats = sum(most[v.repetitions] for v in verdicts if v.phase == "heats")
    return heats + sum(images_of) * len({v.source_model for v in verdicts if v.phase == "finals"})


def best(scores: Mapping[int, float], k: int) -> set[int]:
    return set(sorted(scores, key=lambda model: -scores[model])[:k])


def outcome(found: Zoo, plan: Plan) -> dict[str, float]:
    verdicts = raced(found, plan)
    n_models = len(found.quality)
    full = dict(enumerate(found.finals.mean(axis=1)))
    through = [int(v.source_model) for v in verdicts if v.decision == "finished"]
    top = best({model: full[model] for model in through}, plan.top_k)
    whole = best(full, plan.top_k)
    truth = best(dict(enumerate(found.quality)), plan.top_k)
    work = {v.source_model: v.work for v in verdicts}
    passes = forward_passes(verdicts, plan)
    return {
        "agrees": top == whole,
        "true": len(top & truth) / plan.top_k,
        "full_true": len(whole & truth) / plan.top_k,
        "work": sum(work.values()) / (n_models * REPETITIONS),
        "passes": passes / (n_models * (SOURCE_IMAGES + TARGET_IMAGES)),
        "finalists": len({v.source_model for v in verdicts if v.phase == "finals"}),
        "through": len(through),
    }


def main(
    *,
    models: int = 50,
    seeds: int = 100,
    simulate: bool = False,
    computed: int = 20,
    plan: Annotated[Plan, Parameter(name="*")] = Plan(),
) -> None:
    """Race and print.

    Args:
        models: in a zoo.
        seeds: how many zoos.
        simulate: draw scores instead of computing them.
        computed: zoos of 50 whose models are drawn from then.
        plan: settings of the race, of whose couplings `source` is fast and `none` the paper's.
    """
    torch.set_num_threads(1)
    if simulate:
        base = [zoo(50, seed, plan) for seed in range(computed)]
        zoos = [simulated(base, models, seed) for seed in range(seeds)]
    else:
        zoos = [zoo(models, seed, plan) for seed in range(seeds)]
    table = Table("race", "top 3 as in full run", "of the true top 3 (full run)")
    for name in ("transport work, mean (most)", "forward passes, mean", "finalists", "finish"):
        table.add_column(name)
    for heats in ((), plan.heats[:1], plan.heats):
        tried = replace(plan, heats=heats)
        rows = [outcome(found, tried) for found in zoos]
        mean = {name: fmean(row[name] for row in rows) for name in rows[0]}
        table.add_row(
            f"heats {heats}" if heats else "finals only",
            f"{mean['agrees']:.0%} of {seeds}",
            f"{mean['true']:.2f} ({mean['full_true']:.2f})",
            f"{mean['work']:.1%} ({max(row['work'] for row in rows):.1%})",
            f"{mean['passes']:.1%}",
            f"{mean['finalists']:.1f}",
            f"{mean['through']:.1f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    cyclopts.run(main)
