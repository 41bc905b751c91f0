"""A store that takes no more (F11), or all but the report (F21): said, and nothing half there."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli, reading
from otce.errors import StoreError
from otce.storage.files import write_bytes
from tests.kills import PAIRS, TABLES, slow_zoo, stored, tables
from tests.zoo import otce, write_zoo, zoo_config

RUN = Path("store/runs/test")
# In a mount namespace of its own a store on a disk of 256 KiB: the run fails on it; then the disk
# grows and the same command runs again. What is seen in between is copied out.
SMALL_DISK = """
set -u
mount -t tmpfs -o size=256k tmpfs "$1/store" || exit 77
"$2" -m flows.cli run "$1/zoo.yaml" > "$1/full.log" 2>&1; echo $? > "$1/full.code"
cp -a "$1/store" "$1/full"
mount -o remount,size=64m "$1/store"
"$2" -m flows.cli run "$1/zoo.yaml" > "$1/grown.log" 2>&1; echo $? > "$1/grown.code"
cp -a "$1/store" "$1/grown"
"""
# The same for the disk that Ray spills to. Its memory is as small as Ray lets it be.
SMALL_SPILL = """
set -u
mkdir "$1/spill"
mount -t tmpfs -o size=8m tmpfs "$1/spill" || exit 77
export RAY_object_spilling_directory="$1/spill" RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES=80000000
"$2" -m flows.cli run "$1/zoo.yaml" > "$1/full.log" 2>&1; echo $? > "$1/full.code"
mount -o remount,size=2g "$1/spill"
"$2" -m flows.cli run "$1/zoo.yaml" > "$1/grown.log" 2>&1; echo $? > "$1/grown.code"
"""


@pytest.fixture(scope="module")
def namespace():
    """Leads to a mount namespace of one's own, where the kernel grants one."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        granted = subprocess.run([*command, "mount", "-t", "tmpfs", "t", "/mnt"], check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare")
    if granted.returncode:
        pytest.skip("needs a kernel that lets users mount in a namespace of their own")
    return command


@pytest.mark.nightly
def test_a_full_disk_is_a_permanent_error_and_a_larger_one_lets_the_run_finish(
    namespace, uninterrupted, tmp_path, prefect_api, monkeypatch
):
    """F11."""
    slow_zoo(tmp_path)
    (tmp_path / "store").mkdir()
    for name, value in prefect_api.items():
        monkeypatch.setenv(name, value)
    script = [*namespace, "sh", "-c", SMALL_DISK, "sh", str(tmp_path), sys.executable]
    subprocess.run(script, stdin=subprocess.DEVNULL, timeout=280, check=True)
    full, grown = ((tmp_path / f"{name}.log").read_text() for name in ("full", "grown"))
    assert (tmp_path / "full.code").read_text() == "3\n", full
    assert "StoreError: cannot write " in full
    assert "No space left on device; check path, rights and space" in full
    left = [path for path in (tmp_path / "full").rglob("*") if path.is_file()]
    assert not [path for path in left if path.name.startswith(".")]
    assert not (tmp_path / "full/runs/test/manifest.json").exists()
    n_left = len(list((tmp_path / "full/scores").glob("*.parquet")))
    assert n_left < PAIRS
    assert (tmp_path / "grown.code").read_text() == "0\n", grown
    assert f"{PAIRS - n_left} pairs computed, {n_left} reused, 0 failed" in grown
    found = {n: (tmp_path / f"grown/runs/test/{n}.parquet").read_bytes() for n in TABLES}
    assert found == uninterrupted


@pytest.mark.nightly
def test_a_full_disk_under_ray_is_a_permanent_error_and_a_larger_one_lets_the_run_finish(
    namespace, tmp_path, prefect_api, monkeypatch
):
    """F11: features of 98 MB a data set, where Ray holds 80 MB and spills 8."""
    config = zoo_config(models=1, targets=1, images=24, pixels=2000, repetitions=3)
    config["models"]["net-0"]["arguments"]["width"] = 4096
    write_zoo(tmp_path, config)
    for name, value in prefect_api.items():
        monkeypatch.setenv(name, value)
    script = [*namespace, "sh", "-c", SMALL_SPILL, "sh", str(tmp_path), sys.executable]
    subprocess.run(script, stdin=subprocess.DEVNULL, timeout=280, check=True)
    full, grown = ((tmp_path / f"{name}.log").read_text() for name in ("full", "grown"))
    assert (tmp_path / "full.code").read_text() == "1\n", full
    told = " ".join(full.split())
    assert f"features find no room: Ray's memory on a node is full, {SPILLS} ({tmp_path}/" in told
    assert "attempt 1 of 3" not in told
    assert (tmp_path / "grown.code").read_text() == "0\n", grown
    assert "1 pairs computed, 0 reused, 0 failed" in grown


SPILLS = "and so is the disk that it spills to"


def test_an_object_that_finds_no_room_is_absent_and_leaves_nothing_behind(tmp_path):
    """F11: the same refusal by a limit that needs no disk; a file that was there stays whole."""
    write_bytes(str(tmp_path / "a"), b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        for name in "ab":
            with pytest.raises(
                StoreError, match=rf"cannot write 9000 bytes to {tmp_path}/{name}: "
            ) as caught:
                write_bytes(str(tmp_path / name), bytes(9000))
            assert "check path, rights and space" in str(caught.value)
            assert not caught.value.transient
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.nightly
def test_a_report_that_cannot_be_written_costs_no_score_and_is_drawn_alone_later(
    tmp_path, prefect_api, capsys
):
    """F21: a folder stands where the page should. The manifest once came after the report."""
    path = write_zoo(tmp_path, zoo_config(models=1, targets=1))
    (tmp_path / RUN / "report.html/notes").mkdir(parents=True)
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 3, output
    assert "report.html: [Errno 21] Is a directory" in output
    command = f"`otce report {tmp_path}/store test` draws the report alone"
    assert f"all tables of the run are written, and {command}" in output
    assert "Traceback" not in output
    before, n_pairs = tables(tmp_path), stored(tmp_path)
    assert n_pairs == 1
    (tmp_path / RUN / "report.html/notes").rmdir()
    (tmp_path / RUN / "report.html").rmdir()
    assert cli.guarded(lambda: reading.report(str(tmp_path / "store"))) == 0
    assert "net-0" in capsys.readouterr().out
    assert "<html" in (tmp_path / RUN / "report.html").read_text()
    assert tables(tmp_path) == before
