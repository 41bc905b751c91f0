"""A store that fails in all the ways of S3: `Store` waits for what passes and tells what stays."""

import time

import pyarrow as pa
import pytest

from otce.errors import DamagedError, StoreError, StoreUnavailableError
from otce.storage import files
from otce.storage.store import Store
from tests.conftest import new_bucket
from tests.faults.s3_proxy import (
    DENIED,
    EXPIRED,
    INTERNAL_ERROR,
    RESET,
    SLOW_DOWN,
    Answer,
    always,
    first,
    s3_proxy,
)

DATA = bytes(range(256)) * 400
STALL = Answer(stall_s=60)
IMPATIENT = {"retries": {"mode": "adaptive", "max_attempts": 1}, "read_timeout": 1}
"""So that a test takes seconds; the waits themselves are those of the product."""


@pytest.fixture(scope="module")
def proxy(s3_server):
    with s3_proxy(s3_server) as found:
        yield found


@pytest.fixture(scope="module")
def bucket(s3_server):
    return new_bucket(s3_server)


@pytest.fixture
def place(proxy, bucket, request):
    """A fresh folder; what fails, fails behind the proxy only."""
    proxy.script = lambda *_: None
    yield f"s3://{bucket}/{abs(hash(request.node.name))}"
    proxy.script = lambda *_: None


@pytest.fixture
def store(place, proxy):
    options = {"endpoint_url": proxy.endpoint, "config_kwargs": IMPATIENT}
    return Store(place, {"s3": options})


@pytest.fixture
def behind(place, s3_server):
    """The same store, past the proxy."""
    return Store(place, {"s3": {"endpoint_url": s3_server}})


PASSING = {
    "503 SlowDown": SLOW_DOWN,
    "500": INTERNAL_ERROR,
    "reset half-way": RESET,
    "stall half-way": STALL,
}


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_what_passes_is_waited_for(store, behind, proxy, method, fault):
    if method == "GET":
        behind.put("a", DATA)
    proxy.script = first(1, PASSING[fault], method, "/a")
    before, started_s = proxy.failures(), time.monotonic()
    if method == "PUT":
        store.put("a", DATA)
    assert store.get("a") == behind.get("a") == DATA
    assert proxy.failures() - before == 1
    assert time.monotonic() - started_s < 30


def test_five_refusals_of_an_overloaded_server_in_a_row_are_waited_out(place, behind, proxy):
    """With the waiting that runs have when nothing is configured."""
    store = Store(place, {"s3": {"endpoint_url": proxy.endpoint}})
    proxy.script = first(5, SLOW_DOWN, "PUT", "/a")
    before = proxy.seen("PUT", "/a")
    store.put("a", DATA)
    assert proxy.seen("PUT", "/a") - before == 6
    assert behind.get("a") == DATA


@pytest.mark.parametrize(
    "answer",
    [pytest.param(SLOW_DOWN, id="503", marks=pytest.mark.nightly), pytest.param(RESET, id="reset")],
)
def test_what_never_passes_is_a_transient_error_and_leaves_nothing(store, behind, proxy, answer):
    proxy.script = always(answer, "PUT", "/a")
    before, started_s = proxy.failures(), time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"cannot write .*/a: .*try again") as told:
        store.put("a", DATA)
    assert told.value.transient
    assert 2 <= proxy.failures() - before <= 10
    assert time.monotonic() - started_s < 60
    assert not behind.exists("a")
    assert store.names("") == []


def test_an_operation_ends_at_its_limit_whatever_the_retries(store, behind, proxy, monkeypatch):
    monkeypatch.setattr(files, "OPERATION_LIMIT_S", 1.5)
    behind.put("a", DATA)
    proxy.script = always(STALL, "GET", "/a")
    started_s = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"cannot read .*/a: no answer"):
        store.get("a")
    assert time.monotonic() - started_s < 20


REFUSALS = {
    "put": (DENIED, "PUT", "/probe-"),
    "get": (DENIED, "GET", "/probe-"),
    "list": (DENIED, "GET", "list-type=2"),
    "delete": (DENIED, "DELETE", "/probe-"),
    "expired token": (EXPIRED, "PUT", "/probe-"),
}


@pytest.mark.parametrize("refused", REFUSALS)
def test_what_is_refused_is_found_by_the_probe_and_not_tried_again(store, proxy, refused):
    proxy.script = always(*REFUSALS[refused])
    before = proxy.failures()
    with pytest.raises(StoreError, match=r"cannot .*s3://.*refused.*check the rights") as told:
        store.probe()
    assert not told.value.transient
    assert proxy.failures() - before == 1


def test_a_damaged_object_is_set_aside_under_another_name(store):
    store.put_table("scores/a.parquet", pa.table({"a": [1]}))
    damaged = bytearray(store.get("scores/a.parquet"))
    damaged[40] ^= 1
    store.put("scores/a.parquet", bytes(damaged))
    with pytest.raises(DamagedError, match=r"scores/a\.parquet is damaged") as told:
        store.get_table("scores/a.parquet", pa.schema({"a": pa.int64()}))
    assert not told.value.transient
    assert store.set_aside("scores/a.parquet") == "scores/a.parquet.corrupt"
    assert store.names("scores") == ["a.parquet.corrupt"]
    assert store.get("scores/a.parquet.corrupt") == damaged
