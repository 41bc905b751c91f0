"""Credentials reach the storage and nothing else: a run whose credentials sing leaves no note."""

import sqlite3
import tempfile
from contextlib import closing
from io import BytesIO
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.zoo import otce, write_zoo, zoo_config

CANARY = "canary-5e0c"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": f"id-{CANARY}",
    "AWS_SECRET_ACCESS_KEY": f"secret-{CANARY}",
    "AWS_SESSION_TOKEN": f"token-{CANARY}",
}
pytestmark = pytest.mark.nightly


@pytest.fixture
def ray_home():
    # Short, because paths of sockets are.
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def env(prefect_api, ray_home):
    return prefect_api | CREDENTIALS | {"RAY_TMPDIR": str(ray_home), "OTCE_LOG": "json"}


def texts(files):
    """What can be read in files by name: their bytes, and what is packed or cut up in them."""
    for name, data in files.items():
        yield name, data
        if name.endswith(".parquet"):
            yield f"{name}, unpacked", str(pq.read_table(BytesIO(data)).to_pylist()).encode()


def below(folder: Path):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(home: Path):
    """Prefect's database as text: long values are cut into pages in its file."""
    with closing(sqlite3.connect(f"file:{home / 'prefect.db'}?mode=ro", uri=True)) as database:
        return {"prefect.db, row by row": "\n".join(database.iterdump()).encode()}


def singing(files, word=CANARY):
    return [name for name, text in texts(files) if word.encode() in text]


def test_no_credential_of_a_run_and_of_its_failed_pairs_is_left_anywhere(
    tmp_path, s3_server, s3_bucket, prefect_home, ray_home, env
):
    options = {"endpoint_url": s3_server}
    bucket = fsspec.filesystem("s3", **options, skip_instance_cache=True)
    bucket.pipe_file(f"{s3_bucket}/weights/broken.safetensors", b"no weights")
    config = zoo_config(models=2, targets=1)
    config["execution"] |= {
        "store": f"s3://{s3_bucket}/store",
        "storage_options": {"s3": options},
        "run_id": "sings-not",
    }
    broken = f"models.net-1.weights=s3://{s3_bucket}/weights/broken.safetensors"
    code, output = otce(
        "run", write_zoo(tmp_path, config), "--set", broken, log=tmp_path / "log", env=env
    )
    assert code == 1, output
    stored = {name: bucket.cat_file(name) for name in bucket.find(f"{s3_bucket}/store")}
    places = [
        {"output": output.encode()},
        stored,
        below(prefect_home) | rows_of(prefect_home),
        below(ray_home),
    ]
    # Each place is really looked into: what was told of the run is found there.
    for files, word in zip(places, ("net-1", "net-1", "sings-not", "raylet"), strict=True):
        assert singing(files, word), word
    assert [name for files in places for name in singing(files)] == []
    assert singing(below(tmp_path)) == []


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize("by", ["file", "override"])
def test_a_credential_in_an_option_is_refused_and_left_nowhere(
    command, by, tmp_path, prefect_home, env
):
    config, words = zoo_config(models=1, targets=1), []
    if by == "file":
        config["execution"]["storage_options"] = {"s3": {"secret": CANARY}}
    else:
        words = ["--set", f"execution.storage_options.s3.secret={CANARY}"]
    path = write_zoo(tmp_path, config)
    code, output = otce(command, path, *words, log=tmp_path / "log", env=env)
    assert code == 2, output
    assert "storage_options" in output
    assert "keep secrets out of configurations" in output
    assert CANARY not in output
    left = below(prefect_home) | rows_of(prefect_home)
    assert singing(left) == []
    assert not (tmp_path / "store").exists()


def test_the_canary_would_be_heard(tmp_path):
    packed = BytesIO()
    pq.write_table(pa.table({"a": [CANARY]}), packed, compression="zstd")
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as database, database:
        database.execute("create table a (b)")
        database.execute("insert into a values (?)", ["x" * 5000 + CANARY])
    assert "a.parquet, unpacked" in singing({"a.parquet": packed.getvalue()})
    assert singing({"b": b"-" + CANARY.encode(), "c": b""}) == ["b"]
    assert singing(rows_of(tmp_path)) == ["prefect.db, row by row"]
