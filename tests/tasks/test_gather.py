"""Compact objects are copies: the same rows with them, without them, and when they are damaged."""

import pytest

from otce.pair_table import whole_pair
from otce.storage.compact import compact_key, grouped
from otce.storage.store import Store
from otce.storage.table_bytes import encode_table
from otce.tables import PAIR
from tasks.gather import gather

NAMES = [(f"model-{n % 5}", f"{n:032x}") for n in range(20)]


def pair_table(model, name):
    row = dict.fromkeys(PAIR.names) | {"source_model": model, "target_dataset": name[-2:]}
    row |= {"metric": "otce", "parts": []} | {
        f"{side}_{what}": [] for side in ("target", "source") for what in ("items", "influence")
    }
    return whole_pair(name, [row | {"repetition": k, "otce": -0.1 * k} for k in range(3)])


@pytest.fixture
def store(tmp_path):
    found = Store(str(tmp_path))
    for model, name in NAMES:
        found.put_table(f"scores/{name}.parquet", pair_table(model, name))
    return found


def read(store, fewest=1, names=NAMES):
    return gather.fn(names, (), store, fewest_to_compact=fewest)


def compacts(store):
    return {name: store.get(f"compact/{name}") for name in store.names("compact")}


def test_rows_are_the_same_with_compact_objects_and_without(store):
    plain = read(store, fewest=21)
    assert store.names("compact") == []
    written = read(store)
    left = compacts(store)
    assert sorted(f"compact/{name}" for name in left) == sorted(map(compact_key, grouped(NAMES)))
    for _, name in NAMES:
        store.delete(f"scores/{name}.parquet")
    again = read(store)
    assert encode_table(plain.table) == encode_table(written.table) == encode_table(again.table)
    assert plain.table.num_rows == 60
    assert compacts(store) == left


def test_compact_objects_depend_on_no_order(store):
    read(store)
    left = compacts(store)
    for name in left:
        store.delete(f"compact/{name}")
    read(store, names=NAMES[::-1])
    assert compacts(store) == left


def test_a_damaged_compact_object_costs_reading_its_parts_and_is_mended(store):
    wanted = read(store)
    left = compacts(store)
    for name, data in left.items():
        store.put(f"compact/{name}", data[:-9])
    found = read(store)
    assert found.damaged == ()
    assert found.table.equals(wanted.table)
    assert compacts(store) == left


def test_a_damaged_part_is_named_and_its_group_is_not_compacted(store):
    _, victim = NAMES[7]
    data = store.get(f"scores/{victim}.parquet")
    store.put(f"scores/{victim}.parquet", data[: len(data) // 2])
    found = read(store)
    assert found.damaged == (victim,)
    assert found.table.num_rows == 57
    groups = [group for group in grouped(NAMES) if victim not in group]
    assert sorted(f"compact/{name}" for name in compacts(store)) == sorted(map(compact_key, groups))


def test_a_new_model_leaves_the_compact_objects_of_others(store):
    groups = set(grouped(NAMES))
    more = set(grouped([*NAMES, ("model-new", "f" * 32)]))
    assert len(more - groups) == 1
