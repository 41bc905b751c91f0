"""No number and no decision comes from a clock (F14): clocks may be wrong, and differ."""

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kills import LONG_S, slow_zoo, tables
from tests.zoo import otce

ROOT = Path(__file__).parents[2]
CODE = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text())
    for package in ("otce", "tasks", "flows")
    for path in (ROOT / package).rglob("*.py")
}
# Everybody else who looks at a clock would have to say why here.
MAY_TELL_TIME = {
    "flows/cli.py": "how long the command took, for people",
    "flows/journal.py": "when a start was, for otce status",
    "flows/manifest.py": "when the run was",
    "flows/measure.py": "when the measurement was",
    "flows/measure_command.py": "how long the command took, for people",
    "flows/progress.py": "for people",
    "flows/rank.py": "when the run was",
    "flows/score.py": "how often Prefect is shown progress",
    "flows/server.py": "how long to wait for a server",
    "flows/serve.py": "time zone of a schedule",
    "flows/status_command.py": "otce status tells rate and time left",
    "otce/events.py": "when an event was",
    "otce/storage/listing.py": "ages that a store tells, for otce status and otce prune",
    "otce/transfer/training.py": "processor time of a training, for its timings",
    "tasks/cluster.py": "time limits",
    "tasks/ray_calls.py": "time limits",
    "tasks/retry.py": "time limits",
    "tasks/timings.py": "what work took",
    "tasks/transfer.py": "what work took",
}
CLOCKS = {"time", "datetime", "calendar", "zoneinfo", "timeit", "sched"}
# What a file system says of when a file was written; names of objects say what they hold.
AGES = {"st_mtime", "st_mtime_ns", "st_ctime", "st_ctime_ns", "getmtime", "getctime", "modified"}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def attributes(tree):
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_clocks_are_read_for_limits_and_people_only():
    assert len(CODE) > 100
    assert {name for name, tree in CODE.items() if CLOCKS & set(imported(tree))} == set(
        MAY_TELL_TIME
    )
    assert not {name for name, tree in CODE.items() if AGES & attributes(tree)}


# Each worker of Ray has a wrong clock of its own: 1970, 2100, yesterday or tomorrow.
WRONG = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int is_worker(void) {
    static int known = -1;
    if (known < 0) {
        char line[4096] = "";
        FILE *file = fopen("/proc/self/cmdline", "r");
        size_t n = file ? fread(line, 1, sizeof line - 1, file) : 0;
        if (file) fclose(file);
        for (size_t i = 0; i < n; i++) if (!line[i]) line[i] = ' ';
        known = strstr(line, "default_worker.py") || strstr(line, "tell the time");
    }
    return known;
}

static long told(long now) {
    if (!is_worker()) return now;
    switch (getpid() % 4) {
        case 0: return now - 1795000000L;
        case 1: return now + 2306000000L;
        case 2: return now - 86400;
        default: return now + 86400;
    }
}

int clock_gettime(clockid_t which, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(which, at);
    int is_wall = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE;
    if (is_wall) at->tv_sec = told(at->tv_sec);
    return code;
}

time_t time(time_t *out) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (out) *out = at.tv_sec;
    return at.tv_sec;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@pytest.fixture(scope="module")
def wrong_clocks(tmp_path_factory):
    """The environment in which each worker has a wrong clock of its own."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("clocks")
    (folder / "wrong.c").write_text(WRONG)
    library = folder / "wrong.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, folder / "wrong.c", "-ldl"]
    subprocess.run(command, check=True)
    return {"LD_PRELOAD": str(library)}


@pytest.mark.nightly
@pytest.mark.timeout(2 * LONG_S)
def test_workers_whose_clocks_are_wrong_and_differ_change_no_byte(
    wrong_clocks, uninterrupted, tmp_path, prefect_api
):
    tell = [sys.executable, "-c", "import time; print(time.time())  # tell the time"]
    told = subprocess.run(tell, env={**os.environ, **wrong_clocks}, capture_output=True, check=True)
    assert abs(float(told.stdout) - time.time()) > 80_000
    env = prefect_api | wrong_clocks
    code, output = otce("run", slow_zoo(tmp_path), log=tmp_path / "log", env=env, limit_s=LONG_S)
    assert code == 0, output
    assert tables(tmp_path) == uninterrupted


@pytest.mark.nightly
@pytest.mark.timeout(2 * LONG_S)
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_a_time_zone_changes_no_byte(zone, uninterrupted, tmp_path, prefect_api):
    env = prefect_api | {"TZ": zone, "LC_ALL": "C"}
    code, output = otce("run", slow_zoo(tmp_path), log=tmp_path / "log", env=env, limit_s=LONG_S)
    assert code == 0, output
    assert tables(tmp_path) == uninterrupted
