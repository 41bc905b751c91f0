"""Objects of a store with their sizes and ages, and their deletion."""

import posixpath
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import uuid4

from otce.errors import StoreError
from otce.storage.errors import explained
from otce.storage.files import StorageOptions, filesystem, in_time, join, write_bytes

# What file systems call the time of the last write; a store that keeps none has none of them.
_MODIFIED: Final = ("mtime", "LastModified", "last_modified", "updated", "created")
_AT_ONCE: Final = 1000
"""Most keys that S3 deletes by one request."""


class Entry(NamedTuple):
    """One object as a listing shows it."""

    name: str
    """Relative to the listed folder."""
    n_bytes: int
    modified_s: float | None
    """When it was written by the store's clock, seconds since 1970; None: the store does not say.
    """


def entries(uri: str, options: StorageOptions | None = None) -> list[Entry]:
    """List the objects below a folder, but for hidden ones.

    A name that starts with a dot is a file half written, or one of the operating system.

    Args:
        uri: path or fsspec URI of a folder.
        options: fsspec options by protocol.

    Returns:
        The objects in order of names; none when the folder does not exist.

    Raises:
        StoreError: the listing is refused or the store unreachable.
    """
    opened, path = filesystem(uri, options)
    start = path.rstrip("/") + "/"
    with explained("list", uri):
        found = opened.find(start, detail=True, **in_time(opened))
    # adlfs answers with the name of an object that stands where the folder should.
    below = found.items() if isinstance(found, dict) else ()
    return sorted(
        Entry(str(name)[len(start) :], int(entry.get("size") or 0), _modified_s(entry))
        for name, entry in below
        if str(name).startswith(start) and not posixpath.basename(str(name)).startswith(".")
    )


def list_paths(uri: str, options: StorageOptions | None = None) -> list[str]:
    """List the files below a folder, relative to it and sorted, but for hidden ones.

    Args:
        uri: path or fsspec URI of a folder.
        options: fsspec options by protocol.

    Returns:
        Relative paths; empty when the folder does not exist.

    Raises:
        StoreError: the listing is refused or the store unreachable.
    """
    return [entry.name for entry in entries(uri, options)]


def now_s(root: str, options: StorageOptions | None = None) -> float | None:
    """Ask a store what time it is, by writing a small object and deleting it again.

    Args:
        root: path or fsspec URI of the store.
        options: fsspec options by protocol.

    Returns:
        Seconds since 1970 by the store's own clock; None: it does not tell times.

    Raises:
        StoreError: the store refuses or does not answer.
    """
    uri = join(root, f"probe-{uuid4().hex}")
    write_bytes(uri, b"otce", options)
    opened, path = filesystem(uri, options)
    with explained("look up", uri):
        found = _modified_s(opened.info(path))
        opened.rm_file(path)
    return found


def delete(root: str, names: Sequence[str], options: StorageOptions | None = None) -> None:
    """Delete objects.

    Args:
        root: path or fsspec URI of the store.
        names: relative to it.
        options: fsspec options by protocol.

    Raises:
        StoreError: the store refuses or does not answer; some may be deleted then.
    """
    opened, _ = filesystem(root, options)
    paths = [filesystem(join(root, name), options)[1] for name in names]
    with explained("delete in", root):
        for start in range(0, len(paths), _AT_ONCE):
            opened.rm(paths[start : start + _AT_ONCE])
        # Of a request for many S3 tells refusals in its answer only, which s3fs does not raise.
        if paths and opened.exists(paths[-1]):
            raise StoreError(f"{root}: {names[-1]} was not deleted; check the right to delete")


def _modified_s(entry: dict[str, Any]) -> float | None:
    for name in _MODIFIED:
        match entry.get(name):
            case datetime() as when:
                return when.timestamp()
            case int() | float() as seconds:
                return float(seconds)
            case str() as text:
                return datetime.fromisoformat(text).timestamp()
    return None
