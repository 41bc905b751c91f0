"""Only what can be compared races, and who has heats does not depend on what a store holds."""

import copy
from types import SimpleNamespace

import numpy as np

from flows.entrants import comparable, drawn_heats, unread_sources
from otce.config import RunConfig
from otce.sampling import Sample
from tasks.census import Census
from tests.two_values import BASE

FOLDER = {"layout": "folder:x", "images": "*.jpg", "labels": "*.png", "classes": ["a", "b"]}
NET = {"reference": "python:nets:net", "trusted": True, "weights": "w.safetensors"}
SOURCES = {"near": "port", "far": "quay", "small": "pond"}


def config(too_few_pixels="refuse", **models):
    data = copy.deepcopy(BASE)
    data["datasets"] = dict.fromkeys(("bay", "port", "quay", "pond"), FOLDER) | {
        "old": FOLDER | {"digest": "ab" * 32}
    }
    data["targets"] = ["bay"]
    data["models"] = {id_: NET | {"source": s} for id_, s in SOURCES.items()} | models
    data["sampling"] = {"pixels": 100, "repetitions": 1, "too_few_pixels": too_few_pixels}
    return RunConfig.model_validate(data)


def census(n_px=500, labels=(0, 1)):
    none = np.zeros(len(labels), np.int32)
    sample = Sample(none, none, none, none, np.array(labels, np.int32), none.astype(bool))
    return Census(SimpleNamespace(), (n_px, 0), sample)


def censuses(**changes):
    return {id_: census() for id_ in ("bay", "port", "quay", "pond")} | changes


def pairs(run):
    return [(model, "bay") for model in run.models]


def test_a_source_of_other_pixel_counts_is_not_raced():
    run = config("shrink")
    found = comparable(run, pairs(run), censuses(pond=census(50)))
    assert found == {"bay": ["near", "far"]}


def test_a_side_of_one_class_is_not_raced():
    run = config()
    assert comparable(run, pairs(run), censuses(quay=census(labels=(1, 1)))) == {
        "bay": ["near", "small"]
    }
    assert comparable(run, pairs(run), censuses(bay=census(labels=(1, 1)))) == {}


def test_a_source_that_is_not_read_races_where_all_have_n_pixels():
    models = {"kept": NET | {"source": "old"}, "filed": NET | {"signature": "f.sig", "source": "x"}}
    run = config(**models)
    assert unread_sources(run) == {"kept", "filed"}
    assert comparable(run, pairs(run), censuses()) == {"bay": list(run.models)}
    run = config("shrink", **models)
    assert comparable(run, pairs(run), censuses()) == {"bay": list(SOURCES)}


def test_heats_need_pixels_of_two_classes_on_both_sides():
    run = config()
    assert drawn_heats(run, pairs(run), censuses(quay=census(labels=()))) == {
        ("near", "bay"),
        ("small", "bay"),
    }
    assert drawn_heats(run, pairs(run), censuses(bay=census(labels=(1, 1)))) == set()
