"""The study behind docs/evidence.md: train, score, transfer, vary; tables to docs/evidence/.

    python benchmarks/study.py [--fresh]

Every step goes on where an earlier start was stopped: weights that lie there, scores and transfers
that the store holds are not made again. Seconds are those of the first start of each step;
`--fresh` empties the folder first.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import cyclopts
import pyarrow as pa
import pyarrow.parquet as pq
from evidence_tables import HERE, STUDIES, Row, read, write
from pretrained import pretrained
from sampled_labels import sampled
from short_fine_tunes import NAME as SHORT
from short_fine_tunes import otce_alone_s, short_fine_tunes
from study_baselines import baselines, class_shares

from otce.config import RunConfig
from otce.config_file import load_config
from otce.datasets.expand import expanded
from otce.measure_config import BASELINES
from otce.storage.store import Store
from tasks.kept import kept_sides

OTCE: Final = str(Path(sys.executable).with_name("otce"))
ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = Path("~/.cache/otce/study").expanduser()
"""Weights, as the configurations say, and the store."""
_COLUMNS: Final = (
    *("source_model", "source_dataset", "target_dataset", "metric"),
    *("mean", "stderr", "total_stderr", "degenerate"),
)
"""Of the summary, what the page needs."""
_SOME_FAILED: Final = 1
K: Final = 3
"""Draws of every variation: the first of those of the study."""
_DRAWS: Final = ("source_model", "target_dataset", "metric", "repetition", "value")
_TRANSFER: Final = ("source_model", "target_dataset", "kind", "shots", "seed")
_TRUTH: Final = (*_TRANSFER, "value", "pixel_accuracy", "learning_rate", "source_dataset")
_COSTS: Final = (*_TRANSFER, "cpu_s")
_PIXELS: Final = (*_TRANSFER, "right_px", "labelled_px", "predicted_px")
ABLATIONS: Final[dict[str, dict[str, str]]] = {
    "tap": {"logits": "tap=logits"},
    "feature scaling": {
        name: f"score.feature_scaling={name}" for name in ("softmax", "l2", "none")
    },
    "epsilon": {eps: f"score.epsilon={eps}" for eps in ("0.03", "0.3", "1.0")},
    "N": {n: f"sampling.pixels={n}" for n in ("250", "500", "1000", "5000")},
    "coupling": {
        f"{free}, {weights}": f"score.relaxation={free} score.class_weights={weights}"
        for free in ("none", "source")
        for weights in ("uniform", "balanced", "balanced_source", "target_prior")
        if (free, weights) != ("none", "uniform")
    },
    "coupling of logits": {
        f"{free}, {weights}": f"tap=logits score.relaxation={free} score.class_weights={weights}"
        for free in ("none", "source")
        for weights in ("balanced", "target_prior")
    },
    "solver": {"emd": "score.solver=emd"},
}
"""By what is varied and how, the changes to the study's recipe; the recipe itself is `study`."""


def main(*, fresh: bool = False) -> None:
    """Run the study and write its tables.

    Args:
        fresh: forget all that is there.
    """
    if fresh:
        shutil.rmtree(FOLDER, ignore_errors=True)
    store = FOLDER / "store"
    FOLDER.mkdir(parents=True, exist_ok=True)
    HERE.mkdir(parents=True, exist_ok=True)
    clock = Clock(FOLDER / "seconds.json", HERE / "seconds.json")
    for name in STUDIES:
        config = f"examples/study-{name}.yaml"
        run = expanded(load_config(str(ROOT / config)))
        todo = [id_ for id_, model in run.models.items() if not is_there(model.weights)]
        if todo:
            clock.time(f"{name}: train sources", "examples/train.py", config, *todo)
        to = _set([f"execution.store={store}"])
        clock.time(f"{name}: transfer", OTCE, "measure", config, *to)
        clock.time(f"{name}: score", OTCE, "run", config, *to)
        alone = FOLDER / "alone"
        only = _set([f"execution.store={alone}", "metrics=[otce]"])
        clock.time(f"{name}: OTCE alone", OTCE, "run", config, *only)
        budget_s = otce_alone_s(alone / "runs" / run.run_id)
        clock.make(
            f"{name}: {SHORT}",
            (f"{name}-short", f"{name}-short-costs"),
            partial(short_fine_tunes, run, budget_s),
        )
        keep(run, name, store)
    clock.make("espnetv2: score and transfer", ("espnetv2-scores", "espnetv2-truth"), pretrained)
    for name in STUDIES:
        config = f"examples/study-{name}.yaml"
        vary(expanded(load_config(str(ROOT / config))), name, config, store, clock)


