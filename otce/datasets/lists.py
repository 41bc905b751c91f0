"""Files that say which items a data set has."""

import posixpath
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np

from otce.datasets.items import listing
from otce.errors import DataError

_MOST_FRAMES: Final = 1_000_000


@dataclass(frozen=True)
class Named:
    """An item that a list names.

    Attributes:
        id: its id.
        paths: image and label below the root; none: where the layout has files of this id.
    """

    id: str
    paths: tuple[str, str] | None = None


@dataclass(frozen=True)
class FileList:
    """A list file.

    Attributes:
        path: below the root.
        parse: from its bytes, and what to call it in errors, to what it names.
    """

    path: str
    parse: Callable[[bytes, str], list[Named]]


def read_text_list(path: str) -> FileList:
    """Describe a text file with one id, or an image path and a label path, a line.

    Args:
        path: below the root.

    Returns:
        The list; its `parse` raises a `DataError` on anything else, and on repeated ids.
    """
    return FileList(path, _text_items)


def read_split_mat(path: str, split: str) -> FileList:
    """Describe the MATLAB file of "Playing for Data" with numbers of frames, from 1.

    Args:
        path: below the root.
        split: `train`, `val` or `test`.

    Returns:
        The list; its `parse` raises a `DataError` when the file is not of that kind.
    """
    return FileList(path, lambda data, where: _split_items(data, where, f"{split}Ids"))


def _text_items(data: bytes, where: str) -> list[Named]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: no text in UTF-8 ({error}); save it as UTF-8") from error
    named = [_named(line.split(), where) for line in text.splitlines() if line.strip()]
    return _checked(named, where, "write one item id a line")


def _named(words: list[str], where: str) -> Named:
    match words:
        case [id_]:
            return Named(id_)
        case [image, label]:
            return Named(posixpath.splitext(image)[0], (image, label))
    raise DataError(
        f"{where}: a line of {len(words)} words ({listing(words)}); write an item id, or an "
        "image path and a label path"
    )


def _checked(named: list[Named], where: str, remedy: str) -> list[Named]:
    if not named:
        raise DataError(f"{where}: the list is empty; {remedy}")
    counts = Counter(item.id for item in named)
    repeated = sorted(id_ for id_, count in counts.items() if count > 1)
    if repeated:
        raise DataError(f"{where}: listed twice: {listing(repeated)}; list every item once")
    return named


def _split_items(data: bytes, where: str, variable: str) -> list[Named]:
    numbers = _mat_numbers(data, where, variable)
    valid = numbers.size and np.issubdtype(numbers.dtype, np.number)
    if not valid or not np.isin(numbers, np.arange(1, _MOST_FRAMES)).all():
        raise DataError(
            f"{where}: {variable} has other values than frame numbers from 1; restore the file "
            "from its origin"
        )
    return _checked([Named(f"{int(n):05d}") for n in numbers.reshape(-1)], where, "restore it")


def _mat_numbers(data: bytes, where: str, variable: str) -> "np.ndarray[Any, Any]":
    from scipy.io import loadmat, whosmat  # noqa: PLC0415 - slow, and for this layout only

    file: Any = BytesIO(data)  # read as well as the paths that its stubs know
    try:
        # Names and shapes first: a small file can unpack to more than fits in memory.
        shapes = {name: shape for name, shape, _ in whosmat(file)}
        if variable in shapes and np.prod(shapes[variable], dtype=float) <= _MOST_FRAMES:
            return np.asarray(loadmat(file, variable_names=[variable])[variable])
    except Exception as error:
        # The reader raises whatever its parsing of a broken file happens upon.
        raise DataError(
            f"{where}: no MATLAB file can be read from it ({error}); restore it from its origin"
        ) from error
    raise DataError(
        f"{where}: no list {variable} of at most {_MOST_FRAMES} frames; found "
        f"{listing([f'{name} {shape}' for name, shape in shapes.items()])}; restore it from its "
        "origin, or leave split out"
    )
