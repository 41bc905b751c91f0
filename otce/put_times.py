"""When the objects below a folder were put, by the clock of their store."""

from datetime import UTC, datetime
from typing import Any, Final

from otce.errors import StoreError
from otce.files import StorageOptions, explained, filesystem

# By what local files, S3, Google, Azure and memory call it.
_NAMES: Final = ("mtime", "LastModified", "last_modified", "updated", "created")


def put_times(uri: str, options: StorageOptions | None = None) -> dict[str, float]:
    """List the objects below a folder with the times of their last put, but for hidden ones.

    Args:
        uri: path or fsspec URI of a folder.
        options: fsspec options by protocol.

    Returns:
        Seconds since 1970 by relative path; empty when the folder does not exist.

    Raises:
        StoreError: the listing is refused, the store unreachable, or it tells no times.
    """
    opened, path = filesystem(uri, options)
    root = path.rstrip("/") + "/"
    with explained("list", uri):
        found = opened.find(root, detail=True)
    return {
        name[len(root) :]: _time_s(entry, uri)
        for name, entry in found.items()
        if name.startswith(root) and not name.rpartition("/")[2].startswith(".")
    }


def _time_s(entry: dict[str, Any], uri: str) -> float:
    told = next((entry[name] for name in _NAMES if entry.get(name) is not None), None)
    if isinstance(told, str):
        told = datetime.fromisoformat(told)
    if isinstance(told, datetime):
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    if isinstance(told, int | float):
        return float(told)
    raise StoreError(f"{uri}: this storage does not tell when objects were put; use another one")
