"""Small transports share a task and still fail one by one; workers put what they made."""

from types import SimpleNamespace

import numpy as np
import pytest
import ray

from otce.config import ExecutionConfig, ScoreConfig
from otce.draw import Draw
from otce.storage.store import Store
from otce.tables import PAIR
from tasks.bundle import bundled
from tasks.keep_scores import Scores, put_scores
from tasks.retry import GaveUpError, Window
from tasks.solved import solved
from tasks.timings import Timings
from tasks.work import Wanted
from tests.drawn import clouds

DRAW = clouds(5)
CLASSES = ("water", "quay")


def draw(features, labels):
    return Draw(features, labels, np.arange(len(labels), dtype=np.int32) // 4)


SOURCE, TARGET = draw(DRAW.source_ND, DRAW.source_y), draw(DRAW.target_MD, DRAW.target_y)


def work(config):
    census = SimpleNamespace(listed=SimpleNamespace(classes=CLASSES))
    return SimpleNamespace(
        config=SimpleNamespace(score=config, metrics=("otce",)),
        sides={"net": SimpleNamespace(source="home", classes=CLASSES)},
        censuses={"bay": census, "fjord": census, "port": census},
        size=lambda _model, _target: (len(SOURCE.labels), len(TARGET.labels)),
        plan=SimpleNamespace(solve_cpus=0.5),
        window=Window(2, attempts=1, time_limit_s=60),
        timings=Timings(),
    )


def all_of(targets, config):
    """What each target's repetitions gave, and how many tasks' results came."""
    pairs = {t: Wanted({"otce": t}, {"otce": t}, {"otce": [range(2)]}) for t in targets}
    home = {k: [ray.put(SOURCE)] for k in range(2)}
    refs = {"home": home} | {t: {k: [ray.put(d)] for k in range(2)} for t, d in targets.items()}
    found = list(solved("net", refs, pairs, work(config), heat=False))
    return {t: draws for one in found for t, draws in one.items()}, len(found)


@pytest.fixture(scope="module")
def config():
    return ScoreConfig(
        epsilon=0.2, feature_scaling="none", relaxation="none", class_weights="uniform"
    )


def test_one_task_solves_small_transports_and_each_gives_what_it_gives_alone(ray_plan, config):
    together, n_tasks = all_of({"bay": TARGET, "fjord": TARGET}, config)
    assert n_tasks == 1
    alone, _ = all_of({"bay": TARGET}, config)
    told, at = together["fjord"][1]
    assert not told.failed
    assert told.spent.n_iter > 0
    other = alone["bay"][1][1]
    assert ray.get(at.rows)[at.position] == ray.get(other.rows)[other.position]


def test_a_transport_that_nobody_expected_to_fail_fails_alone(ray_plan, config):
    broken = 7  # no draw at all
    found, _ = all_of({"bay": TARGET, "fjord": broken, "port": TARGET}, config)
    assert {t: {type(one) for one in draws.values()} for t, draws in found.items()} == {
        "bay": {tuple},
        "fjord": {GaveUpError},
        "port": {tuple},
    }


def test_large_transports_are_not_bundled_and_small_ones_not_without_end():
    assert bundled([(1500, 1500)] * 2) == [range(1), range(1, 2)]
    assert [len(span) for span in bundled([(1, 1)] * 40)] == [16, 16, 8]


def test_a_worker_puts_whole_pairs_and_parts_and_tells_what_was_refused(ray_plan, config, tmp_path):
    found, _ = all_of({"bay": TARGET}, config)
    rows = {k: at for k, (_, at) in found["bay"].items()}
    columns = dict.fromkeys(PAIR.names) | {"metric": "otce", "source_model": "net"}
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores/taken.parquet").mkdir()
    objects = [
        (Scores("whole", "scores/whole.parquet", "otce", columns), rows),
        (Scores("taken", "scores/taken.parquet", "otce", columns), rows),
        (Scores(None, "repetitions/part.parquet", "otce", columns), {1: rows[1]}),
    ]
    store = Store(str(tmp_path))
    errors = put_scores(objects, store, ExecutionConfig(store=str(tmp_path)))
    assert [type(error).__name__ for error in errors] == ["NoneType", "StoreError", "NoneType"]
    whole = store.get_table("scores/whole.parquet", PAIR).to_pylist()
    assert [row["repetition"] for row in whole] == [0, 1]
    part = store.get_table("repetitions/part.parquet", PAIR).to_pylist()
    assert [row["otce"] for row in part] == [whole[1]["otce"]]
    # A listing may lag behind; what a worker put for this process is there.
    (tmp_path / "scores/whole.parquet").unlink()
    assert "whole.parquet" in store.names("scores")


def test_this_process_reads_what_was_put_for_it_wherever_the_store_is(
    ray_plan, config, store_uri, store_options
):
    """Workers put tables of a store in memory into their own, where nobody found them."""
    found, _ = all_of({"bay": TARGET}, config)
    rows = {k: at for k, (_, at) in found["bay"].items()}
    columns = dict.fromkeys(PAIR.names) | {"metric": "otce", "source_model": "net"}
    store = Store(store_uri, store_options)
    execution = ExecutionConfig(store=store_uri, storage_options=store_options)
    scores = Scores("whole", "scores/whole.parquet", "otce", columns)
    assert put_scores([(scores, rows)], store, execution) == [None]
    whole = store.get_table("scores/whole.parquet", PAIR).to_pylist()
    assert [row["repetition"] for row in whole] == sorted(rows)
