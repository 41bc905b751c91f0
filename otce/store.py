"""Immutable objects and tables under one root, named by the fingerprint of what they hold.

Bytes are deterministic and names are hashes, so writing an object twice is harmless, resuming is
skipping what exists, and no lock, lease, marker or clock is needed.
"""

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from otce.errors import DamagedError, StoreError
from otce.files import (
    StorageOptions,
    delete,
    exists,
    join,
    read_bytes,
    write_bytes,
)
from otce.fingerprint import digest
from otce.listing import entries, list_paths

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
    absent = [field for field in schema if field.name not in table.column_names]
    later = [field for field in absent if b"later" in (field.metadata or {})]
    if not later or len(later) < len(absent):
        return table
    for field in later:
        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    added = [name for name in table.column_names if name not in schema.names]
    return table.select([*schema.names, *added])


class Store:
    """Immutable objects under one root.

    Args:
        uri: path or fsspec URI of the root.
        options: fsspec options by protocol.
    """

    def __init__(self, uri: str, options: StorageOptions | None = None) -> None:
        self.uri = uri.rstrip("/")
        self._options = options
        # A listing may lag behind; what was put from here is there, whatever it shows.
        self._put: set[str] = set()

    def put(self, key: str, data: bytes) -> None:
        """Put a whole object, replacing an equal one.

        Args:
            key: name below the root, parts separated by `/`.
            data: the bytes.

        Raises:
            StoreError: the store refuses or does not answer; the object is then absent.
        """
        write_bytes(join(self.uri, key), data, self._options)
        self._put.add(key)

    def delete(self, key: str) -> None:
        """Delete an object.

        Args:
            key: name below the root.

        Raises:
            StoreError: absent, refused or unreachable.
        """
        delete(join(self.uri, key), self._options)
        self._put.discard(key)

    def set_aside(self, key: str) -> str:
        """Move a damaged object out of the way, so that it is absent and can still be looked at.

        Args:
            key: name below the root.

        Returns:
            The name that it has now.

        Raises:
            StoreError: the store refuses or does not answer.
        """
        aside = f"{key}.corrupt"
        self.put(aside, self.get(key))
        self.delete(key)
        return aside

    def get(self, key: str) -> bytes:
        """Read a whole object.

        Args:
            key: name below the root.

        Returns:
            The bytes.

        Raises:
            StoreError: absent, refused or unreachable.
        """
        return read_bytes(join(self.uri, key), self._options)

    def exists(self, key: str) -> bool:
        """Tell whether an object is there.

        Args:
            key: name below the root.

        Returns:
            True when it is.

        Raises:
            StoreError: the store does not answer.
        """
        return exists(join(self.uri, key), self._options)

    def names(self, folder: str) -> list[str]:
        """List the keys below a folder: what the store shows, and what was put from here.

        What others put may be missing for a while in stores whose listings lag. Whoever takes an
        absent name for work to do does that work twice, with the same bytes, and loses nothing.

        Args:
            folder: first part of the keys.

        Returns:
            Paths below that folder, sorted.

        Raises:
            StoreError: the store does not answer.
        """
        listed = list_paths(join(self.uri, folder), self._options)
        start = f"{folder}/" if folder else ""
        own = [key.removeprefix(start) for key in list(self._put) if key.startswith(start)]
        return sorted({*listed, *own})

    def put_times(self, folder: str) -> dict[str, float]:
        """List the keys below a folder with the times of their last put.

        Args:
            folder: first part of the keys.

        Returns:
            Seconds since 1970, by the store's clock, by path below that folder.

        Raises:
            StoreError: the store does not answer, or does not tell times.
        """
        found = {}
        for entry in entries(join(self.uri, folder), self._options):
            if entry.modified_s is None:
                raise StoreError(
                    f"{self.uri}: this storage does not tell when objects were put; use another one"
                )
            found[entry.name] = entry.modified_s
        return found

    def put_table(self, key: str, table: pa.Table) -> None:
        """Put a table as one Parquet object.

        Args:
            key: name below the root.
            table: the table.

        Raises:
            StoreError: see `put`.
        """
        self.put(key, encode_table(table))

    def get_table(self, key: str, schema: pa.Schema) -> pa.Table:
        """Read a Parquet object and check it against its schema.

        Args:
            key: name below the root.
            schema: the columns and types it must have.

        Returns:
            The table; columns that `otce.tables` added after it was written are null.

        Raises:
            DamagedError: its bytes are not those that were put.
            StoreError: absent, too large once decoded, or written with other columns.
        """
        data = self.get(key)
        if not _is_whole(data):
            raise DamagedError(
                f"{self.uri}/{key} is damaged (its bytes have another digest); delete it and run "
                "again"
            )
        try:
            table = _decoded(data, f"{self.uri}/{key}")
        except (OSError, pa.ArrowException) as error:
            raise DamagedError(
                f"{self.uri}/{key} is damaged ({error}); delete it and run again"
            ) from error
        table = _completed(table, schema)
        if not table.schema.equals(schema):
            raise StoreError(
                f"{self.uri}/{key} has other columns than this version of otce writes; "
                "read it with the version that wrote it, or use a new store"
            )
        return table

    def put_json(self, key: str, value: Mapping[str, Any]) -> None:
        """Put a mapping as indented JSON.

        Args:
            key: name below the root.
            value: what JSON can hold.

        Raises:
            StoreError: see `put`.
        """
        self.put(key, (json.dumps(value, indent=2) + "\n").encode())

    def probe(self) -> None:
        """Write, read, list and delete a small object, so that a refusal shows before any work.

        Raises:
            StoreError: the store cannot be written, read, listed or deleted from.
        """
        key = f"probe-{uuid4().hex}"
        self.put(key, b"otce")
        if self.get(key) != b"otce":
            raise StoreError(f"{self.uri}: an object was read back with other bytes")
        # Whether it is listed yet does not matter; that listing is allowed does.
        list_paths(join(self.uri, key), self._options)
        self.delete(key)
