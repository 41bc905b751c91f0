"""Bytes at any fsspec URI: paths made absolute, objects read and put whole, errors explained.

An object is put whole: locally a temporary file beside the target, fsync and `os.replace`;
remotely one `pipe_file`. So a reader finds a complete object or none.
"""

import os
import posixpath
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final
from urllib.parse import urlsplit

import fsspec
from fsspec.asyn import AsyncFileSystem

from otce.errors import StoreError
from otce.storage.errors import explained
from otce.storage.traffic import READ

StorageOptions = Mapping[str, Mapping[str, Any]]
"""fsspec options by protocol."""

_EXTRAS: Final = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
}
# Another writer's new object would stay invisible behind a cached listing.
_FRESH: Final[Mapping[str, Any]] = {"use_listings_cache": False}
# botocore waits longer the busier a bucket is, and s3fs goes over the whole again up to five times:
# a store that refuses for ever is given up after about a minute, one that stalls after about five.
_S3_WAITING: Final[Mapping[str, Any]] = {
    "retries": {"mode": "adaptive", "max_attempts": 3},
    "connect_timeout": 5,
    "read_timeout": 15,
}
OPERATION_LIMIT_S: Final = 900.0
"""Longest time for one operation on a remote store, all its retries together."""


def absolute_uri(uri: str, folder: str) -> str:
    """Make a path or URI independent of where it was written.

    Args:
        uri: a URI (kept), an absolute path (kept), a path under `~`, or a relative path.
        folder: path or URI that a relative path is relative to.

    Returns:
        An absolute path or a URI.

    Example:
        >>> absolute_uri("../weights/a.safetensors", "s3://zoo/runs")
        's3://zoo/weights/a.safetensors'
    """
    if "://" in uri:
        return uri
    path = os.path.expanduser(uri)  # noqa: PTH111 - URIs are no pathlib paths
    if "://" in folder and not os.path.isabs(path):  # noqa: PTH117
        protocol, _, rest = folder.partition("://")
        bucket, _, below = rest.partition("/")
        joined = posixpath.normpath(posixpath.join("/", below, path))
        return f"{protocol}://{bucket}{joined}"
    return os.path.abspath(os.path.join(folder, path))  # noqa: PTH100, PTH118


def join(root: str, relative: str) -> str:
    """Join a root path or URI and a relative path below it.

    Args:
        root: path or URI of a folder.
        relative: path below it.

    Returns:
        The path or URI.

    Raises:
        StoreError: the path would leave the root.

    Example:
        >>> join("s3://data/city/", "images/a.png")
        's3://data/city/images/a.png'
    """
    clean = posixpath.normpath(relative)
    if clean.startswith(("/", "..")):
        raise StoreError(f"{relative} is not below {root}; write paths below the root")
    return root.rstrip("/") + ("" if clean == "." else f"/{clean}")


def filesystem(uri: str, options: StorageOptions | None = None) -> tuple[Any, str]:
    """Open the file system of a URI.

    Args:
        uri: path or fsspec URI.
        options: fsspec options by protocol.

    Returns:
        The fsspec file system, and the path on it.

    Raises:
        StoreError: an unknown protocol, or one whose extra is not installed.
    """
    protocol = urlsplit(uri).scheme if "://" in uri else "file"
    chosen = _with_defaults(protocol, (options or {}).get(protocol, {}))
    try:
        opened, path = fsspec.core.url_to_fs(uri, **chosen)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"pip install 'otce[{extra}]'" if extra else "install the package it names"
        raise StoreError(
            f"{uri}: {protocol} storage is not installed ({error}); {remedy}"
        ) from error
    except ValueError as error:
        raise StoreError(f"{uri}: {error}; use a path or a URI that fsspec knows") from error
    return opened, str(path)


def _with_defaults(protocol: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete options with what suits a run; what was given goes first, also inside botocore's."""
    chosen = {**(_FRESH if protocol in _EXTRAS else {}), **given}
    if _EXTRAS.get(protocol) == "s3":
        chosen["config_kwargs"] = {**_S3_WAITING, **given.get("config_kwargs", {})}
    # botocore writes into what it is given.
    return deepcopy(chosen)


def in_time(opened: Any) -> dict[str, float]:
    """Limit an operation in time, where it is one on a remote store.

    Args:
        opened: a file system.

    Returns:
        A keyword argument for any of its operations; none for local ones.
    """
    return {"timeout": OPERATION_LIMIT_S} if isinstance(opened, AsyncFileSystem) else {}


def read_bytes(
    uri: str,
    options: StorageOptions | None = None,
    *,
    most_bytes: int | None = None,
    first_bytes: int | None = None,
) -> bytes:
    """Read one object, whole or its beginning.

    Args:
        uri: path or fsspec URI.
        options: fsspec options by protocol.
        most_bytes: a larger object is refused before it is read; costs a look-up.
        first_bytes: only so many bytes are read; none: all.

    Returns:
        Its bytes.

    Raises:
        StoreError: it is absent, refused, too large or unreachable.
    """
    opened, path = filesystem(uri, options)
    with explained("read", uri):
        if most_bytes is not None and (size := _size_bytes(opened, path)) > most_bytes:
            raise StoreError(f"{uri} has {size} bytes; at most {most_bytes} are read; shorten it")
        data = bytes(opened.cat_file(path, end=first_bytes, **in_time(opened)))
    READ.add(len(data))
    return data


def size_bytes(uri: str, options: StorageOptions | None = None) -> int:
    """Look up how large an object is, without reading it.

    Args:
        uri: path or fsspec URI.
        options: fsspec options by protocol.

    Returns:
        Its size.

    Raises:
        StoreError: it is absent, refused or unreachable.
    """
    opened, path = filesystem(uri, options)
    with explained("read", uri):
        return _size_bytes(opened, path)


def _size_bytes(opened: Any, path: str) -> int:
    # Not `size`, which takes no time limit in adlfs, where a folder has None for a size.
    return int(opened.info(path, **in_time(opened))["size"] or 0)


def exists(uri: str, options: StorageOptions | None = None) -> bool:
    """Say whether there is an object.

    Args:
        uri: path or fsspec URI.
        options: fsspec options by protocol.

    Returns:
        True when there is one.

    Raises:
        StoreError: refused or unreachable.
    """
    opened, path = filesystem(uri, options)
    with explained("look for", uri):
        return bool(opened.exists(path, **in_time(opened)))


def write_bytes(uri: str, data: bytes, options: StorageOptions | None = None) -> None:
    """Put one whole object, replacing what was there.

    Args:
        uri: path or fsspec URI.
        data: the bytes.
        options: fsspec options by protocol.

    Raises:
        StoreError: refused or unreachable; nothing is then under that name.
    """
    opened, path = filesystem(uri, options)
    protocols = (opened.protocol,) if isinstance(opened.protocol, str) else opened.protocol
    with explained(f"write {len(data)} bytes to", uri):
        if "file" in protocols:
            _replace_file(path, data)
        else:
            opened.pipe_file(path, data, **in_time(opened))


def delete(uri: str, options: StorageOptions | None = None) -> None:
    """Delete one object.

    Args:
        uri: path or fsspec URI.
        options: fsspec options by protocol.

    Raises:
        StoreError: absent, refused or unreachable.
    """
    opened, path = filesystem(uri, options)
    with explained("delete", uri):
        opened.rm_file(path, **in_time(opened))


def _replace_file(path: str, data: bytes) -> None:
    folder = posixpath.dirname(path)
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    # The dot keeps a file that a crash left behind out of every reader's glob.
    descriptor, temporary = tempfile.mkstemp(prefix=".", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
