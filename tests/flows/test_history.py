"""Numbered runs: which is next and which came before, without a clock; on three stores."""

import pytest

from flows.history import finished, history, pinned
from flows.pairs import Prepared
from otce.config import RunConfig
from otce.errors import ConfigError
from otce.storage.store import Store
from tests.zoo import zoo_config


def config(run_id="n-{n}", store="memory://none", **changes):
    data = zoo_config(models=1, targets=1) | changes
    data["execution"] = {"run_id": run_id, "store": store}
    return RunConfig.model_validate(data, context={"folder": "/nowhere"})


def found(fingerprint="aa"):
    """What is known of a run: only the names of its pairs count here."""
    names = {("net-0", "birch"): {"otce": fingerprint}}
    return Prepared({}, names, {}, {}, {}, 0, [])


def finish(store, run, fingerprint):
    """What a finished run leaves; its clock is of no account."""
    place = history(run, found(fingerprint), store)
    store.put_json(f"runs/{place.run_id}/manifest.json", {"finished": "1970"} | place.facts)
    return place


@pytest.fixture
def store(store_uri, store_options):
    return Store(store_uri, store_options)


def test_every_change_gets_the_next_number_also_one_back_to_what_was(store):
    places = [finish(store, config(), fingerprint) for fingerprint in ("aa", "bb", "aa")]
    assert [place.run_id for place in places] == ["n-0001", "n-0002", "n-0003"]
    assert [place.previous for place in places] == [None, "n-0001", "n-0002"]


def test_where_nothing_changed_it_is_the_last_run_again_with_the_same_one_before_it(store):
    for fingerprint in ("aa", "bb", "bb", "bb"):
        last = finish(store, config(), fingerprint)
    assert (last.run_id, last.previous) == ("n-0002", "n-0001")


def test_other_pairs_or_other_rules_of_a_race_are_a_change_and_another_place_is_none(store):
    finish(store, config(), "aa")
    moved = zoo_config(models=1, targets=1)["models"]
    moved["net-0"]["weights"] = "elsewhere/net.safetensors"
    assert history(config(models=moved), found("aa"), store).run_id == "n-0001"
    assert history(config(strategy="race"), found("aa"), store).run_id == "n-0002"
    targets = {"targets": ["birch", "alder"]}
    moved["net-0"]["source"] = "birch"
    assert history(config(models=moved, **targets), found("aa"), store).run_id == "n-0002"


def test_a_killed_run_has_no_manifest_so_its_number_is_taken_up_again(store):
    finish(store, config(), "aa")
    store.put("runs/n-0002/summary.parquet", b"half")
    assert history(config(), found("bb"), store).run_id == "n-0002"


def test_a_series_is_of_its_own_name_and_numbers_grow_past_four_digits(store):
    for number in ("x-0007", "n-9999", "n-part-00001234", "n-12", "n-0002x"):
        store.put_json(f"runs/{number}/manifest.json", {"inputs": "other"})
    assert finished("n-{n}", store) == {9999: "n-9999"}
    place = history(config(), found(), store)
    assert (place.run_id, place.previous) == ("n-10000", "n-9999")


def test_runs_that_a_listing_does_not_show_yet_are_found_by_name(store, monkeypatch):
    for fingerprint in ("aa", "bb", "cc"):
        finish(store, config(), fingerprint)
    listed = [name for name in store.names("runs") if "0001" in name]
    monkeypatch.setattr(store, "names", lambda _: listed)
    assert history(config(), found("dd"), store).run_id == "n-0004"


def test_a_run_without_a_number_is_compared_with_none(store):
    place = finish(store, config("fixed"), "aa")
    assert (place.run_id, place.number, place.previous) == ("fixed", None, None)
    assert history(config("fixed"), found("bb"), store).previous is None


def test_maps_go_to_the_last_finished_run(tmp_path):
    store = Store(str(tmp_path))
    run = config(store=str(tmp_path))
    with pytest.raises(ConfigError, match=r"no finished run of n-\{n\}; run it first"):
        pinned(run)
    finish(store, run, "aa")
    assert pinned(run).run_id == "n-0001"
    assert pinned(config("fixed")).run_id == "fixed"


@pytest.mark.parametrize("wrong", ["{n}", "n-{n}-x", "{n}{n}", "a/{n}", "x" * 60 + "{n}"])
def test_the_number_stands_at_the_end_of_an_id(wrong):
    with pytest.raises(ValueError, match="pattern"):
        config(wrong)
