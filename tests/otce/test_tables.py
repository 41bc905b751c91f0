"""Any analytics tool opens what we keep, with the values and types that we wrote."""

import io

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from otce import tables
from otce.columns import SCHEMA_VERSION
from otce.errors import StoreError
from otce.store import Store, encode_table

SCHEMAS = {
    name: getattr(tables, name)
    for name in (
        "COUNTS",
        "SAMPLES",
        "PAIR",
        "SCORES",
        "SUMMARY",
        "JOINTS",
        "RISKS",
        "FAILURES",
        "RACE",
    )
}
SCORE = {
    "pair_fingerprint": "0123456789abcdef0123456789abcdef",
    "score_version": 1,
    "metric": "otce",
    "preset": "default",
    "source_model": "unet/city, 50 %",
    "source_dataset": "Zürich",
    "target_dataset": "名前",
    "tap": "head",
    "model_digest": "a" * 64,
    "source_digest": "b" * 64,
    "target_digest": "c" * 64,
    "repetition": 0,
    "seed": 2**40,
    "otce": -0.1 - 0.2,
    "conditional_entropy": 0.1 + 0.2,
    "target_entropy": 1.0986122886681098,
    "normalized": 0.7,
    "transport_cost": 5e-324,
    "epsilon": 0.1,
    "feature_scaling": "standardize",
    "relaxation": "none",
    "class_weights": "uniform",
    "solver": "auto",
    "marginal_error": 9.999e-4,
    "n_iter": 2**31 - 1,
    "converged": True,
    "n_source_px": 10_000,
    "n_target_px": 9_999,
    "n_source_classes": 2,
    "n_target_classes": 3,
    "feature_dim": 64,
    "degenerate": "none",
    "curve_epsilon": [0.03, 0.1 * 3],
    "curve_otce": [-1 / 3, -0.0],
    "curve_failure": None,
    "value": -0.1 - 0.2,
}
NO_CURVE = {"curve_epsilon": [], "curve_otce": [], "curve_failure": "not solved; é"}
SUMMARY = {
    **{name: SCORE[name] for name in tables.SUMMARY.names if name in SCORE},
    "rank": 1,
    "mean": -0.3,
    "std": 0.01,
    "stderr": 0.003,
    "ci95_low": -0.31,
    "ci95_high": -0.29,
    "k_done": 10,
    "max_marginal_error": 1e-4,
    "tied_with": ["other", "third"],
    "total_stderr": 0.02,
    "total95_low": -0.34,
    "total95_high": -0.26,
    "n_source_images": 20,
    "n_target_images": 4,
    "p_beats_next": 0.8,
    "rank_low": 1,
    "rank_high": 3,
    "p_best": 0.6,
    "p_best_so_far": 0.6,
}
JOINT = {
    **{name: SCORE[name] for name in tables.JOINTS.names if name in SCORE},
    "source_class": 0,
    "source_class_name": "road",
    "target_class": 18,
    "target_class_name": "vélo",
    "probability": 1 / 3,
    "metric": "otce",
}
RISK = {
    **{name: SCORE[name] for name in ("pair_fingerprint", "source_model", "target_dataset")},
    "cut": "class",
    "key": 18,
    "name": "vélo",
    "share": 1 / 3,
    "risk": 0.1 + 0.2,
}
FAILURE = {
    "source_model": "m",
    "target_dataset": "t",
    "stage": "solve",
    "repetition": 3,
    "error_class": "TransportError",
    "transient": False,
    "attempts": 1,
    "message": "two\nlines; 'quoted'",
    "metric": None,
}
RACE = {
    "target_dataset": "t",
    "metric": "otce",
    "round": 1,
    "phase": "heats",
    "source_model": "m",
    "repetitions": 4,
    "mean": -0.3,
    "bound": -0.1 - 0.2,
    "threshold": -0.25,
    "decision": "leaves",
    "reason": "cannot be among the best 3",
    "work": 4 * 0.2**2,
}
SAMPLE = {
    "dataset_digest": "d" * 64,
    "repetition": 1,
    "item": 0,
    "item_id": "a/b_0001",
    "y_px": 1,
    "x_px": 2,
    "label": 7,
    "boundary": True,
}
COUNT = {"dataset_digest": "d" * 64, "item": 0, "item_id": "a/b_0001", "class_px": [0, 2**40]}
LISTS = {
    "source_classes": [0, 255],
    "target_classes": [3, 4, 5],
    "joint": [0.1, 0.2, 0.3, 0.0, 0.4, 0.0],
    "target_items": [0, 7],
    "target_influence": [0.1 + 0.2, -0.1 - 0.2],
    "source_items": [],
    "source_influence": [],
    "parts": [{"cut": "class", "key": 3, "share": 1.0, "risk": 0.1 + 0.2}],
}
ROWS = {
    "COUNTS": [COUNT, COUNT | {"item": 1, "class_px": [0, 0]}],
    "SAMPLES": [SAMPLE, SAMPLE | {"x_px": 3}],
    "PAIR": [SCORE | LISTS, SCORE | {"repetition": 1} | LISTS | NO_CURVE],
    "SCORES": [SCORE, SCORE | {"repetition": 1, "otce": -0.0} | NO_CURVE],
    "SUMMARY": [SUMMARY, SUMMARY | {"rank": None, "std": None, "tied_with": [], "p_best": None}],
    "JOINTS": [JOINT, JOINT | {"source_class": 1, "probability": 2 / 3}],
    "RACE": [RACE, RACE | {"mean": None, "bound": None, "threshold": None, "decision": "failed"}],
    "RISKS": [RISK, RISK | {"cut": "image", "key": 0, "risk": 0.0}],
    "FAILURES": [FAILURE, FAILURE | {"repetition": None, "transient": True}],
}


