"""Identity of recipes and bytes: equal inputs, equal names, on every machine and in every process.

A *fingerprint* is the hash of a recipe (a canonical JSON text of it); a *digest* is the hash of
bytes. A value without a stable form raises, because a key that silently leaves something out
serves old results for new questions.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from otce.errors import ConfigError

# Keys that say that a JSON object stands for something else than a mapping.
_MARKS: Final = {"set", "pairs"}


def digest(data: bytes) -> str:
    """Hash bytes.

    Args:
        data: any bytes.

    Returns:
        SHA-256 as 64 hexadecimal digits.

    Example:
        >>> digest(b"otce")[:12]
        '6184f29dd0cb'
    """
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Canonical:
    """A part of a recipe as it is hashed, for parts that many recipes have in common."""

    value: Any


def canonical(part: Any) -> Canonical:
    """Make a part of recipes canonical once for all of them; none is hashed to another name by it.

    Args:
        part: as for `fingerprint`.

    Returns:
        What stands for it.

    Raises:
        ConfigError: a value has no stable form.

    Example:
        >>> part = {"a": {1, 2}}
        >>> fingerprint({"x": part}) == fingerprint({"x": canonical(part)})
        True
    """
    return Canonical(_canonical(part, "recipe"))


def fingerprint(recipe: Any) -> str:
    """Hash a recipe made of models, mappings, sequences, sets, strings, numbers and None.

    Args:
        recipe: the value; mapping keys and set members in any order.

    Returns:
        32 hexadecimal digits (128 bits), used as an object name.

    Raises:
        ConfigError: a value has no stable form (NaN, bytes, paths, objects, functions).

    Example:
        >>> fingerprint({"a": 1, "b": {2, 3}}) == fingerprint({"b": {3, 2}, "a": 1})
        True
        >>> fingerprint({"a": 1}) == fingerprint({"a": 1.0})
        False
    """
    return digest(canonical_json(recipe).encode())[:32]


def canonical_json(recipe: Any) -> str:
    """Write a recipe as the one JSON text that `fingerprint` hashes.

    Args:
        recipe: as for `fingerprint`.

    Returns:
        Compact JSON; sets, and mappings with other keys than strings, become sorted lists that
        are marked as such, so that no two recipes share a text.

    Raises:
        ConfigError: a value has no stable form.

    Example:
        >>> canonical_json({"ignore": {255, 11}, "map": {7: 0}})
        '{"ignore":{"set":[11,255]},"map":{"pairs":[[7,0]]}}'
    """
    return json.dumps(
        _canonical(recipe, "recipe"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
    )


def _canonical(value: Any, place: str) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{place} is {value}: only finite numbers have a fingerprint")
            return value
        case Canonical():
            return value.value
        case BaseModel():
            return _canonical(dict(value), place)
        case Mapping():
            return _canonical_mapping(value, place)
        case AbstractSet():
            return {"set": sorted((_canonical(v, place) for v in value), key=json.dumps)}
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return [_canonical(v, f"{place}[{i}]") for i, v in enumerate(value)]
    raise ConfigError(
        f"{place} is a {type(value).__name__}, which has no stable form to take a fingerprint of; "
        "use numbers, strings, lists, sets or mappings"
    )


def _canonical_mapping(value: Mapping[Any, Any], place: str) -> Any:
    if all(isinstance(key, str) for key in value) and not _MARKS & set(value):
        return {key: _canonical(v, f"{place}.{key}") for key, v in value.items()}
    pairs = [[_canonical(k, place), _canonical(v, f"{place}[{k}]")] for k, v in value.items()]
    return {"pairs": sorted(pairs, key=json.dumps)}
