"""Prefect's own command and API, as an operator uses them, for the tests of schedules."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
POOLS = {"otce": ("process",), "otce-kubernetes": ("kubernetes", "infra/prefect-kubernetes.json")}


def environment(api, **more):
    # Importing tasks sets defaults in this process, which are not an operator's.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "RAY_"))}
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return {**inherited, **paths, **api, **more}


def prefect(*arguments, env, timeout_s=300):
    """Run a command of Prefect's in the repository's root; returns what it printed."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def create_pools(env):
    for name, (kind, *template) in POOLS.items():
        given = ["--base-job-template", *template] if template else []
        prefect("work-pool", "create", name, "--type", kind, "--overwrite", *given, env=env)


def ask(api, path, body=None):
    """Ask the server's API; with a body by POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{api['PREFECT_API_URL']}/{path}", data=data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@contextmanager
def running(*arguments, env, log):
    """A process of its own group for as long as needed; a worker does not end on one SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=log.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
