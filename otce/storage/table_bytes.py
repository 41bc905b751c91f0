"""Tables as bytes: Parquet that is the same for the same table and carries its own digest."""

from io import BytesIO
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from otce.errors import DamagedError, StoreError
from otce.fingerprint import digest

# Parquet's page checksums leave out its footer, where names, counts and metadata stand. So its
# key-value metadata hold the digest of the whole file, taken while zeros stood in its place.
_DIGEST_KEY: Final = "otce.sha256"
_DIGEST_MARK: Final = _DIGEST_KEY.encode() + b"\x18\x40"  # Thrift: a string of 64 bytes follows
_NO_DIGEST: Final = "0" * 64
# Small files can unpack to anything: whoever writes to the bucket must not fill our memory.
_MOST_DECODED_BYTES: Final = 1 << 33
_ROWS_AT_ONCE: Final = 4096


def encode_table(table: pa.Table) -> bytes:
    """Encode a table as Parquet, the same bytes for the same table.

    Args:
        table: any Arrow table.

    Returns:
        A Parquet file with page checksums and a digest of the whole.
    """
    sink = BytesIO()
    options = {"compression": "zstd", "write_page_checksum": True}
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_DIGEST_KEY: _NO_DIGEST})
    data = sink.getvalue()
    return _with_digest(data, digest(data).encode())


def decode_table(data: bytes, schema: pa.Schema, where: str) -> pa.Table:
    """Decode a table and check it against its schema.

    Args:
        data: what `encode_table` gave.
        schema: the columns and types it must have.
        where: where the bytes are from, for errors.

    Returns:
        The table; columns that `otce.tables` added after it was written are null.

    Raises:
        DamagedError: the bytes are not those that were encoded.
        StoreError: too large once decoded, or written with other columns.
    """
    if not _is_whole(data):
        raise DamagedError(
            f"{where} is damaged (its bytes have another digest); delete it and run again"
        )
    try:
        table = _decoded(data, where)
    except (OSError, pa.ArrowException) as error:
        raise DamagedError(f"{where} is damaged ({error}); delete it and run again") from error
    table = _completed(table, schema)
    if not table.schema.equals(schema):
        raise StoreError(
            f"{where} has other columns than this version of otce writes; read it with the "
            "version that wrote it, or use a new store"
        )
    return table


def _with_digest(data: bytes, text: bytes) -> bytes:
    start = data.rfind(_DIGEST_MARK) + len(_DIGEST_MARK)
    return data[:start] + text + data[start + len(text) :]


def _is_whole(data: bytes) -> bool:
    whole = _with_digest(data, _NO_DIGEST.encode())
    return _DIGEST_MARK in data and _with_digest(whole, digest(whole).encode()) == data


def _decoded(data: bytes, where: str) -> pa.Table:
    """Decode a Parquet file piece by piece, to stop when it becomes more than it may."""
    file = pq.ParquetFile(BytesIO(data), page_checksum_verification=True)
    batches, n_bytes = [], 0
    for batch in file.iter_batches(_ROWS_AT_ONCE):
        batches.append(batch)
        n_bytes += batch.nbytes
        if n_bytes > _MOST_DECODED_BYTES:
            raise StoreError(
                f"{where} has {len(data)} bytes that unpack to more than {_MOST_DECODED_BYTES}; "
                "delete it and run again"
            )
    return pa.Table.from_batches(batches, file.schema_arrow).combine_chunks()


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Add the later columns that a table is older than; what else differs is left to be seen."""
    if table.schema.names == schema.names:
        return table
    present = set(table.column_names)
    absent = [field for field in schema if field.name not in present]
    later = [field for field in absent if b"later" in (field.metadata or {})]
    if not later or len(later) < len(absent):
        return table
    for field in later:
        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    added = [name for name in table.column_names if name not in schema.names]
    return table.select([*schema.names, *added])
