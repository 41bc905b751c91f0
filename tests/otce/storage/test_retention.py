"""Which objects no run refers to, and how old they are by the store's own clock."""

import time

import pytest

from otce.storage.listing import Entry, delete, entries, now_s
from otce.storage.retention import REFERENCES, unreferenced
from otce.storage.store import Store
from otce.tables import table


def refers(*pairs):
    blank = dict.fromkeys(REFERENCES.names)
    return table([blank | {"folder": f, "fingerprint": n} for f, n in pairs], REFERENCES)


def verdicts(names, references, *, now=1000.0, grace=100.0, modified=None, folder="scores"):
    modified = modified or {}
    listed = [Entry(name, 7, modified.get(name, 0.0)) for name in names]
    found = unreferenced(folder, listed, references, now_s=now, grace_s=grace)
    return {verdict.entry.name: verdict.is_young for verdict in found}


def test_what_any_run_refers_to_stays_whatever_follows_its_fingerprint():
    names = ["ab.parquet", "cd.0-3.parquet", "ef/0.safetensors", "ef/1.safetensors", "gh.parquet"]
    references = [refers(("scores", "ab")), refers(("scores", "cd"), ("scores", "ef"))]
    assert verdicts(names, references) == {"gh.parquet": False}


def test_a_fingerprint_of_another_folder_holds_nothing():
    assert verdicts(["ab.parquet"], [refers(("counts", "ab"))]) == {"ab.parquet": False}


def test_what_was_written_within_the_grace_period_is_young():
    modified = {"old": 899.0, "young": 901.0}
    assert verdicts(["old", "young"], [], modified=modified) == {"old": False, "young": True}
    assert verdicts(["old", "young"], [], modified=modified, grace=0) == {
        "old": False,
        "young": False,
    }


def test_where_the_store_keeps_no_times_nobody_says_how_old_a_thing_is():
    assert verdicts(["ab"], [], now=None) == {"ab": None}
    assert verdicts(["ab"], [], modified={"ab": None}, now=1.0)["ab"] is None
    assert verdicts(["ab"], [], now=None, grace=0) == {"ab": False}


def test_objects_are_listed_with_bytes_and_times_of_the_store(store_uri, store_options):
    store = Store(store_uri, store_options)
    before = now_s(store_uri, store_options)
    store.put("scores/a.parquet", b"12345")
    store.put("scores/deep/b.parquet", b"1")
    after = now_s(store_uri, store_options)
    found = entries(f"{store_uri}/scores", store_options)
    assert [(entry.name, entry.n_bytes) for entry in found] == [
        ("a.parquet", 5),
        ("deep/b.parquet", 1),
    ]
    # S3 tells whole seconds.
    assert all(before - 1 <= entry.modified_s <= after + 1 for entry in found)
    assert abs(after - time.time()) < 600
    assert store.names(".") == ["scores/a.parquet", "scores/deep/b.parquet"]


def test_what_is_deleted_is_gone_and_the_rest_stays(store_uri, store_options):
    store = Store(store_uri, store_options)
    for n in range(5):
        store.put(f"scores/{n}.parquet", b"x")
    delete(store_uri, ["scores/1.parquet", "scores/3.parquet"], store_options)
    left = Store(store_uri, store_options).names("scores")
    assert left == ["0.parquet", "2.parquet", "4.parquet"]
    delete(store_uri, [], store_options)


def test_a_folder_that_is_not_there_has_no_objects(store_uri, store_options):
    assert entries(f"{store_uri}/scores", store_options) == []


def test_every_column_says_what_it_means():
    assert all(field.metadata[b"meaning"] for field in REFERENCES)


@pytest.mark.parametrize(("stamp", "wanted"), [("2026-01-01T00:00:00+00:00", 1767225600.0)])
def test_times_that_a_store_tells_as_text_are_read(stamp, wanted):
    from otce.storage.listing import _modified_s  # noqa: PLC0415

    assert _modified_s({"updated": stamp}) == wanted
    assert _modified_s({"size": 3}) is None
