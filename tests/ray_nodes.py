"""Nodes of a real Ray cluster, each a process group of its own, and environments for them."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from pathlib import Path

from tests.emulators import free_port

ROOT = Path(__file__).parents[1]
STARTED = "Ray runtime started"


class Nodes:
    """A cluster on this machine, with a token; its head and each node end with `close`."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._processes: list[subprocess.Popen] = []
        # Ray's sockets lie below it, and their paths must be short.
        self._folder = tempfile.mkdtemp(prefix="otce-ray-")
        self.address = f"127.0.0.1:{free_port()}"
        self.env = {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": uuid.uuid4().hex + uuid.uuid4().hex,
        }

    def start_head(self, *, cpus: int = 2) -> subprocess.Popen:
        port = self.address.rpartition(":")[2]
        return self._start(
            sys.executable,
            "--head",
            f"--port={port}",
            f"--num-cpus={cpus}",
            f"--temp-dir={self._folder}",
            "--include-dashboard=false",
        )

    def start_node(self, *, cpus: int = 2, python: str | Path = sys.executable) -> subprocess.Popen:
        return self._start(python, f"--address={self.address}", f"--num-cpus={cpus}")

    def _start(self, python: str | Path, *arguments: str) -> subprocess.Popen:
        log = self._logs / f"node-{len(self._processes)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [python, "-m", "ray.scripts.scripts", "start", *arguments, "--block"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
                    "RAY_USAGE_STATS_ENABLED": "0",
                    **{k: v for k, v in self.env.items() if k != "RAY_ADDRESS"},
                    "PYTHONPATH": str(ROOT),
                },
            )
        self._processes.append(process)
        deadline_s = time.monotonic() + 240
        while STARTED not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
        return process

    def kill(self, process: subprocess.Popen) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                self.kill(process)
        shutil.rmtree(self._folder, ignore_errors=True)


def environment(folder: Path, *, version: str | None = None) -> Path:
    """Make an environment like this one but for POT: without it, or with another version of it.

    Returns its Python.
    """
    python = folder / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder.joinpath("lib", f"python3.{sys.version_info.minor}", "site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name != "ot" and not path.name.lower().startswith("pot-"):
            (site / path.name).symlink_to(path)
    if version is not None:
        described = site / f"POT-{version}.dist-info/METADATA"
        described.parent.mkdir()
        described.write_text(f"Metadata-Version: 2.1\nName: POT\nVersion: {version}\n")
        (site / "ot").symlink_to(Path(sysconfig.get_path("purelib")) / "ot")
    return python
