"""The study behind docs/evidence.md: train, score, transfer, vary; tables to docs/evidence/.

    python benchmarks/study.py [--fresh]

Every step goes on where an earlier start was stopped: weights that lie there, scores and transfers
that the store holds are not made again. Seconds are those of the first start of each step;
`--fresh` empties the folder first, and is how the committed tables were made.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cyclopts
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pretrained import pretrained
from sampled_labels import sampled
from study_baselines import baselines, class_shares

from otce.config import RunConfig
from otce.config_file import load_config
from otce.datasets.expand import expanded

OTCE: Final = str(Path(sys.executable).with_name("otce"))
ROOT: Final = Path(__file__).parents[1]
STUDIES: Final = ("camvid", "retina")
HERE: Final = ROOT / "docs/evidence"
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
_TRUTH: Final = (
    *("source_model", "target_dataset", "kind", "shots", "seed"),
    *("value", "pixel_accuracy", "learning_rate", "source_dataset"),
)
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
        to = ["--set", f"execution.store={store}"]
        clock.time(f"{name}: transfer", OTCE, "measure", config, *to)
        clock.time(f"{name}: score", OTCE, "run", config, *to)
        short = [f"execution.run_id=short-{name}", "measure.seeds=[2]", "measure.steps=5"]
        short.append("measure.kinds=[fine_tune]")
        clock.time(f"{name}: fine-tune of 5 steps", OTCE, "measure", config, *to, *_set(short))
        keep(run, name, store)
        vary(run, name, config, to, store, clock)
    started_s = time.monotonic()
    for part, rows in zip(("scores", "truth"), pretrained(), strict=True):
        write(f"espnetv2-{part}", pa.Table.from_pylist(rows))
    clock.note("espnetv2: score and transfer", time.monotonic() - started_s)


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
    write(f"{name}-scores", pq.read_table(folder / "summary.parquet", columns=list(_COLUMNS)))
    draws = pq.read_table(folder / "scores.parquet", columns=list(_DRAWS))
    write(f"{name}-draws", draws.filter(pc.field("metric") == "otce"))
    truth = pq.read_table(folder / "truth.parquet", columns=list(_TRUTH))
    costs = pq.read_table(folder / "truth_timings.parquet", columns=[*_TRUTH[:5], "cpu_s"])
    write(f"{name}-truth", truth)
    write(f"{name}-costs", costs)
    short = store / f"runs/short-{name}/truth.parquet"
    write(f"{name}-baselines", pa.Table.from_pylist(baselines(run, short)))
    write(f"{name}-domains", pa.Table.from_pylist(class_shares(run)))


def vary(
    run: RunConfig, name: str, config: str, to: Sequence[str], store: Path, clock: Clock
) -> None:
    """Score the study by other recipes and keep the OTCE of each."""
    rows: list[dict[str, Any]] = []

    def scored(ablation: str, setting: str, config: str, changes: str = "") -> None:
        sets = [f"execution.run_id=vary-{name}", "metrics=[otce]", f"sampling.repetitions={K}"]
        for change in changes.split():
            each = [f"models.{model}.{change}" for model in run.models]
            sets += each if change.startswith("tap=") else [change]
        step = f"{name}: {ablation} {setting}"
        clock.time(step, OTCE, "run", config, *to, *_set(sets))
        summary = pq.read_table(store / f"runs/vary-{name}/summary.parquet", columns=list(_COLUMNS))
        rows.extend(r | {"ablation": ablation, "setting": setting} for r in summary.to_pylist())

    for ablation, settings in ABLATIONS.items():
        for setting, changes in settings.items():
            scored(ablation, setting, config, changes)
    for sampling in ("balanced", "boundary"):
        copy = sampled(run, FOLDER / "sampling" / name / sampling, sampling)
        scored("sampling", sampling, str(copy))
    write(f"{name}-ablations", pa.Table.from_pylist(rows))


def _set(changes: Sequence[str]) -> list[str]:
    return [part for change in changes for part in ("--set", change)]


def write(name: str, table: pa.Table) -> None:
    """Write a small table."""
    pq.write_table(table, HERE / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    cyclopts.run(main)
