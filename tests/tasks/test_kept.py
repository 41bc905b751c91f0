"""Repetitions that are kept in any pieces are found, read and joined to the same bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce import tables
from otce.config import RunConfig
from otce.identity import Signature
from otce.model_config import Preprocessing
from otce.pair_table import pair_columns, pair_rows, unfinished_pair, whole_pair
from otce.repetitions import repetitions_name
from otce.storage.store import Store
from otce.storage.table_bytes import encode_table
from tasks.kept import Kept
from tests.two_values import BASE

K, STEM, NAME = 5, "ab" * 16, "cd" * 16
CONFIG = RunConfig.model_validate(BASE)
SIDE = Signature(
    architecture="a",
    arguments={},
    code_digest="c",
    weights_digest="w",
    preprocessing=Preprocessing(),
    tap="head",
    source="harbour",
    source_digest="11",
    classes=("water", "quay"),
    pixels=4,
    too_few_pixels="refuse",
    seed=0,
)


def rows(repetitions, fingerprint=STEM):
    found = {k: scored(k) for k in repetitions}
    columns = pair_columns(
        CONFIG,
        "otce",
        fingerprint=fingerprint,
        model_id="net",
        side=SIDE,
        target_id="bay",
        target_digest="22",
    )
    return pair_rows(columns, found)


def scored(k):
    """What a repetition gave: influences whose sum depends on the order of adding."""
    generator = np.random.default_rng(k)
    items = np.sort(generator.choice(8, 5, replace=False))
    sides = {
        name: value
        for side in ("target", "source")
        for name, value in (
            (f"{side}_items", items.tolist()),
            (f"{side}_influence", (10.0 ** generator.integers(-9, 9, 5)).tolist()),
        )
    }
    part = {"cut": "class", "key": k % 2, "share": 0.1, "risk": generator.random()}
    columns = dict.fromkeys(tables.PAIR.names) | {"value": -float(k), "otce": -float(k)}
    return columns | sides | {"parts": [part], "joint": [0.25] * 4}


WHOLE = encode_table(whole_pair(NAME, rows(range(K))))


@given(cuts=st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, K - 1)), max_size=6))
def test_pieces_that_cover_a_pair_are_joined_to_its_bytes(cuts, tmp_path_factory):
    store = Store(str(tmp_path_factory.mktemp("store")))
    ranges = [range(min(cut), max(cut) + 1) for cut in cuts]
    for one in ranges:
        put(store, one)
    missing = Kept.listed(store).missing(NAME, STEM, range(K))
    held = {k for one in ranges for k in one}
    assert {k for one in missing for k in one} == set(range(K)) - held
    for one in missing:
        put(store, one)
    kept = Kept.listed(store)
    assert kept.values(NAME, STEM, range(1, 4)) == [-1.0, -2.0, -3.0]
    kept.join(NAME, STEM, K)
    assert store.get(f"scores/{NAME}.parquet") == WHOLE


def put(store, repetitions):
    table = tables.table(rows(repetitions), tables.PAIR)
    store.put_table(f"repetitions/{repetitions_name(STEM, repetitions)}.parquet", table)


def test_a_whole_pair_lacks_nothing_and_gives_the_rows_of_its_pieces(tmp_path):
    whole, parts = Store(str(tmp_path / "whole")), Store(str(tmp_path / "parts"))
    whole.put(f"scores/{NAME}.parquet", WHOLE)
    put(parts, range(3))
    kept = Kept.listed(whole)
    assert kept.missing(NAME, STEM, range(K)) == []
    left = [
        unfinished_pair(STEM, found.read(NAME, STEM, range(2)).to_pylist())
        for found in (kept, Kept.listed(parts))
    ]
    assert left[0].equals(left[1])
    assert left[0]["repetition"].to_pylist() == [0, 1]
    assert left[0]["target_influence"].null_count == 2


def test_the_first_row_of_a_whole_pair_has_the_mean_influence_of_each_image():
    alone = rows(range(K))
    first = whole_pair(NAME, alone).to_pylist()[0]
    for side in ("target", "source"):
        wanted = np.zeros(8)
        for row in alone:
            wanted[row[f"{side}_items"]] += np.array(row[f"{side}_influence"]) / K
        np.testing.assert_allclose(first[f"{side}_influence"], wanted[first[f"{side}_items"]])
    risk = sum(part["risk"] for part in first["parts"])
    assert risk == pytest.approx(sum(row["parts"][0]["risk"] for row in alone) / K)
