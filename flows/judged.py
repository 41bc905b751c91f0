"""A run held against what was measured: the table, and what the terminal says of it."""

import pyarrow as pa
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from flows.show import plain
from otce.errors import ConfigError
from otce.report.truth import SHOWN, judged_truths
from otce.storage.files import absolute_uri
from otce.storage.store import Store
from otce.truth.assess import assess
from otce.truth.read import read_baselines, read_truth
from otce.truth.tables import AGREEMENT
from tasks.kept import kept_sides

_SHOWN = ("weighted_tau", "tau", "pearson", "rel_at_1")


def judged(
    store: Store, folder: str, summary: pa.Table, truth: str | None, baselines: str | None
) -> pa.Table | None:
    """Hold a run against measured transfer and keep the result with it.

    Args:
        store: the store.
        folder: key of the run.
        summary: its ranking.
        truth: path or URI of what was measured; None: what was kept by an earlier call.
        baselines: path or URI of other predictors; None: none.

    Returns:
        `otce.truth.tables.AGREEMENT`, or None where nothing was ever measured.

    Raises:
        ConfigError: baselines without a truth.
        DataError: a table is no truth or baseline table, or none of it is of this run.
        StoreError: something cannot be read or written.
    """
    key = f"{folder}/agreement.parquet"
    if truth is None:
        if baselines is not None:
            raise ConfigError("--baselines needs --truth: without it nothing can be judged")
        return store.get_table(key, AGREEMENT) if store.exists(key) else None
    others = read_baselines(absolute_uri(baselines, ".")) if baselines else []
    measured = read_truth(absolute_uri(truth, "."))
    scored = {
        row["pair_fingerprint"]: (row["metric"], row["source_model"], row["target_dataset"])
        for row in summary.to_pylist()
    }
    sides = {scored[name]: known for name, known in kept_sides(scored, store).items()}
    found = assess(summary, measured, others, sides=sides)
    store.put_table(key, found)
    return found


def show_judged(console: Console, agreement: pa.Table | None) -> None:
    """Print how well every predictor agreed, best first.

    Args:
        console: where to.
        agreement: see `judged`.
    """
    for found in judged_truths(agreement):
        table = Table(
            title=f"predicting {plain(found.truth)}",
            title_justify="left",
            title_style="bold",
            box=SIMPLE,
        )
        table.add_column("predictor", no_wrap=True)
        for measure in _SHOWN:
            table.add_column(SHOWN[measure], justify="right", no_wrap=True)
        for one in found.predictors:
            values = [one["by_measure"].get(measure, {}) for measure in _SHOWN]
            cells = ["-" if v.get("value") is None else f"{v['value']:.2f}" for v in values]
            low, high = values[0].get("low95"), values[0].get("high95")
            if low is not None:
                cells[0] = f"{cells[0]} [{low:.2f}, {high:.2f}]".replace("[", r"\[")
            table.add_row(plain(one["name"]), *cells)
        console.print(table)
        of = f"mean over {len(found.targets)} targets" if len(found.targets) > 1 else "one target"
        console.print(f"{found.verdict} ({of})", markup=False, highlight=False, soft_wrap=True)
