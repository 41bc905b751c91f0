"""Figures of maps are found with the run, few and not too large."""

import pytest

from flows.kept_maps import MOST_BYTES, MOST_IMAGES, MOST_PAIRS, kept_overlays
from flows.reading import report
from otce import tables
from otce.errors import StoreError
from otce.ranking import summarize
from otce.storage.store import Store
from tests.drawn_runs import CONFUSED, risks, scored, verdict


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def put_maps(store, model, names, *, fingerprint="f", **figures):
    folder = f"runs/r/maps/{model}/bay"
    for name in names:
        store.put(f"{folder}/{name}.png", figures.get(name, name.encode()))
    images = [{"id": f"id {name}", "name": name, "mean_nats": 0.5} for name in names]
    about = {"source_model": model, "target_dataset": "bay", "pair_fingerprint": fingerprint}
    store.put_json(f"{folder}/maps.json", about | {"images": images})


def test_a_run_without_maps_has_none(store):
    assert kept_overlays(store, "runs/r") == []


def test_the_first_images_of_the_first_pairs_are_read(store):
    for model in "edcba"[: MOST_PAIRS + 1]:
        put_maps(store, model, [f"{model}{n}" for n in range(MOST_IMAGES + 1)])
    found = kept_overlays(store, "runs/r")
    assert len(found) == MOST_PAIRS * MOST_IMAGES
    assert [figure.source_model for figure in found[::MOST_IMAGES]] == ["b", "c", "d"]
    first = found[0]
    assert first == ("f", "b", "bay", "id b0", 0.5, b"b0")


def test_large_figures_are_named_only_and_absent_ones_left_out(store, tmp_path):
    put_maps(store, "unet", ["a", "b", "c"], a=bytes(MOST_BYTES + 1), b=bytes(MOST_BYTES))
    (tmp_path / "runs/r/maps/unet/bay/c.png").unlink()
    store = Store(store.uri)
    assert [figure.png and len(figure.png) for figure in kept_overlays(store, "runs/r")] == [
        None,
        MOST_BYTES,
    ]


def test_a_description_names_no_file_outside_its_folder(store):
    store.put("runs/r/secret.png", b"other")
    put_maps(store, "unet", [])
    about = {"source_model": "unet", "target_dataset": "bay", "pair_fingerprint": "f"}
    images = [{"id": "x", "name": "../../../secret", "mean_nats": None}]
    store.put_json("runs/r/maps/unet/bay/maps.json", about | {"images": images})
    assert kept_overlays(store, "runs/r") == []


def test_a_damaged_description_is_named(store):
    store.put("runs/r/maps/unet/bay/maps.json", b"{")
    with pytest.raises(StoreError, match=r"maps/unet/bay/maps.json is damaged"):
        kept_overlays(store, "runs/r")


@pytest.mark.parametrize("is_new", [True, False])
def test_otce_report_shows_what_a_run_has(store, is_new):
    """Runs of older versions have neither risks nor a race nor maps."""
    rows, joints = pair = scored("unet", "bay", CONFUSED)
    found = {
        "scores": tables.table(rows, tables.SCORES),
        "summary": summarize(tables.table(rows, tables.PAIR)),
        "joints": tables.table(joints, tables.JOINTS),
        "failures": tables.table([], tables.FAILURES),
    }
    if is_new:
        parts = risks(pair, {"boundary": [("boundary", 0.2, 0.6), ("interior", 0.8, 0.4)]})
        found["risks"] = tables.table(parts, tables.RISKS)
        found["race"] = tables.table([verdict(0, "unet", "finished")], tables.RACE)
        put_maps(store, "unet", ["a"], fingerprint="unet/bay")
    for name, table in found.items():
        store.put_table(f"runs/r/{name}.parquet", table)
    manifest = {"run_id": "r", "finished": "2026-05-04", "models": {}, "targets": [], "pairs": {}}
    store.put_json("runs/r/manifest.json", manifest)
    assert report(store.uri) == 0
    html = store.get("runs/r/report.html").decode()
    shown = ["<img" in html, 'id="race"' in html, "near a boundary or not" in html]
    assert shown == [is_new] * 3
