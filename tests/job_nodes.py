"""A real Ray cluster on one machine: a head and workers, every node a session of its own."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

import psutil

from tests.emulators import free_port

REPO = Path(__file__).parent.parent
_START_S = 240.0


class Nodes:
    """Starts nodes that only who has the token may join.

    Args:
        folder: where the token, the logs and Ray's own files go; a short path.
        env: what jobs shall find in their environment.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        token = folder / "token"
        token.write_text(uuid.uuid4().hex * 2)
        token.chmod(0o600)
        self.folder = folder
        port, self.dashboard = free_port(), f"http://127.0.0.1:{free_port()}"
        self.address = f"127.0.0.1:{port}"
        self.env = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(REPO),
            **env,
        }
        self._started: list[subprocess.Popen] = []
        self.head = self._start(
            f"--head --port={port} --dashboard-host=127.0.0.1",
            f"--dashboard-port={self.dashboard.rpartition(':')[2]} --num-cpus=2 --num-gpus=0",
            # Its usual port may be another cluster's, and a head without it ends.
            f"--temp-dir={folder / 'ray'} --ray-client-server-port={free_port()}",
        )
        self.wait_for(1)

    def worker(self, resources: dict[str, float] | None = None) -> subprocess.Popen:
        """Start a node with one CPU and one logical GPU."""
        given = json.dumps(resources or {}).replace(" ", "")
        before = len(self.alive())
        node = self._start(
            f"--address={self.address} --num-cpus=1 --num-gpus=1", "--resources", given
        )
        self.wait_for(before + 1)
        return node

    def _start(self, *words: str) -> subprocess.Popen:
        arguments = [part for word in words for part in word.split()]
        agent = ("--dashboard-agent-listen-port", str(free_port()))
        command = [str(Path(sys.executable).parent / "ray"), "start", *arguments, *agent, "--block"]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "RAY_"))}
        log = self.folder / f"node-{len(self._started)}.log"
        with log.open("wb") as output:
            node = subprocess.Popen(
                [*command, "--node-ip-address=127.0.0.1"],
                env={**inherited, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(node)
        return node

    def alive(self) -> list[dict]:
        """The nodes that the head counts as alive."""
        token = Path(self.env["RAY_AUTH_TOKEN_PATH"]).read_text()
        request = urllib.request.Request(
            f"{self.dashboard}/api/v0/nodes?limit=100", headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = json.load(answer)["data"]["result"]["result"]
        except OSError:
            return []
        return [node for node in found if node["state"] == "ALIVE"]

    def wait_for(self, count: int) -> None:
        """Wait until so many nodes are alive."""
        deadline_s = time.monotonic() + _START_S
        while len(self.alive()) != count:
            logs = "\n".join(path.read_text() for path in self.folder.glob("node-*.log"))
            assert time.monotonic() < deadline_s, logs
            assert self._started[0].poll() is None, logs
            assert self._started[-1].poll() is None, logs
            time.sleep(0.2)

    def kill(self, node: subprocess.Popen) -> None:
        """SIGKILL a node: its raylet, its workers and its agents."""
        with contextlib.suppress(psutil.NoSuchProcess):
            processes = [psutil.Process(node.pid)]
            processes += processes[0].children(recursive=True)
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        node.wait()

    def end(self) -> None:
        """Kill what is left."""
        for node in reversed(self._started):
            self.kill(node)
