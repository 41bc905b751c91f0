"""`otce prune`: what no run refers to is shown, and deleted when told to; on three stores."""

import io

import pytest
from rich.console import Console

from flows import prune as module
from flows.prune import prune, prune_command
from otce.errors import ConfigError
from otce.storage.retention import REFERENCES
from otce.storage.store import Store
from otce.tables import table


def finished_run(store, run_id, *, refers=(), number=None, name="nightly", finished="2026"):
    blank = dict.fromkeys(REFERENCES.names)
    rows = [blank | {"folder": folder, "fingerprint": stem} for folder, stem in refers]
    store.put_table(f"runs/{run_id}/references.parquet", table(rows, REFERENCES))
    manifest = {"run_id": run_id, "name": name, "number": number, "finished": finished}
    store.put_json(f"runs/{run_id}/manifest.json", manifest)


def seen(store):
    """The store as another process sees it, which put nothing there."""
    return Store(store.uri, store._options)


@pytest.fixture
def store(store_uri, store_options):
    """Two nights of one series; the first alone refers to `a`, nobody to `stray`."""
    store = Store(store_uri, store_options)
    for stem in ("a", "b", "stray"):
        store.put(f"scores/{stem}.parquet", b"12345")
        store.put(f"repetitions/{stem}.0-3.parquet", b"123")
        store.put(f"features/{stem}/0.safetensors", b"12")
        store.put(f"samples/{stem}.parquet", b"1")
        store.put(f"counts/{stem}.parquet", b"1")
    folders = ("scores", "repetitions", "features", "samples", "counts")
    # The clock of the first night was wrong: it is a later one by its manifest.
    finished_run(
        store, "n-0001", refers=[(f, s) for f in folders for s in "ab"], number=1, finished="2040"
    )
    finished_run(store, "n-0002", refers=[(f, "b") for f in folders], number=2, finished="2026")
    return store


def left(store):
    return {name for name in seen(store).names(".") if not name.startswith("runs/")}


def test_nothing_is_deleted_before_it_was_shown(store, store_options):
    before = seen(store).names(".")
    found = prune(store.uri, store_options, grace_s=0)
    assert seen(store).names(".") == before
    assert [entry.name for entry in found.deletable] == [
        "scores/stray.parquet",
        "repetitions/stray.0-3.parquet",
        "features/stray/0.safetensors",
        "samples/stray.parquet",
        "counts/stray.parquet",
    ]
    assert sum(entry.n_bytes for entry in found.deletable) == 5 + 3 + 2 + 1 + 1


def test_what_is_younger_than_the_grace_period_stays(store, store_options):
    found = prune(store.uri, store_options, grace_s=3600, deletes=True)
    assert found.deletable == []
    assert [verdict.is_young for verdict in found.found["scores"]] == [True]
    assert "scores/stray.parquet" in left(store)


def test_what_nobody_refers_to_goes_and_all_else_stays(store, store_options):
    before = left(store)
    prune(store.uri, store_options, grace_s=0, deletes=True)
    assert left(store) == {name for name in before if "stray" not in name}
    assert "runs/n-0001/manifest.json" in seen(store).names(".")
    assert prune(store.uri, store_options, grace_s=0).deletable == []


def test_runs_beyond_the_number_to_keep_go_by_their_number_and_with_them_what_only_they_need(
    store, store_options
):
    found = prune(store.uri, store_options, grace_s=0, keep_runs=1, deletes=True)
    assert found.dropped == ["n-0001"]
    assert found.deletable[0].name == "runs/n-0001/manifest.json"
    assert {name.partition("/")[2].partition(".")[0] for name in left(store)} == {"b", "b/0"}
    assert [name for name in seen(store).names("runs") if name.startswith("n-0001")] == []
    assert "n-0002/manifest.json" in seen(store).names("runs")


def test_series_of_other_names_are_counted_on_their_own(store, store_options):
    finished_run(store, "other", refers=[("scores", "stray")], name="other")
    prune(store.uri, store_options, grace_s=0, keep_runs=1, deletes=True)
    assert "scores/stray.parquet" in left(store)
    assert "other/manifest.json" in seen(store).names("runs")


def test_the_tables_of_a_run_that_is_not_finished_are_let_alone(store, store_options):
    store.put("runs/n-0003/summary.parquet", b"in progress")
    prune(store.uri, store_options, grace_s=0, keep_runs=1, deletes=True)
    assert "n-0003/summary.parquet" in seen(store).names("runs")


def test_a_run_that_does_not_say_what_it_refers_to_stops_everything(store, store_options):
    manifest = {"run_id": "old", "name": "old", "finished": "2025"}
    store.put_json("runs/old/manifest.json", manifest)
    before = seen(store).names(".")
    with pytest.raises(ConfigError, match=r"run old is of an older otce.*run it again"):
        prune(store.uri, store_options, grace_s=0, deletes=True)
    assert seen(store).names(".") == before


def test_a_store_without_times_gives_nothing_away_unless_asked(store, store_options, monkeypatch):
    monkeypatch.setattr("otce.storage.listing._MODIFIED", ())
    found = prune(store.uri, store_options, deletes=True)
    assert found.deletable == []
    assert [verdict.is_young for verdict in found.found["scores"]] == [None]
    assert "scores/stray.parquet" in left(store)
    assert len(prune(store.uri, store_options, grace_s=0).deletable) == 5


def test_numbers_out_of_range_are_refused(store, store_options):
    for wrong in ({"keep_runs": 0}, {"grace_s": -1.0}):
        with pytest.raises(ConfigError, match="keep at least one run"):
            prune(store.uri, store_options, **wrong)


def test_the_command_tells_bytes_by_folder_and_what_it_would_delete(tmp_path, monkeypatch):
    store = Store(str(tmp_path / "store"))
    finished_run(store, "n-0001", refers=[("scores", "a")])
    store.put("scores/a.parquet", b"12345")
    store.put("scores/stray.parquet", b"1234567")
    console = Console(file=io.StringIO(), width=120)
    monkeypatch.setattr(module, "Console", lambda: console)
    assert prune_command(store.uri, grace_days=0) == 0
    told = console.file.getvalue()
    assert "nothing deleted; --delete deletes 1 objects, 7 bytes" in told
    scores = next(line.split() for line in told.splitlines() if "scores" in line)
    assert scores == ["scores", "2", "12", "1", "7", "0"]
    assert prune_command(store.uri, grace_days=0, deletes=True) == 0
    assert "deleted 1 objects, 7 bytes" in console.file.getvalue()
    assert seen(store).names("scores") == ["a.parquet"]
