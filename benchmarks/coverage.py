"""Whether intervals cover, and whether probabilities are frequencies, where the answer is known.

python benchmarks/coverage.py images [SCORE ...] [--unlike 0.5] [--apart] [--plot docs/coverage.png]
python benchmarks/coverage.py pixels
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cyclopts
import numpy as np
import torch
from drawn_images import MODELS, SCORES, SHARES, Images, Numbers, images
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from otce.comparison import p_beats, standing
from otce.intervals import Side, estimate, total
from otce.report.svg import ACCENT, ALARM, GRID, INK, MUTED, drawing
from otce.scores.influence import image_sums

COUNTS = (8, 16, 32, 100)
COLOURS = (MUTED, INK, ACCENT, ALARM)
app = cyclopts.App()


class Zoo(NamedTuple):
    """What a ranking knows of the models on one drawn target."""

    means: Numbers
    sides: list[list[Side]]


class Setting(NamedTuple):
    """How data sets are drawn and scored."""

    unlike: float
    apart: bool
    pixels: int
    draws: int


def drawn(
    generator: np.random.Generator, count: int, setting: Setting
) -> tuple[list[Images], Images]:
    """Draw two source data sets and a target."""
    shares = SHARES[::-1] if setting.apart else SHARES
    sources = [images(generator, count, setting.unlike, offset, shares) for offset in (0.0, 0.1)]
    return sources, images(generator, count, setting.unlike, 0.3, SHARES)


def scored(name: str, generator: np.random.Generator, count: int, setting: Setting) -> Zoo:
    """Score all models on drawn data sets, from common pixels."""
    sources, target = drawn(generator, count, setting)
    chosen = [
        [
            generator.choice(len(side.item), setting.pixels, replace=False)
            for side in (*sources, target)
        ]
        for _ in range(setting.draws)
    ]
    means, sides = [], []
    for model, (*_, which) in enumerate(MODELS):
        source, parts = sources[which], []
        for picked in chosen:
            here, there = picked[which], picked[-1]
            parts.append(
                SCORES[name](
                    source.features(model, here),
                    source.label[here],
                    target.features(model, there),
                    target.label[there],
                )
            )
        means.append(float(np.mean([value for value, *_ in parts])))
        roles = [("aa", target, [(p[-1], part[1]) for p, part in zip(chosen, parts, strict=True)])]
        if parts[0][2] is not None:
            influences = [(p[which], part[2]) for p, part in zip(chosen, parts, strict=True)]
            roles.append((f"b{which}", source, influences))
        sides.append([_side(*role) for role in roles])
    return Zoo(np.array(means), sides)


def _side(digest: str, data: Images, influences: list[tuple[Numbers, Numbers]]) -> Side:
    pixels, values = (np.concatenate(part) for part in zip(*influences, strict=True))
    return Side(digest, *image_sums(values / len(influences), data.item[pixels]))


class Held(NamedTuple):
    """Shares that should be 95 %, and pairs of a predicted probability and what came true."""

    total: float
    difference: float
    rank: float
    width: float
    """Of the intervals, over that which would be right for normal scores."""
    beats: list[tuple[float, bool]]
    best: list[tuple[float, bool]]


def held(zoos: Sequence[Zoo], generator: np.random.Generator) -> Held:
    """Compare what the intervals of many drawn data sets say with the mean of all of them."""
    means_RM = np.array([zoo.means for zoo in zoos])
    truth_M = means_RM.mean(0)
    spread = means_RM.std(0, ddof=1)
    covers, widths, differs, ranks, beats, best = [], [], [], [], [], []
    upper = np.triu_indices(len(truth_M), 1)
    for zoo in zoos:
        found = [total(m, sides) for m, sides in zip(zoo.means, zoo.sides, strict=True)]
        covers += [
            t.total95_low <= x <= t.total95_high for t, x in zip(found, truth_M, strict=True)
        ]
        widths.append(np.array([t.total_stderr for t in found]) ** 2)
        # With the true differences taken away, no model beats another.
        equal = p_beats(zoo.means - truth_M, zoo.sides)[upper]
        differs += list((equal > 0.025) & (equal < 0.975))
        # Answers all over the range of the noise, so that the probabilities are those of no prior.
        moved_M = generator.uniform(-3, 3, len(truth_M)) * spread.mean()
        answer_M, means_M = moved_M, zoo.means - truth_M + moved_M
        p_MM, stands = p_beats(means_M, zoo.sides), standing(means_M, zoo.sides, 0)
        beats += list(zip(p_MM[upper], np.greater.outer(answer_M, answer_M)[upper], strict=True))
        best += list(zip(stands.p_best, answer_M == answer_M.max(), strict=True))
        rank_M = (-answer_M).argsort().argsort() + 1
        ranks += list((stands.rank_low <= rank_M) & (rank_M <= stands.rank_high))
    width = float((np.sqrt(np.mean(widths, 0)) / spread).mean())
    shares = [float(np.mean(part)) for part in (covers, differs, ranks)]
    return Held(*shares, width, beats, best)


def binned(pairs: Sequence[tuple[float, bool]]) -> tuple[Numbers, Numbers, Numbers]:
    """Count predictions in tenths of the probability, and average them and what came true."""
    predicted, true = np.array(pairs, dtype=float).T
    index = np.digitize(predicted, np.linspace(0, 1, 11)[1:-1])
    counts = np.bincount(index)
    kept = counts > 0
    sums = (np.bincount(index, values)[kept] / counts[kept] for values in (predicted, true))
    return counts[kept], *sums


def miscalibration(pairs: Sequence[tuple[float, bool]]) -> float:
    """Average the distance of predictions from what came true, by tenths."""
    counts, predicted, true = binned(pairs)
    return float(np.abs(predicted - true) @ counts / counts.sum())


@app.command(name="images")
def of_images(
    *names: str,
    unlike: float = 0.5,
    apart: bool = False,
    pixels: int = 1000,
    draws: int = 3,
    repeats: int = 400,
    plot: Path | None = None,
) -> None:
    """Cover the mean over data sets of as many images and pixels.

    Args:
        names: scores; by default all.
        apart: whether the classes' shares on the source side are the target's in reverse.
        unlike: how much images differ; at 1 their class mixes hardly resemble each other.
        pixels: N, a side.
        draws: K.
        repeats: data sets a cell; a quarter of them for OTCE of both marginals.
        plot: where the figure is written.
    """
    torch.set_num_threads(1)
    table = Table("score", "images a side", "data sets", "total 95 %", "stderr / true")
    for column in ("difference 95 %", "rank 95 %", "p_beats off", "p_best off"):
        table.add_column(column)
    results: dict[str, list[Held]] = {}
    setting = Setting(unlike, apart, pixels, draws)
    for name in names or SCORES:
        count = repeats // 4 if name == "otce" else repeats
        for n in COUNTS:
            generator = np.random.default_rng([n, pixels, draws])
            zoos = [scored(name, generator, n, setting) for _ in range(count)]
            found = held(zoos, generator)
            results.setdefault(name, []).append(found)
            off = [f"{miscalibration(pairs):.3f}" for pairs in (found.beats, found.best)]
            shares = (f"{x:.3f}" for x in (found.difference, found.rank))
            table.add_row(
                name, str(n), str(count), f"{found.total:.3f}", f"{found.width:.2f}", *shares, *off
            )
    Console(width=140).print(table)
    if plot is not None:
        draw(results, plot)


def draw(results: dict[str, list[Held]], plot: Path) -> None:
    with drawing("coverage"):
        figure = Figure(figsize=(11, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.axhspan(0.93, 0.97, color=ACCENT, alpha=0.1, linewidth=0)
        right.plot([0, 1], [0, 1], ":", color=MUTED)
        for (name, found), colour in zip(results.items(), COLOURS, strict=True):
            left.semilogx(COUNTS, [h.total for h in found], "o-", color=colour, label=name)
            left.semilogx(COUNTS, [h.difference for h in found], "o--", color=colour, alpha=0.5)
            right.plot(
                *binned([p for h in found for p in h.beats])[1:], "o-", color=colour, label=name
            )
        left.set(ylim=(0.8, 1), xlabel="images a side", ylabel="share that covers; 0.95 is meant")
        left.set_xticks(COUNTS, [str(n) for n in COUNTS])
        left.minorticks_off()
        left.set_title("total95 (solid), difference of two models (dashed)", fontsize=11)
        right.set(xlabel="predicted: one model beats another", ylabel="how often it does")
        for axes in (left, right):
            axes.grid(color=GRID, linewidth=0.7)
            axes.legend(frameon=False)
        figure.savefig(plot)


@app.command(name="pixels")
def of_pixels(*, unlike: float = 0.5, pixels: int = 200, groups: int = 40) -> None:
    """Cover the mean over draws from the same images, by Student t over K draws.

    Args:
        unlike: how much images differ.
        pixels: N, a side.
        groups: intervals for each of ten drawn data sets.
    """
    torch.set_num_threads(1)
    table = Table("score", "K", "ci95 covers")
    generator = np.random.default_rng(0)
    for name in list(SCORES)[:3]:
        for k in (2, 3, 10):
            covers = []
            for _ in range(10):
                sources, target = drawn(
                    generator, 16, Setting(unlike=unlike, apart=False, pixels=pixels, draws=k)
                )
                sides = (sources[0], target)
                values = []
                for _ in range(k * groups):
                    i, j = (generator.choice(len(s.item), pixels, replace=False) for s in sides)
                    here = sides[0].features(0, i), sides[0].label[i]
                    there = target.features(0, j), target.label[j]
                    values.append(SCORES[name](*here, *there)[0])
                found = [estimate(part.tolist()) for part in np.reshape(values, (groups, k))]
                truth = float(np.mean(values))
                covers += [e.ci95_low <= truth <= e.ci95_high for e in found]
            table.add_row(name, str(k), f"{np.mean(covers):.3f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    app()
