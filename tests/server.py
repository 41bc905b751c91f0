"""A real Prefect server for the tests that run the command, shared by the session."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from urllib.error import URLError

import pytest


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory):
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def prefect_api(prefect_home):
    """The environment that makes a run use a server of its own, which is not embedded."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    env = {"PREFECT_HOME": str(prefect_home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with (prefect_home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(f"{url}/health")
            yield {"PREFECT_HOME": str(prefect_home), "PREFECT_API_URL": url}
        finally:
            server.kill()
            server.wait()


def _wait(url, limit_s=120.0):
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except (URLError, OSError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return
