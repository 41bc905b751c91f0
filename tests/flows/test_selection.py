"""`--only` and `--since`: parts of a run."""

import pytest

from flows.pairs import Prepared
from flows.selection import selected, without_known_failures
from otce import tables
from otce.config import RunConfig
from otce.errors import ConfigError
from otce.storage.retention import REFERENCES
from otce.storage.store import Store
from otce.tables import table
from tests.zoo import zoo_config

A, B = ("net-0", "birch"), ("net-1", "birch")


def config(run_id="test"):
    data = zoo_config()
    data["execution"] = {"run_id": run_id} if run_id else {"name": "zoo"}
    return RunConfig.model_validate(data, context={"folder": "/nowhere"})


@pytest.mark.parametrize(
    ("only", "models", "targets"),
    [
        (["net-0"], ["net-0"], ["birch", "dune"]),
        (["dune"], ["net-0", "net-1", "net-2"], ["dune"]),
        (["net-[02]", "d*"], ["net-0", "net-2"], ["dune"]),
        (["*"], ["net-0", "net-1", "net-2"], ["birch", "dune"]),
        ([], ["net-0", "net-1", "net-2"], ["birch", "dune"]),
    ],
)
def test_patterns_keep_the_models_and_the_targets_that_they_match(only, models, targets):
    part = selected(config(), only)
    assert (list(part.models), list(part.targets)) == (models, targets)


def test_a_part_never_stands_in_the_folder_of_the_whole():
    for run_id in ("test", "nightly-{n}", None):
        whole, parts = config(run_id), [selected(config(run_id), [p]) for p in ("net-0", "net-1")]
        assert len({whole.run_id, *(part.run_id for part in parts)}) == 3
        assert not any("{n}" in part.run_id for part in parts)
    assert selected(config("nightly-{n}"), ["*"]).run_id == "nightly-{n}"


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(
        ConfigError, match=r"--only neet-\* matches no model and no target; ids are"
    ):
        selected(config(), ["net-0", "neet-*"])


def prepared(**todo):
    pairs = dict(zip((A, B), todo.values(), strict=False))
    return Prepared({}, dict(pairs), {}, {}, pairs, 0, [])


@pytest.fixture
def store(tmp_path):
    """A run `old` in which A failed for good and so did one metric of B, and the rest passed by."""
    store = Store(str(tmp_path))
    blank = dict.fromkeys(REFERENCES.names)
    rows = [
        blank
        | {"folder": "scores", "fingerprint": f"{m}{metric}", "metric": metric}
        | {"source_model": m, "target_dataset": t}
        for m, t in (A, B)
        for metric in ("otce", "leep")
    ]
    store.put_table("runs/old/references.parquet", table(rows, REFERENCES))
    failed = dict.fromkeys(tables.FAILURES.names) | {"stage": "solve", "attempts": 1}
    failures = [
        failed | {"source_model": A[0], "target_dataset": A[1], "transient": False},
        failed
        | {"source_model": B[0], "target_dataset": B[1], "transient": False, "metric": "leep"},
        failed
        | {"source_model": B[0], "target_dataset": B[1], "transient": True, "metric": "otce"},
    ]
    store.put_table("runs/old/failures.parquet", table(failures, tables.FAILURES))
    return store


def both(model):
    return {"otce": f"{model}otce", "leep": f"{model}leep"}


def test_what_failed_for_good_and_did_not_change_is_not_tried_again_but_told(store):
    found = without_known_failures(
        config(), prepared(a=both("net-0"), b=both("net-1")), "old", store
    )
    assert found.todo == {B: {"otce": "net-1otce"}}
    assert [(row["source_model"], row["metric"]) for row in found.failures] == [
        ("net-0", None),
        ("net-1", "leep"),
    ]


def test_what_changed_is_tried_again(store):
    changed = {"otce": "other", "leep": "another"}
    todo = prepared(a=changed, b=changed)
    assert without_known_failures(config(), todo, "old", store) == todo


def test_a_pair_of_which_the_run_did_not_ask_everything_is_tried_again(store):
    todo = prepared(a=both("net-0") | {"knn": "net-0knn"})
    assert without_known_failures(config(), todo, "old", store) == todo


def test_without_since_everything_is_tried(store):
    todo = prepared(a=both("net-0"))
    assert without_known_failures(config(), todo, None, store) is todo


def test_a_run_that_is_not_there_is_refused_with_those_that_are(store):
    with pytest.raises(ConfigError, match=r"--since new: .* has no such run.*runs there: old"):
        without_known_failures(config(), prepared(a=both("net-0")), "new", store)


def test_previous_is_for_numbered_runs_and_nothing_on_their_first_night(store):
    todo = prepared(a=both("net-0"))
    with pytest.raises(ConfigError, match="--since previous needs numbered runs"):
        without_known_failures(config(), todo, "previous", store)
    assert without_known_failures(config("n-{n}"), todo, "previous", store) is todo
