"""Runs that are stopped half-way: what they left, and models that misbehave in a worker."""

import time
from pathlib import Path

import yaml

from tests.zoo import write_zoo, zoo_config

PAIRS = 4 * 2
# Nightly tests may share their cores with others.
LONG_S = 600.0
TABLES = ("scores", "summary", "joints", "risks", "failures")

# It notes whose forward pass it is, and never ends it.
HANGING = """
import os
from pathlib import Path

from torch import nn


class Hanging(nn.Sequential):
    def forward(self, image):
        with (Path(__file__).parent / "pids").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        while True:
            pass


def net(n_classes: int, width: int = 6) -> nn.Module:
    return Hanging(
        nn.Conv2d(3, width, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(width, n_classes, 1)
    )
"""


def slow_zoo(folder: Path, **execution) -> Path:
    """Write a zoo whose pairs are stored one after the other, not in a burst."""
    config = zoo_config(models=4, images=24, pixels=300, repetitions=8)
    config["execution"] |= {"workers": 1, "items_per_shard": 6} | execution
    return write_zoo(folder, config)


def hang(path: Path, model: str) -> None:
    """Make a model of a written configuration hang."""
    (path.parent / "hanging_nets.py").write_text(HANGING)
    config = yaml.safe_load(path.read_text())
    config["models"][model]["reference"] = "python:hanging_nets:net"
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def hung(folder: Path) -> list[int]:
    """Process ids of the workers that hang or hung, in order."""
    path = folder / "pids"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def tables(folder: Path, run_id: str = "test") -> dict[str, bytes]:
    """Bytes of a run's tables by name."""
    return {n: (folder / f"store/runs/{run_id}/{n}.parquet").read_bytes() for n in TABLES}


def stored(folder: Path) -> int:
    """How many pairs the store holds."""
    path = folder / "store/scores"
    return len([p for p in path.iterdir() if p.suffix == ".parquet"]) if path.exists() else 0


def wait_until(happened, what, limit_s: float = 120.0) -> None:
    """Wait for something that can be seen."""
    deadline_s = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.002)


def assert_nothing_lives(command) -> None:
    """Every process that descends from a command ends soon after it."""
    wait_until(lambda: not command.processes(), "processes outlived the run")
