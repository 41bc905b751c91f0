"""The figures of docs/evidence.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from otce.svg import ACCENT, ALARM, GRID, INK, MUTED, drawing

_COLOURS: Final = {"depthwise": ACCENT, "unet": ALARM, "pyramid": MUTED}
_STUDIES: Final = ("camvid", "retina")
Row = dict[str, Any]


def scatter(folder: Path, metrics: Sequence[str] = ("otce", "otce_robust")) -> None:
    """Draw scores against measured transfer, one panel a target.

    Args:
        folder: with the tables; the figures go there, `scatter-<metric>.svg`.
        metrics: which scores.
    """
    scores = [r for name in _STUDIES for r in _read(folder, f"{name}-scores")]
    values: dict[tuple[str, str], list[float]] = {}
    for name in _STUDIES:
        for row in _read(folder, f"{name}-truth"):
            if row["kind"] == "fine_tune":
                pair = row["source_model"], row["target_dataset"]
                values.setdefault(pair, []).append(100 * row["value"])
    targets = list(dict.fromkeys(target for _, target in values))
    for metric in metrics:
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
            figure.savefig(folder / f"scatter-{metric}.svg", metadata={"Date": None})


def whiskers(path: Path, agreement: Sequence[Row], group: str = "camvid and retina") -> None:
    """Draw the weighted tau of every predictor with its interval, one panel a kind of transfer.

    Args:
        path: where to.
        agreement: judged scores.
        group: which targets.
    """
    rows = [
        r
        for r in agreement
        if r["group"] == group and r["measure"] == "weighted_tau" and r["target_dataset"] is None
    ]
    kinds = [
        k for k in ("head", "fine tune", "fine tune new head") if any(r["truth"] == k for r in rows)
    ]
    names = sorted(
        {r["predictor"] for r in rows},
        key=lambda name: np.mean([r["value"] for r in rows if r["predictor"] == name]),
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
        figure.savefig(path, metadata={"Date": None})


def _read(folder: Path, name: str) -> list[Row]:
    rows: list[Row] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return rows