def by_pyarrow(path):
    return ds.dataset(path).to_table()


def by_duckdb(path):
    files = f"{path}/*.parquet" if path.is_dir() else str(path)
    return duckdb.connect().read_parquet(files).to_arrow_table()


def by_polars(path):
    return pl.read_parquet(path / "*.parquet" if path.is_dir() else path).to_arrow()


def by_pandas(path):
    return pa.Table.from_pandas(pd.read_parquet(path, dtype_backend="pyarrow"))


READERS = [by_pyarrow, by_duckdb, by_polars, by_pandas]


def plain(kind):
    """An Arrow type without the choice of layout that is every reader's own."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return ("list", plain(kind.value_type))
    if pa.types.is_struct(kind):
        return ("struct", *((field.name, plain(field.type)) for field in kind))
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return "text" if text or pa.types.is_string_view(kind) else str(kind)


def in_order(rows):
    return sorted(rows, key=repr)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", SCHEMAS)
def test_every_reader_finds_the_values_and_types_that_were_written(tmp_path, name, reader):
    schema, rows = SCHEMAS[name], ROWS[name]
    Store(str(tmp_path)).put_table("a.parquet", tables.table(rows, schema))
    found = reader(tmp_path / "a.parquet")
    assert found.column_names == schema.names
    assert {f.name: plain(f.type) for f in found.schema} == {f.name: plain(f.type) for f in schema}
    assert in_order(found.to_pylist()) == in_order(rows)


def test_pandas_without_arrow_types_finds_the_values(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(encode_table(tables.table(ROWS["SCORES"], tables.SCORES)))
    found = pd.read_parquet(path)
    lists = ["curve_epsilon", "curve_otce"]
    found[lists] = found[lists].map(list)
    found["curve_failure"] = found["curve_failure"].astype(object).replace(np.nan, None)
    assert found.to_dict("records") == ROWS["SCORES"]


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_of_pairs_is_one_data_set(tmp_path, reader):
    store = Store(str(tmp_path))
    rows = {model: SCORE | LISTS | {"source_model": model} for model in ("a", "b", "c")}
    for model, row in rows.items():
        store.put_table(f"scores/{model}.parquet", tables.table([row], tables.PAIR))
    # A writer that was killed leaves this; nobody reads it.
    (tmp_path / "scores" / ".left1234").write_bytes(b"half")
    found = reader(tmp_path / "scores")
    assert in_order(found.to_pylist()) == in_order(rows.values())
    assert found.column_names == tables.PAIR.names


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_file_says_what_it_holds_to_any_reader(tmp_path, name):
    path = tmp_path / "a.parquet"
    path.write_bytes(encode_table(tables.table(ROWS[name], SCHEMAS[name])))
    query = f"select decode(key), decode(value) from parquet_kv_metadata('{path}')"  # noqa: S608
    for metadata in (
        {k.decode(): v.decode() for k, v in pq.read_metadata(path).metadata.items()},
        dict(duckdb.connect().execute(query).fetchall()),
    ):
        assert metadata["schema_version"] == str(SCHEMA_VERSION)
        assert metadata["otce.table"] == name.lower()
    fields = {field.name: field.metadata for field in pq.read_schema(path)}
    for field in SCHEMAS[name]:
        assert field.metadata.items() <= fields[field.name].items()


def test_any_reader_can_check_the_pages():
    numbers = np.random.default_rng(0).random(1000)
    data = bytearray(encode_table(pa.table({"numbers": numbers})))
    data[len(data) // 2] ^= 0x01
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(io.BytesIO(data), page_checksum_verification=True)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_has_a_meaning_and_every_quantity_its_unit(name):
    for field in SCHEMAS[name]:
        assert field.metadata[b"meaning"]
        if field.name.endswith("_px"):
            assert field.metadata[b"unit"] == b"px"


def test_scores_are_in_nats_and_say_which_way_is_better():
    for schema, names in ((tables.SCORES, ["otce"]), (tables.SUMMARY, ["mean"])):
        for name in names:
            assert schema.field(name).metadata[b"unit"] == b"nats"
            assert schema.field(name).metadata[b"direction"] == b"higher"
    for name in ("std", "stderr", "ci95_low", "ci95_high"):
        assert tables.SUMMARY.field(name).metadata[b"unit"] == b"nats"
    assert tables.SCORES.field("conditional_entropy").metadata[b"direction"] == b"lower"
    assert tables.SCORES.field("marginal_error").metadata[b"direction"] == b"lower"
    assert tables.SCORES.field("normalized").metadata[b"direction"] == b"higher"
    assert tables.SCORES.field("target_entropy").metadata[b"unit"] == b"nats"
    assert tables.SCORES.field("curve_otce").metadata[b"unit"] == b"nats"
    assert tables.SCORES.field("curve_otce").metadata[b"direction"] == b"higher"
    epsilon, curve_epsilon = (tables.SCORES.field(n) for n in ("epsilon", "curve_epsilon"))
    assert curve_epsilon.metadata[b"unit"] == epsilon.metadata[b"unit"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_table_without_rows_has_the_schema(name):
    empty = tables.table([], SCHEMAS[name])
    assert empty.num_rows == 0
    assert empty.schema.equals(SCHEMAS[name], check_metadata=True)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_row_that_lacks_a_column_is_refused(name):
    for column in SCHEMAS[name].names:
        row = {k: v for k, v in ROWS[name][0].items() if k != column}
        with pytest.raises(KeyError, match=column):
            tables.table([row], SCHEMAS[name])


@pytest.mark.parametrize("bad", [2**31, "one", [1]])
def test_a_value_of_another_type_is_refused(bad):
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)):
        tables.table([SCORE | {"repetition": bad}], tables.SCORES)


def test_the_score_columns_of_a_pair_are_those_of_the_run():
    pair = tables.table(ROWS["PAIR"], tables.PAIR)
    scores = pair.select(tables.SCORES.names).cast(tables.SCORES)
    assert scores.schema.equals(tables.SCORES, check_metadata=True)


@pytest.mark.parametrize("name", ["PAIR", "SCORES"])
def test_a_table_from_before_the_curves_reads_with_nulls_for_them(tmp_path, name):
    """An older run keeps its report: a column may be added within a major version."""
    schema, store = SCHEMAS[name], Store(str(tmp_path))
    whole = tables.table(ROWS[name], schema)
    store.put_table("old.parquet", whole.drop_columns(list(NO_CURVE)))
    found = store.get_table("old.parquet", schema)
    assert found.schema.equals(schema, check_metadata=False)
    assert found.to_pylist() == [row | dict.fromkeys(NO_CURVE) for row in whole.to_pylist()]


@pytest.mark.parametrize("change", ["drop", "add"])
def test_a_table_that_differs_in_more_than_later_columns_is_refused(tmp_path, change):
    store = Store(str(tmp_path))
    old = tables.table(ROWS["SCORES"], tables.SCORES).drop_columns(["curve_otce"])
    other = {"drop": old.drop_columns(["otce"]), "add": old.append_column("x", old["otce"])}
    store.put_table("a.parquet", other[change])
    with pytest.raises(StoreError, match=r"a\.parquet has other columns"):
        store.get_table("a.parquet", tables.SCORES)
