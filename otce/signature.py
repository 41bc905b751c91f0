"""Source signatures: the drawn features and labels of a model's source side, kept as safetensors.

One format for both places: an object of the store holds one draw, a file that travels with a
checkpoint holds all of them. Features are float32 exactly as extracted, labels and positions of
images int32; bytes are deterministic and carry their own digest. Nothing in them is executed.

Legend: `N` drawn pixels, `D` feature dimensions, `K` draws.
"""

import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import safetensors
import safetensors.numpy
from pydantic import ValidationError

from otce.draw import Draw
from otce.errors import DamagedError, ModelError
from otce.fingerprint import canonical_json, digest
from otce.identity import Signature, signature_fingerprint
from otce.storage.files import StorageOptions, join, read_bytes, size_bytes
from otce.storage.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The one key of safetensors' metadata: of several, the library writes the order at random.
_KEY: Final = "otce.signature"
# Its text starts with the digest of the whole file, taken while zeros stood in its place.
_MARK: Final = f'"{_KEY}":"'.encode()
_NO_DIGEST: Final = "0" * 64
_NUMBER: Final = re.compile("0|[1-9][0-9]{0,5}", re.ASCII)
_LARGEST_HEADER_BYTES: Final = 1 << 20
_LONGEST_VALUE: Final = 72
_TENSORS_A_DRAW: Final = 3


@dataclass(frozen=True)
class Contents:
    """What a signature holds.

    Attributes:
        signature: whose source side it is.
        repetitions: which draws, ascending.
        feature_dim: D.
    """

    signature: Signature
    repetitions: tuple[int, ...]
    feature_dim: int


def draw_key(signature: Signature, repetition: int) -> str:
    """Name the object of one draw in a store.

    Args:
        signature: whose source side it is.
        repetition: which draw, from 0.

    Returns:
        Key below the root of the store.
    """
    return f"features/{signature_fingerprint(signature)}/{repetition}.safetensors"


def kept_uris(signature: Signature, repetitions: int, store: Store) -> tuple[str, ...]:
    """Find the kept draws of a model's source side.

    Args:
        signature: the source side.
        repetitions: K.
        store: where draws are kept.

    Returns:
        URIs of the objects of K draws; none when not all of them are there.

    Raises:
        StoreError: the store does not answer.
    """
    keys = [draw_key(signature, repetition) for repetition in range(repetitions)]
    folder = keys[0].rpartition("/")[0]
    present = {f"{folder}/{name}" for name in store.names(folder)}
    return tuple(join(store.uri, key) for key in keys) if present.issuperset(keys) else ()


