"""What a run costs beside its work: workers on the demo zoo, and a thousand models of stub nets.

python benchmarks/cluster.py workers [--counts 1,2]
python benchmarks/cluster.py zoo [--models 1000] [--targets 10]
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cyclopts
import psutil
import safetensors.torch
import torch
import yaml

REPO: Final = Path(__file__).parent.parent
PIXELS: Final = 32
SAMPLE_S: Final = 1.0
NETS: Final = """
from torch import nn


def net(n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, n_classes, 1))
"""
app: Final = cyclopts.App(help=__doc__)


@dataclass(frozen=True)
class Moment:
    """What the driver had used when the store held so many pairs.

    Attributes:
        time_s: since the start.
        pairs: objects in the store.
        cpu_s: CPU seconds of the driver's process.
        rss_bytes: its resident memory.
    """

    time_s: float
    pairs: int
    cpu_s: float
    rss_bytes: int


@app.command
def workers(*, counts: tuple[int, ...] = (1, 2)) -> None:
    """Time the demo zoo on so many CPUs.

    Args:
        counts: CPUs of the local Ray.
    """
    for count in counts:
        with tempfile.TemporaryDirectory() as store:
            sets = [f"execution.store={store}", f"execution.workers={count}"]
            started_s = time.perf_counter()
            _command(REPO / "examples/demo.yaml", sets, Path(store) / "log").wait()
            found = Path(store).glob("scores/*.parquet")
            written_s = sorted(path.stat().st_mtime for path in found)
            first_s = min(path.stat().st_mtime for path in Path(store).glob("counts/*"))
            print(
                f"{count} workers: {time.perf_counter() - started_s:.1f} s in all, "
                f"{written_s[-1] - first_s:.1f} s from the first count of labels to the last score"
            )


@app.command
def zoo(*, models: int = 1000, targets: int = 10, in_flight: int | None = None) -> None:
    """Run a zoo of stub nets and show what the driver needs for each model.

    Args:
        models: nets with weights of their own.
        targets: data sets of two tiny images.
        in_flight: `execution.in_flight`; by default the run's own.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        config = _write_zoo(folder, models, targets, in_flight)
        log = folder / "log"
        load = os.getloadavg()[0]
        driver = _driver(config, folder / "in_flight", log)
        moments = _watch(driver, folder / "store/scores")
        if driver.wait():
            sys.exit(log.read_text()[-4000:])
        _tell(moments, models, targets)
        print(f"most in flight: {(folder / 'in_flight').read_text()}")
        print(f"load average: {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end")


@app.command(show=False)
def drive(config: Path, out: Path) -> None:
    """Be the driver: run the command, and note how much it had in flight.

    Args:
        config: the zoo's configuration.
        out: where to write the most of each tenth of the run.
    """
    import flows.cli  # noqa: PLC0415 - the command's own order of imports
    import tasks.retry  # noqa: PLC0415

    made: list[tasks.retry.Window] = []
    begin = tasks.retry.Window.__init__

    def noted(window: tasks.retry.Window, *args: object, **kwargs: object) -> None:
        begin(window, *args, **kwargs)  # type: ignore[arg-type]
        made.append(window)

    tasks.retry.Window.__init__ = noted  # type: ignore[method-assign,assignment]
    seen: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_S / 10):
            seen.extend(window.in_flight for window in made)

    threading.Thread(target=watch, daemon=True).start()
    code = flows.cli.guarded(lambda: flows.cli.run(str(config)))
    ended.set()
    tenth = max(1, len(seen) // 10)
    out.write_text(" ".join(str(max(seen[i : i + tenth])) for i in range(0, len(seen), tenth)))
    sys.exit(code)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPO)}


def _command(config: Path, sets: list[str], log: Path) -> "subprocess.Popen[bytes]":
    words = [word for one in sets for word in ("--set", one)]
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "run", str(config), *words],
            stdout=output,
            stderr=output,
            env=_environment(),
        )


def _driver(config: Path, out: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, __file__, "drive", str(config), str(out)],
            stdout=output,
            stderr=output,
            env=_environment(),
        )


def _write_zoo(folder: Path, models: int, targets: int, in_flight: int | None) -> Path:
    (folder / "stub_nets.py").write_text(NETS)
    (folder / "weights").mkdir()
    sys.path.insert(0, str(folder))
    from stub_nets import net  # noqa: PLC0415

    for i in range(models):
        torch.manual_seed(i)
        data = safetensors.torch.save(net(8).state_dict())
        (folder / f"weights/{i}.safetensors").write_bytes(data)
    # Sets of other sizes are other sets.
    cities = {
        f"city-{i}": {"layout": "scenes:birch", "count": 2, "size_px": [32, 48 + 8 * i]}
        for i in range(targets)
    }
    config = {
        "datasets": {
            "home": {"layout": "scenes:alder", "count": 2, "size_px": [32, 48]},
            **cities,
        },
        "models": {
            f"net-{i:04}": {
                "reference": "python:stub_nets:net",
                "arguments": {"n_classes": 8},
                "trusted": True,
                "weights": f"weights/{i}.safetensors",
                "source": "home",
            }
            for i in range(models)
        },
        "targets": list(cities),
        "metrics": ["otce"],
        "sampling": {"pixels": PIXELS, "repetitions": 1},
        "score": {"epsilon_curve": []},
        "execution": {"store": "store", "in_flight": in_flight},
    }
    path = folder / "zoo.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def _watch(driver: "subprocess.Popen[bytes]", scores: Path) -> list[Moment]:
    started_s = time.perf_counter()
    moments: list[Moment] = []
    process = psutil.Process(driver.pid)
    while driver.poll() is None:
        pairs = len(list(scores.iterdir())) if scores.exists() else 0
        try:
            used, rss_bytes = process.cpu_times(), process.memory_info().rss
        except psutil.Error:
            break
        time_s = time.perf_counter() - started_s
        moments.append(Moment(time_s, pairs, used.user + used.system, rss_bytes))
        time.sleep(SAMPLE_S)
    return moments


def _tell(moments: list[Moment], models: int, targets: int) -> None:
    first = next(i for i, moment in enumerate(moments) if moment.pairs)
    last = next(i for i, moment in enumerate(moments) if moment.pairs >= models * targets)
    ready, done, end = moments[first - 1], moments[last], moments[-1]
    for name, since, until in (
        ("until the first pair", Moment(0, 0, 0, 0), ready),
        ("scoring", ready, done),
        ("publishing", done, end),
    ):
        time_ms, cpu_ms = until.time_s - since.time_s, until.cpu_s - since.cpu_s
        print(
            f"{name}: {time_ms:.1f} s, driver's CPU {cpu_ms:.1f} s, "
            f"{1000 * cpu_ms / models:.1f} ms a model"
        )
    print("models  ms of wall and of driver's CPU for each  driver's memory, MiB")
    before = ready
    for count in range(models // 10, models + 1, models // 10):
        now = next(moment for moment in moments if moment.pairs >= count * targets)
        n = max(1, now.pairs - before.pairs) / targets
        wall_ms, cpu_ms = (
            1000 * (now.time_s - before.time_s) / n,
            1000 * (now.cpu_s - before.cpu_s) / n,
        )
        print(f"{count:6}  {wall_ms:10.1f} {cpu_ms:10.1f}  {now.rss_bytes / 2**20:10.0f}")
        before = now
    print(f"   end  {'':21}  {max(m.rss_bytes for m in moments[last:]) / 2**20:10.0f}")


if __name__ == "__main__":
    app()
