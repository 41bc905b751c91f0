"""The Prefect server of a run that was given none: started by us, quiet, and ended with us.

Prefect's own temporary server outlives a killed flow and keeps its output pipe open. This one is a
child that watches its parent, so that no way of dying leaves it behind.
"""

import asyncio
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.error import URLError

from otce.errors import ClusterError

_STARTUP_S: Final = 120
_WATCH_S: Final = 0.3
_PROBE_S: Final = 2


@contextmanager
def prefect_server() -> Iterator[Callable[[], None]]:
    """Use the server of `PREFECT_API_URL`, or start one on the loopback for as long as needed.

    Must be entered before Prefect is imported, because Prefect reads its settings then.

    Yields:
        A function that waits until the server answers, and raises `ClusterError` if it does not.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield lambda: _wait(given, None, _PROBE_S)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "flows.server", str(port), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the run; the server is needed until the run has ended.
            start_new_session=True,
            env={
                **os.environ,
                "PREFECT_UI_ENABLED": "0",
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
                "PREFECT_API_DATABASE_MIGRATE_ON_START": "false",
            },
        )
        try:
            yield lambda: _wait(url, server, _STARTUP_S)
        finally:
            del os.environ["PREFECT_API_URL"]
            server.kill()
            server.wait()


@contextmanager
def server_stays() -> Iterator[None]:
    """Explain what Prefect raises when its server goes away during a run.

    Raises:
        ClusterError: it did; what was computed is in the store all the same.
    """
    import httpx  # noqa: PLC0415 - Prefect's own client, loaded with it

    try:
        yield
    except httpx.HTTPError as error:
        raise ClusterError(
            f"the Prefect server at {os.environ['PREFECT_API_URL']} went away during the run "
            f"({error}); what was scored is in the store, and the same command goes on from there"
        ) from error


def _wait(url: str, server: "subprocess.Popen[bytes] | None", limit_s: float) -> None:
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=_PROBE_S):  # noqa: S310
                return
        except (URLError, OSError) as error:
            ended = server is not None and server.poll() is not None
            if ended or time.monotonic() > deadline_s:
                raise ClusterError(
                    f"no Prefect server answers at {url} ({error}); start it, or unset "
                    "PREFECT_API_URL to use an embedded one"
                ) from error
        time.sleep(0.1)


def _serve(port: int, parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    import uvicorn  # noqa: PLC0415 - the watch must run while this loads
    from prefect.server.api.server import create_app  # noqa: PLC0415

    _migrate()
    uvicorn.run(create_app(final=True, ephemeral=True), port=port, log_level="error")


def _migrate() -> None:
    """Bring the data base up to date, one server at a time: of two at once one would fail."""
    from prefect.server.database import provide_database_interface  # noqa: PLC0415
    from prefect.settings import PREFECT_HOME  # noqa: PLC0415

    home = PREFECT_HOME.value()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "otce-server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        asyncio.run(provide_database_interface().create_db())


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
