"""The figures of docs/evidence.md."""

from typing import Final

import numpy as np
from evidence_tables import HERE, STUDIES, read
from matplotlib.figure import Figure

from otce.report.svg import ACCENT, ALARM, GRID, INK, MUTED, drawing

_COLOURS: Final = {"depthwise": ACCENT, "unet": ALARM, "pyramid": MUTED}


def scatter() -> None:
    """Draw two scores against measured transfer, one panel a target: `scatter-<metric>.svg`."""
    scores = [r for name in STUDIES for r in read(f"{name}-scores")]
    values: dict[tuple[str, str], list[float]] = {}
    for name in STUDIES:
        for row in read(f"{name}-truth"):
            if row["kind"] == "fine_tune":
                pair = row["source_model"], row["target_dataset"]
                values.setdefault(pair, []).append(100 * row["value"])
    targets = list(dict.fromkeys(target for _, target in values))
    for metric in ("otce", "otce_robust"):
        of = {(r["source_model"], r["target_dataset"]): r for r in scores if r["metric"] == metric}
        with drawing(f"scatter-{metric}"):
            figure = Figure(figsize=(11, 7.5), layout="constrained")
            panels = figure.subplots(3, 4).flat
            for axes, target in zip(panels, targets, strict=True):
                for (model, where), reached in values.items():
                    if where == target:
                        row = of[model, target]
                        axes.errorbar(
                            row["mean"],
                            np.mean(reached),
                            xerr=2 * (row["total_stderr"] or row["stderr"]),
                            yerr=[
                                [np.mean(reached) - min(reached)],
                                [max(reached) - np.mean(reached)],
                            ],
                            fmt="o",
                            markersize=5,
                            linewidth=1,
                            color=_COLOURS[model.split("-")[0]],
                        )
                axes.set_title(target, fontsize=11)
                axes.grid(color=GRID, linewidth=0.7)
            figure.supxlabel(f"{metric}, higher is better (bars: two standard errors)", fontsize=11)
            figure.supylabel("mIoU after fine-tuning, percent (bars: both seeds)", fontsize=11)
            figure.savefig(HERE / f"scatter-{metric}.svg", metadata={"Date": None})


def whiskers() -> None:
    """Draw the weighted tau of every predictor, one panel a kind of transfer: `agreement.svg`."""
    group = " and ".join(STUDIES)
    rows = [
        r
        for r in read("agreement")
        if r["group"] == group and r["measure"] == "weighted_tau" and r["target_dataset"] is None
    ]
    kinds = [
        k for k in ("head", "fine tune", "fine tune new head") if any(r["truth"] == k for r in rows)
    ]
    names = sorted(
        {r["predictor"] for r in rows},
        key=lambda name: (np.mean([r["value"] for r in rows if r["predictor"] == name]), name),
    )
    with drawing("agreement"):
        figure = Figure(figsize=(11, 0.27 * len(names) + 1), layout="constrained")
        for axes, kind in zip(figure.subplots(1, len(kinds), sharey=True), kinds, strict=True):
            for row in (r for r in rows if r["truth"] == kind):
                height = names.index(row["predictor"])
                colour = ACCENT if row["predictor"].startswith("otce") else INK
                axes.plot([row["low95"], row["high95"]], [height] * 2, color=colour, linewidth=1)
                axes.plot(row["value"], height, "o", color=colour, markersize=5)
            axes.axvline(0, color=GRID)
            axes.set_title(kind, fontsize=11)
            axes.set_yticks(range(len(names)), names, fontsize=10)
            axes.grid(axis="x", color=GRID, linewidth=0.7)
        figure.supxlabel(
            "weighted tau with measured transfer, mean over targets, 95 %", fontsize=11
        )
        figure.savefig(HERE / "agreement.svg", metadata={"Date": None})
