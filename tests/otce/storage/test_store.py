"""Objects are whole or absent, on every kind of store."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from otce.errors import StoreError
from otce.storage.files import read_bytes, write_bytes
from otce.storage.store import Store
from otce.storage.table_bytes import encode_table

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), metadata={"meaning": "which"}),
        pa.field("value", pa.float64(), metadata={"unit": "nats"}),
        pa.field("classes", pa.list_(pa.field("element", pa.int32()))),
    ],
    metadata={"schema_version": "1"},
)
ROWS = [
    {"name": "first", "value": -0.25, "classes": [1, 2, 3]},
    {"name": "名前", "value": None, "classes": []},
]
# In a process of its own: what differs between processes must not reach the bytes.
ENCODE = """
import sys
sys.path.insert(0, "tests/otce/storage")
from test_store import table
from otce.storage.table_bytes import encode_table
sys.stdout.buffer.write(encode_table(table()))
"""


def table(rows=ROWS):
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@pytest.fixture
def store(store_uri, store_options):
    return Store(store_uri, store_options)


def put_behind_its_back(uri, options, data):
    """Put an object as another machine would, past every cache of this process."""
    protocol, is_remote, _ = uri.partition("://")
    if is_remote:
        given = {**options.get(protocol, {}), "skip_instance_cache": True}
        opened, path = fsspec.core.url_to_fs(uri, **given)
        opened.pipe_file(path, data)
    else:
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        Path(uri).write_bytes(data)


def test_what_is_put_is_found_read_and_listed(store):
    objects = {"scores/a.bin": b"", "scores/b.bin": bytes(range(256)), "runs/x/y.bin": b"z" * 3000}
    for key, data in objects.items():
        store.put(key, data)
    assert {key: store.get(key) for key in objects} == objects
    assert all(store.exists(key) for key in objects)
    assert store.names("scores") == ["a.bin", "b.bin"]
    assert store.names("runs") == ["x/y.bin"]
    assert store.names("") == sorted(objects)


def test_what_was_never_put_is_absent(store):
    store.put("scores/a.bin", b"a")
    assert not store.exists("scores/b.bin")
    assert store.names("nothing") == []
    with pytest.raises(StoreError, match=r"scores/b\.bin: no such object"):
        store.get("scores/b.bin")
    with pytest.raises(StoreError, match=r"scores/b\.bin: no such object"):
        store.get_table("scores/b.bin", SCHEMA)


def test_a_folder_is_no_object_and_an_object_no_folder(store, store_uri, store_options):
    store.put("scores/a.bin", b"a")
    with pytest.raises(StoreError, match="scores"):
        read_bytes(f"{store_uri}/scores", store_options, most_bytes=1 << 20)
    assert store.names("scores/a.bin") == []


def test_an_object_put_twice_is_there_once_as_put_last(store):
    for data in (b"old", b"same", b"same"):
        store.put("a/b", data)
    assert store.get("a/b") == b"same"
    assert store.names("a") == ["b"]


def test_what_is_set_aside_is_there_under_another_name(store):
    store.put("scores/a", b"damaged")
    store.put("scores/b", b"whole")
    assert store.set_aside("scores/a") == "scores/a.corrupt"
    assert store.names("scores") == ["a.corrupt", "b"]
    assert store.get("scores/a.corrupt") == b"damaged"


def test_a_damaged_table_that_can_be_made_again_is_set_aside_and_told(store, caplog):
    assert store.sound_table("t.parquet", SCHEMA) is None
    store.put_table("t.parquet", table())
    assert store.sound_table("t.parquet", SCHEMA).equals(table())
    damaged = bytearray(store.get("t.parquet"))
    damaged[40] ^= 1
    store.put("t.parquet", bytes(damaged))
    assert store.sound_table("t.parquet", SCHEMA) is None
    assert "t.parquet is damaged and was set aside as t.parquet.corrupt" in caplog.text
    assert store.names("") == ["t.parquet.corrupt"]
    assert store.get("t.parquet.corrupt") == damaged
    other = pa.schema([pa.field("other", pa.int64())])
    store.put_table("t.parquet", table())
    with pytest.raises(StoreError, match="other columns"):
        store.sound_table("t.parquet", other)


def test_a_reader_beside_writers_never_sees_a_part(store):
    versions = [bytes([i]) * 200_000 for i in range(4)]
    store.put("a", versions[0])
    with ThreadPoolExecutor(max_workers=4) as pool:
        writes = [pool.submit(store.put, "a", data) for data in versions * 4]
        reads = [pool.submit(store.get, "a") for _ in range(16)]
        assert all(read.result() in versions for read in reads)
        assert all(write.result() is None for write in writes)
    assert store.names("") == ["a"]


def test_a_table_comes_back_with_its_values_types_and_metadata(store):
    extra = table().replace_schema_metadata({**SCHEMA.metadata, b"class_px": b"[3, 4]"})
    store.put_table("t.parquet", extra)
    assert store.get_table("t.parquet", SCHEMA).equals(extra, check_metadata=True)


def test_an_empty_table_comes_back_with_its_schema(store):
    store.put_table("t.parquet", table([]))
    found = store.get_table("t.parquet", SCHEMA)
    assert found.num_rows == 0
    assert found.schema.equals(SCHEMA, check_metadata=True)


def test_the_same_table_is_the_same_bytes():
    pieces = pa.concat_tables([table().slice(0, 1), table().slice(1)])
    assert encode_table(table()) == encode_table(table()) == encode_table(pieces)


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_table_is_the_same_bytes_in_another_process(hash_seed):
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", ENCODE]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == encode_table(table())


@pytest.mark.parametrize("place", [0, 0.3, 0.7, -1])
def test_a_flipped_byte_is_told_with_the_object(store, place):
    data = bytearray(encode_table(table()))
    data[int(place * len(data)) if place >= 0 else place] ^= 0x01
    store.put("scores/a.parquet", bytes(data))
    with pytest.raises(StoreError, match=rf"{store.uri}/scores/a\.parquet is damaged.*delete it"):
        store.get_table("scores/a.parquet", SCHEMA)


@pytest.mark.parametrize("kept", [0, 4, 0.5, -1])
def test_a_truncated_table_is_told_with_the_object(store, kept):
    data = encode_table(table())
    store.put("a.parquet", data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(StoreError, match=rf"{store.uri}/a\.parquet is damaged.*delete it"):
        store.get_table("a.parquet", SCHEMA)


def test_no_bit_of_a_table_can_flip_unseen():
    store, data = Store("memory://flips"), encode_table(table())
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        store.put("a", bytes(damaged))
        with pytest.raises(StoreError, match="is damaged"):
            store.get_table("a", SCHEMA)


def test_a_table_that_only_looks_whole_is_refused():
    store = Store("memory://looks")
    text = b"otce.sha256\x18\x40" + b"0" * 64
    for data in (b"", b"otce.sha256", text, text[:-1], b"PAR1" + text + b"PAR1"):
        store.put("a", data)
        with pytest.raises(StoreError, match="is damaged"):
            store.get_table("a", SCHEMA)


@pytest.mark.parametrize(
    "other",
    [
        SCHEMA.remove(0),
        SCHEMA.append(pa.field("more", pa.int32())),
        SCHEMA.set(1, pa.field("value", pa.float32())),
        pa.schema(list(SCHEMA)[::-1]),
    ],
)
def test_other_columns_are_refused(store, other):
    store.put_table("a.parquet", table())
    with pytest.raises(StoreError, match=r"a\.parquet has other columns"):
        store.get_table("a.parquet", other)


def test_no_object_is_left_when_a_table_cannot_be_encoded(store):
    duration = pa.table({"a": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with pytest.raises(pa.ArrowException):
        store.put_table("a.parquet", duration)
    with pytest.raises(TypeError):
        store.put_json("a.json", {"a": object()})
    assert store.names("") == []


def test_json_keeps_the_order_and_ends_its_line(store):
    store.put_json("a.json", {"b": 1, "a": ["名"]})
    assert store.get("a.json") == b'{\n  "b": 1,\n  "a": [\n    "\\u540d"\n  ]\n}\n'


def test_an_object_of_another_writer_is_seen_at_once(store, store_uri, store_options):
    store.put("scores/a", b"a")
    assert store.names("scores") == ["a"]
    assert not store.exists("scores/b")
    put_behind_its_back(f"{store_uri}/scores/b", store_options, b"b")
    assert store.exists("scores/b")
    assert store.names("scores") == ["a", "b"]
    assert store.get("scores/b") == b"b"


def test_names_are_fresh_even_where_listings_are_cached(s3_server, s3_bucket):
    options = {"s3": {"endpoint_url": s3_server, "use_listings_cache": True}}
    store = Store(f"s3://{s3_bucket}", options)
    store.put("scores/a", b"a")
    assert store.names("scores") == ["a"]
    put_behind_its_back(f"s3://{s3_bucket}/scores/b", options, b"b")
    assert store.names("scores") == ["a", "b"]


def test_a_pickled_store_reaches_the_same_objects(store):
    store.put("a", b"a")
    assert pickle.loads(pickle.dumps(store)).get("a") == b"a"  # noqa: S301 - our own bytes


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/x", "..", "a/../.."])
def test_names_stay_below_the_root(store, store_uri, store_options, key):
    outside = f"{store_uri.rpartition('/')[0]}/x"
    write_bytes(outside, b"outside", store_options)
    for refused in (
        lambda: store.put(key, b"inside"),
        lambda: store.put_table(key, table()),
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.names(key),
    ):
        with pytest.raises(StoreError, match="not below"):
            refused()
    assert read_bytes(outside, store_options) == b"outside"
    assert store.names("") == []


def test_what_was_put_is_named_though_the_listing_hides_it(monkeypatch):
    """A store whose listings lag: what is not shown yet is there all the same."""
    uri = f"memory://{os.urandom(8).hex()}"
    store, other = Store(uri), Store(uri)
    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "find", lambda *_, **__: {})
    store.put("scores/a", b"a")
    assert store.names("scores") == ["a"]
    assert other.names("scores") == []
    assert other.get("scores/a") == b"a"
    store.delete("scores/a")
    assert store.names("scores") == []
