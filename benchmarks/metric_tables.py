"""Tables of a run's summary in Markdown: every metric by target, and how the metrics agree.

    python benchmarks/metric_tables.py otce-store/runs/RUN/summary.parquet > tables.md

What docs/camvid-metrics.md shows below its text.
"""

from pathlib import Path
from typing import Any, get_args

import cyclopts
import numpy as np
import pyarrow.parquet as pq
from scipy.stats import kendalltau

from otce.recipe import Metric

Rows = list[dict[str, Any]]


def main(summary: Path, /) -> None:
    """Print the tables.

    Args:
        summary: `summary.parquet` of a run.
    """
    rows = pq.read_table(summary).to_pylist()
    metrics = list(dict.fromkeys(row["metric"] for row in sorted(rows, key=_order)))
    targets = list(dict.fromkeys(row["target_dataset"] for row in rows))
    for target in targets:
        print(by_metric(target, [r for r in rows if r["target_dataset"] == target], metrics))
    print(agreement(rows, metrics, targets))


def _order(row: dict[str, Any]) -> int:
    return get_args(Metric).index(row["metric"])


def by_metric(target: str, rows: Rows, metrics: list[str]) -> str:
    """Write one target: a row a metric, a column a model, the best of OTCE first."""
    found = {(row["metric"], row["source_model"]): row for row in rows}
    models = [
        r["source_model"] for r in sorted(rows, key=lambda r: r["rank"]) if r["metric"] == "otce"
    ]
    lines = [
        f"## Target {target}\n",
        f"| metric | {' | '.join(models)} |",
        f"| --- |{' ---: |' * len(models)}",
    ]
    for metric in metrics:
        cells = [_cell(found[metric, model]) for model in models]
        lines.append(f"| `{metric}` | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(row: dict[str, Any]) -> str:
    stderr = row["stderr"] if row["total_stderr"] is None else row["total_stderr"]
    digits = 4 if stderr is None else max(0, 1 - int(np.floor(np.log10(stderr))))
    text = f"{row['mean']:.{digits}f} ± {stderr:.{digits}f} (#{row['rank']})"
    return f"**{text}**" if row["rank"] == 1 else text


def agreement(rows: Rows, metrics: list[str], targets: list[str]) -> str:
    """Write Kendall's tau of every two metrics, mean over targets."""
    means = {(r["metric"], r["target_dataset"], r["source_model"]): r["mean"] for r in rows}
    models = {
        t: sorted({r["source_model"] for r in rows if r["target_dataset"] == t}) for t in targets
    }

    def values(metric: str, target: str) -> list[float]:
        return [means[metric, target, model] for model in models[target]]

    lines = [
        "## Agreement\n",
        f"Kendall's tau over the models, mean of the {len(targets)} targets.\n",
        f"| | {' | '.join(f'`{metric}`' for metric in metrics)} |",
        f"| --- |{' ---: |' * len(metrics)}",
    ]
    for one in metrics:
        taus = [
            np.mean([kendalltau(values(one, t), values(other, t)).statistic for t in targets])
            for other in metrics
        ]
        lines.append(f"| `{one}` | {' | '.join(f'{tau:.2f}' for tau in taus)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    cyclopts.run(main)
