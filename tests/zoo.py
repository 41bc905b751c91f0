"""A tiny zoo that tests write to disk: a module with nets, weights, and a configuration."""

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import safetensors.torch
import torch
import yaml
from torch import nn

NETS = """
import torch
from torch import nn


def net(n_classes: int, width: int = 6) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(width, n_classes, 1)
    )
"""
N_CLASSES = 8


def net(width: int = 6) -> nn.Module:
    """The network that the module written by `write_zoo` builds."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(width, N_CLASSES, 1)
    )


def zoo_config(
    *, models: int = 3, targets: int = 2, images: int = 6, pixels: int = 64, repetitions: int = 3
) -> dict:
    """A configuration over drawn scenes, as plain data."""
    cities = ("birch", "dune")[:targets]
    return {
        "datasets": {
            "alder": {"layout": "scenes:alder", "count": images, "size_px": [48, 64]},
            **{c: {"layout": f"scenes:{c}", "count": images, "size_px": [48, 64]} for c in cities},
        },
        "models": {
            f"net-{i}": {
                "reference": "python:tiny_nets:net",
                "arguments": {"n_classes": N_CLASSES},
                "trusted": True,
                "weights": f"weights/net-{i}.safetensors",
                "source": "alder",
            }
            for i in range(models)
        },
        "targets": list(cities),
        "sampling": {"pixels": pixels, "repetitions": repetitions},
        # The one that takes iterations; `tests/examples` runs the default.
        "score": {"relaxation": "none", "class_weights": "uniform"},
        "execution": {"store": "store", "run_id": "test", "workers": 2},
    }


def write_zoo(folder: Path, config: dict) -> Path:
    """Write the module, seeded weights and the configuration; returns the configuration's path."""
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    (folder / "tiny_nets.py").write_text(NETS)
    for id_, model in config["models"].items():
        torch.manual_seed(sum(id_.encode()))
        state = net(model["arguments"].get("width", 6)).state_dict()
        (folder / model["weights"]).write_bytes(safetensors.torch.save(state))
    path = folder / "zoo.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


class Command:
    """The product's command in a session of its own, its output in a file."""

    def __init__(self, *arguments: object, log: Path, env: dict[str, str] | None = None) -> None:
        self.mark = f"OTCE_TEST_MARK={uuid.uuid4().hex}"
        name, value = self.mark.split("=")
        # Importing tasks sets defaults in this process, which are not the command's.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "RAY_"))}
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**inherited, **(env or {}), name: value},
            )

    def wait(self, timeout_s: float = 240) -> int:
        """Wait for the end; returns the exit code."""
        try:
            return self.process.wait(timeout_s)
        finally:
            for stray in self.processes():
                stray.kill()

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self.log.read_text(errors="replace")

    def titled(self, title: str) -> list[psutil.Process]:
        """Those of its processes whose command line says so; one may end while it is asked."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                found += [process] if title in " ".join(process.cmdline()) else []
        return found

    def processes(self) -> list[psutil.Process]:
        """Every living process that descends from it, orphans too: they share its mark."""
        found = []
        for process in psutil.process_iter():
            try:
                environment = Path(f"/proc/{process.pid}/environ").read_bytes()
                if self.mark.encode() in environment and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


def otce(
    *arguments: object, log: Path, env: dict[str, str] | None = None, limit_s: float = 240
) -> tuple[int, str]:
    """Run the command to its end; returns exit code and output."""
    command = Command(*arguments, log=log, env=env)
    code = command.wait(limit_s)
    return code, command.output