def encode(signature: Signature, draws: Mapping[int, Draw]) -> bytes:
    """Encode draws, the same bytes for the same draws.

    Args:
        signature: whose source side it is.
        draws: by repetition, all of one dimension; at least one.

    Returns:
        A safetensors file with a description and a digest of the whole.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for repetition, draw in draws.items():
        tensors[f"features.{repetition}"] = np.ascontiguousarray(draw.features, np.float32)
        tensors[f"labels.{repetition}"] = np.ascontiguousarray(draw.labels, np.int32)
        tensors[f"items.{repetition}"] = np.ascontiguousarray(draw.items, np.int32)
    text = json.dumps(signature.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    data: bytes = safetensors.numpy.save(tensors, {_KEY: _NO_DIGEST + text})
    return _with_digest(data, digest(data))


def decode(data: bytes, where: str) -> tuple[Contents, dict[int, Draw]]:
    """Decode draws after seeing that their bytes are whole.

    Args:
        data: what `encode` gave.
        where: where they are from, for errors.

    Returns:
        What they hold, and the draws by repetition.

    Raises:
        DamagedError: damaged, or no signature.
    """
    contents = described(data, where)
    if _with_digest(data, digest(_with_digest(data, _NO_DIGEST))) != data:
        raise _damaged(where, "its bytes have another digest")
    try:
        # Sizes and offsets of the header are held against the file before anything is allocated.
        tensors = safetensors.numpy.load(data)
        draws = {
            k: Draw(tensors[f"features.{k}"], tensors[f"labels.{k}"], tensors[f"items.{k}"])
            for k in contents.repetitions
        }
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise _damaged(where, str(error)) from error
    n_classes = len(contents.signature.classes)
    for k, draw in draws.items():
        if not ((draw.labels >= 0) & (draw.labels < n_classes)).all():
            raise _damaged(where, f"draw {k} has labels outside its {n_classes} classes")
        if (draw.items < 0).any():
            raise _damaged(where, f"draw {k} has pixels of images before the first")
    return contents, draws


def described(data: bytes, where: str) -> Contents:
    """Read the description from the beginning of a signature; the arrays are not looked at.

    Args:
        data: at least its first MiB, or all of a smaller one.
        where: where it is from, for errors.

    Returns:
        What it says that it holds.

    Raises:
        DamagedError: no signature, or one of another version of otce.
    """
    header = _header(data, where)
    metadata = header.pop("__metadata__", None)
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise _damaged(where, f"no {_KEY} is among its metadata")
    try:
        signature = Signature.model_validate_json(text[len(_NO_DIGEST) :])
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise _damaged(where, f"its description is not as this otce's: {place}") from error
    repetitions, dims = _draws(header, where)
    return Contents(signature, repetitions, dims)


def read_contents(uri: str, options: StorageOptions | None, most_bytes: int) -> Contents:
    """Read what a signature file says that it holds, without its arrays.

    Args:
        uri: path or fsspec URI.
        options: fsspec options by protocol.
        most_bytes: the largest file that will be read.

    Returns:
        Its description; whether the arrays are whole shows when they are decoded.

    Raises:
        ModelError: it is larger.
        StoreError: it cannot be read, or is no signature.
    """
    if (size := size_bytes(uri, options)) > most_bytes:
        raise ModelError(
            f"{uri} takes {size} bytes, more than max_weights_bytes {most_bytes} allows; raise it "
            "if the file is what you think it is"
        )
    return described(read_bytes(uri, options, first_bytes=_LARGEST_HEADER_BYTES), uri)


def read_whole(
    uris: Sequence[str], options: StorageOptions | None, most_bytes: int | None = None
) -> tuple[Contents, dict[int, Draw]]:
    """Read draws from objects of one source side: a file of all, or one object a draw.

    Args:
        uris: paths or fsspec URIs, at least one.
        options: fsspec options by protocol.
        most_bytes: larger objects are refused before they are read; none: all are read.

    Returns:
        What they hold together, and the draws by repetition.

    Raises:
        StoreError: one cannot be read, is damaged or no signature.
        ModelError: they are of different source sides.
    """
    parts = [decode(read_bytes(uri, options, most_bytes=most_bytes), uri) for uri in uris]
    first = parts[0][0]
    for uri, (contents, _) in zip(uris, parts, strict=True):
        refuse_other(contents, first.signature, (), uri)
    draws = {repetition: draw for _, found in parts for repetition, draw in found.items()}
    return Contents(first.signature, tuple(sorted(draws)), first.feature_dim), draws


def refuse_other(
    contents: Contents, wanted: Signature, repetitions: Iterable[int], where: str
) -> None:
    """Hold a signature against the source side that a run needs.

    Args:
        contents: what is there.
        wanted: what is needed.
        repetitions: which draws are needed.
        where: where the signature is, for errors.

    Raises:
        ModelError: anything differs; all differences are told together.
    """
    problems = [
        f"{name} is {_brief(found)} there and {_brief(needed)} here"
        for (name, found), (_, needed) in zip(contents.signature, wanted, strict=True)
        if canonical_json(found) != canonical_json(needed)
    ]
    absent = sorted(set(repetitions) - set(contents.repetitions))
    if absent:
        problems.append(f"{len(contents.repetitions)} draws are there and {absent[-1] + 1} needed")
    if problems:
        raise ModelError(
            f"{where} is the signature of another source side: {'; '.join(problems)}; use the file "
            "of this model and recipe, change the configuration, or rank with the source images"
        )


def _header(data: bytes, where: str) -> dict[str, Any]:
    size = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0  # noqa: PLR2004 - a u64
    if not 0 < size <= min(_LARGEST_HEADER_BYTES, len(data)) - 8:
        raise _damaged(where, f"no header of at most {_LARGEST_HEADER_BYTES} bytes")
    try:
        header = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"its header is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise _damaged(where, "its header is no mapping")
    return header


def _draws(header: Mapping[str, Any], where: str) -> tuple[tuple[int, ...], int]:
    """Repetitions and dimension that the tensors of a header stand for; all else is refused."""
    dims: dict[int, int] = {}
    for name, features in header.items():
        kind, _, number = name.partition(".")
        match features, header.get(f"labels.{number}"), header.get(f"items.{number}"):
            case (
                {"dtype": "F32", "shape": [int(n_features), int(dim)]},
                {"dtype": "I32", "shape": [int(n_labels)]},
                {"dtype": "I32", "shape": [int(n_items)]},
            ) if (
                kind == "features"
                and n_features == n_labels == n_items
                and _NUMBER.fullmatch(number)
            ):
                dims[int(number)] = dim
    if len(set(dims.values())) != 1 or len(header) != _TENSORS_A_DRAW * len(dims):
        raise _damaged(where, "its tensors are not the features, labels and items of draws")
    return tuple(sorted(dims)), next(iter(dims.values()))


def _with_digest(data: bytes, text: str) -> bytes:
    start = data.find(_MARK) + len(_MARK)
    return data[:start] + text.encode() + data[start + len(text) :]


def _damaged(where: str, reason: str) -> DamagedError:
    return DamagedError(
        f"{where} is damaged or no signature ({reason}); delete it and run again, or export it anew"
    )


def _brief(value: object) -> str:
    text = json.dumps(value.model_dump() if hasattr(value, "model_dump") else value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