class Clock:
    """Runs commands and notes the seconds they took; the first note of a command stays."""

    def __init__(self, path: Path, copy: Path) -> None:
        self._path, self._copy = path, copy
        self._seconds: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    def time(self, step: str, *command: str) -> None:
        """Run Python with arguments; a step that fails ends the study, pairs that fail do not."""
        print(f"{time.strftime('%H:%M:%S')} {step}", flush=True)
        started_s = time.monotonic()
        status = subprocess.call([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
        if status > _SOME_FAILED:
            sys.exit(f"{step}: exit code {status}")
        self.note(step, time.monotonic() - started_s)

    def make(
        self, step: str, names: Sequence[str], make: Callable[[], Sequence[Sequence[Row]]]
    ) -> None:
        """Make tables, unless they lie in the folder, and copy them to the page's."""
        paths = [FOLDER / f"{name}.parquet" for name in names]
        if not all(path.exists() for path in paths):
            print(f"{time.strftime('%H:%M:%S')} {step}", flush=True)
            started_s = time.monotonic()
            for path, rows in zip(paths, make(), strict=True):
                pq.write_table(pa.Table.from_pylist(list(rows)), path, compression="zstd")
            self.note(step, time.monotonic() - started_s)
        for path in paths:
            shutil.copy(path, HERE)

    def note(self, step: str, seconds: float) -> None:
        """Note what a step took, unless it was done before."""
        self._seconds.setdefault(step, round(seconds, 1))
        self._path.write_text(json.dumps(self._seconds, indent=2) + "\n")
        shutil.copy(self._path, self._copy)


def is_there(weights: str | None) -> bool:
    """Say whether a model's weights are on this disk."""
    return weights is not None and Path(weights).expanduser().exists()


def keep(run: RunConfig, name: str, store: Path) -> None:
    """Copy what the page needs of a run's tables."""
    folder = store / "runs" / run.run_id
    write(f"{name}-scores", rows_of(folder / "summary.parquet", _COLUMNS))
    draws = rows_of(folder / "scores.parquet", _DRAWS)
    write(f"{name}-draws", [row for row in draws if row["metric"] == "otce"])
    write(f"{name}-influences", influences(folder, store))
    truth = rows_of(folder / "truth.parquet", _TRUTH)
    write(f"{name}-truth", [row for row in truth if row["kind"] not in BASELINES])
    pixels = rows_of(folder / "truth_images.parquet", _PIXELS)
    judged = [row for row in pixels if row["kind"] not in {*BASELINES, "scratch"}]
    write(f"{name}-truth_images", judged)
    costs = rows_of(folder / "truth_timings.parquet", _COSTS)
    write(f"{name}-costs", [row for row in costs if row["kind"] not in BASELINES])
    write(f"{name}-baselines", [*baselines(run), *read(f"{name}-short")])
    write(f"{name}-domains", class_shares(run))


def influences(folder: Path, store: Path) -> list[Row]:
    """Read what every image does to every score of a run."""
    scored = {
        row["pair_fingerprint"]: row
        for row in rows_of(folder / "summary.parquet", (*_COLUMNS[:4], "pair_fingerprint"))
    }
    return [
        {name: scored[pair][name] for name in ("metric", "source_model", "target_dataset")}
        | {"digest": side.digest, "items": side.items, "influence": side.influence}
        for pair, sides in kept_sides(scored, Store(str(store))).items()
        for side in sides or ()
    ]


def rows_of(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read some columns of a table of a run."""
    rows: list[Row] = pq.read_table(path, columns=list(columns)).to_pylist()
    return rows


def vary(run: RunConfig, name: str, config: str, store: Path, clock: Clock) -> None:
    """Score the study by other recipes and keep the OTCE of each."""
    to = _set([f"execution.store={store}"])
    rows: list[Row] = []

    def scored(ablation: str, setting: str, config: str, changes: str = "") -> None:
        sets = [f"execution.run_id=vary-{name}", "metrics=[otce]", f"sampling.repetitions={K}"]
        for change in changes.split():
            each = [f"models.{model}.{change}" for model in run.models]
            sets += each if change.startswith("tap=") else [change]
        step = f"{name}: {ablation} {setting}"
        clock.time(step, OTCE, "run", config, *to, *_set(sets))
        summary = rows_of(store / f"runs/vary-{name}/summary.parquet", _COLUMNS)
        rows.extend(row | {"ablation": ablation, "setting": setting} for row in summary)

    for ablation, settings in ABLATIONS.items():
        for setting, changes in settings.items():
            scored(ablation, setting, config, changes)
    for sampling in ("balanced", "boundary"):
        copy = sampled(run, FOLDER / "sampling" / name / sampling, sampling)
        scored("sampling", sampling, str(copy))
    write(f"{name}-ablations", rows)


def _set(changes: Sequence[str]) -> list[str]:
    return [part for change in changes for part in ("--set", change)]


if __name__ == "__main__":
    cyclopts.run(main)
