"""A run of the store is held against a truth with all that is known of its images."""

import numpy as np

from flows.judged import judged
from otce import tables
from otce.ranking import summarize
from otce.storage.store import Store
from otce.truth.assess import assess
from tests.drawn_runs import scored
from tests.truths import MODELS, truth_of, written


def test_a_report_takes_the_images_of_the_scores_from_the_store(tmp_path):
    """Its intervals are those of influences that models share, not of each one's standard error."""
    rows = [
        row
        for n, model in enumerate(MODELS)
        for row in scored(model, "bay", np.array([[0.5 - 0.02 * n, 0.02 * n + 0.01]] * 2) / 2)[0]
    ]
    rows = [row | {"pair_fingerprint": row["pair_fingerprint"].replace("/", "-")} for row in rows]
    full = tables.table(rows, tables.PAIR)
    store = Store(str(tmp_path / "store"))
    for model in MODELS:
        mine = [row for row in rows if row["source_model"] == model]
        store.put_table(f"scores/{model}-bay.parquet", tables.table(mine, tables.PAIR))
    path = written(tmp_path, truth := truth_of(np.random.default_rng(0)))
    summary = summarize(full)
    kept = judged(store, "runs/test", summary, path, None).to_pylist()
    assert kept != assess(summary, truth).to_pylist()
    for model in MODELS:
        store.delete(f"scores/{model}-bay.parquet")
    assert judged(store, "runs/test", summary, path, None).to_pylist() == [
        row | {"truth": "head with 5 images"} for row in assess(summary, truth).to_pylist()
    ]
