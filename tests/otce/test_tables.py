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
from otce.storage.store import Store, encode_table
from tests.table_rows import LISTS, NO_CURVE, ROWS, SCORE

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
