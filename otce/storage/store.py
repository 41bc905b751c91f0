"""Immutable objects and tables under one root, named by the fingerprint of what they hold.

Bytes are deterministic and names are hashes, so writing an object twice is harmless, resuming is
skipping what exists, and no lock, lease, marker or clock is needed.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa

from otce.errors import DamagedError, StoreError
from otce.storage.errors import is_absent
from otce.storage.files import (
    StorageOptions,
    delete,
    exists,
    join,
    read_bytes,
    write_bytes,
)
from otce.storage.listing import entries, list_paths
from otce.storage.table_bytes import decode_table, encode_table

_log: Final = logging.getLogger(__name__)


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

    @property
    def is_in_memory(self) -> bool:
        """Whether only this process sees what is put."""
        return self.uri.startswith("memory://")

    def put(self, key: str, data: bytes) -> None:
        """Put a whole object, replacing an equal one.

        Args:
            key: name below the root, parts separated by `/`.
            data: the bytes.

        Raises:
            StoreError: the store refuses or does not answer; the object is then absent.
        """
        write_bytes(join(self.uri, key), data, self._options)
        self.was_put(key)

    def was_put(self, key: str) -> None:
        """Learn that a worker of this process put an object, which is as good as a put from here.

        Args:
            key: name below the root.
        """
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
        return decode_table(self.get(key), schema, f"{self.uri}/{key}")

    def sound_table(self, key: str, schema: pa.Schema) -> pa.Table | None:
        """Read a table that can be made again; a damaged one is set aside, and told.

        Args:
            key: name below the root.
            schema: what its columns must be, in any order.

        Returns:
            The table; None where it is absent, or now is.

        Raises:
            StoreError: the store refuses or does not answer.
        """
        try:
            return self.get_table(key, schema)
        except DamagedError:
            aside = self.set_aside(key)
            told = "%s/%s is damaged and was set aside as %s; it is made again"
            _log.warning(told, self.uri, key, aside.rpartition("/")[2])
            return None
        except StoreError as error:
            if is_absent(error):
                return None
            raise

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
