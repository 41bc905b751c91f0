"""Read a YAML mapping safely and remember where every key stands.

The safe loader alone keeps the last of two equal keys and forgets lines; a configuration error is
only useful with its line, and a duplicate key is always a mistake.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from otce.errors import ConfigError

Path = tuple[str, ...]
"""Keys from the root to a value; items of a list by their position."""
_Visit = tuple[Path, yaml.Node, bool]
"""Path, node that says where it stands, whether it is the first of its name in its mapping."""

MOST_BYTES: Final = 1 << 20
_MAX_NODES: Final = 100_000
_MAX_DEPTH: Final = 40
_MAX_DIGITS: Final = 100
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
# The safe loader lets through whatever its converters of numbers, dates and sets raise.
_NOT_YAML: Final = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class _UnsafeError(Exception):
    """YAML that would take too long to build, or keys that cannot be told."""


@dataclass(frozen=True)
class Document:
    """A parsed configuration and the place of each of its values.

    Attributes:
        data: the mapping at the root.
        places: "line L, column C" of every key path.
        problems: what is wrong with the text itself, each with its place.
    """

    data: dict[Any, Any]
    places: dict[Path, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def parse(text: bytes, name: str) -> Document:
    """Parse YAML text by the safe loader.

    Args:
        text: the bytes of the file, at most 1 MiB.
        name: what to call the file in errors.

    Returns:
        The document, with duplicate keys listed in `problems`.

    Raises:
        ConfigError: not YAML, not a mapping, too large, too deep or too many aliases.
    """
    data, visits = _load(text, name)
    if not isinstance(data, dict):
        raise ConfigError(f"{name} holds {type(data).__name__}; expected a mapping of sections")
    places = {path: _place(key) for path, key, _ in visits}
    return Document(data, places, tuple(_duplicates(visits)))


def parse_value(text: str, name: str) -> Any:
    """Parse one YAML value, as safely as a document.

    Args:
        text: the value.
        name: what to call it in errors.

    Returns:
        The value.

    Raises:
        ConfigError: not YAML, too large, too deep, too many aliases or a duplicate key.
    """
    data, visits = _load(text.encode(errors="surrogateescape"), name)
    for problem in _duplicates(visits):
        raise ConfigError(f"{name}: {problem}")
    return data


def _load(text: bytes, name: str) -> tuple[Any, list[_Visit]]:
    if len(text) > MOST_BYTES:
        raise ConfigError(f"{name} has {len(text)} bytes; a configuration has at most {MOST_BYTES}")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, []
        visits = list(_visit(node, (), 0, [_MAX_NODES]))
        return loader.construct_document(node), visits
    except _UnsafeError as error:
        raise ConfigError(f"{name}: {error}") from error
    except _NOT_YAML as error:
        raise ConfigError(f"{name} is not YAML that can be read safely: {error}") from error


def _visit(node: yaml.Node, path: Path, depth: int, budget: list[int]) -> Iterator[_Visit]:
    """Walk what the text expands to, refusing what would take for ever to build."""
    budget[0] -= 1
    if budget[0] < 0 or depth > _MAX_DEPTH:
        raise _UnsafeError(
            f"nests deeper than {_MAX_DEPTH} levels or expands to more than {_MAX_NODES} values; "
            "write it flatter"
        )
    if isinstance(node, yaml.MappingNode):
        yield from _visit_mapping(node, path, depth, budget)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, str(index))
            yield here, value, True
            yield from _visit(value, here, depth + 1, budget)
    else:
        _refuse_long_number(node)


def _visit_mapping(
    node: yaml.MappingNode, path: Path, depth: int, budget: list[int]
) -> Iterator[_Visit]:
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _UnsafeError(f"{_place(key)}: a list or mapping as a key; keys are words")
        # A merge key brings its mapping's entries to this level.
        here = path if key.tag == "tag:yaml.org,2002:merge" else (*path, key.value)
        yield here, key, key.value not in seen
        seen.add(key.value)
        _refuse_long_number(key)
        yield from _visit(value, here, depth + 1, budget)


def _refuse_long_number(node: yaml.Node) -> None:
    if node.tag != _TEXT_TAG and len(node.value) > _MAX_DIGITS:
        raise _UnsafeError(
            f"{_place(node)}: a number or date of {len(node.value)} characters; write at most "
            f"{_MAX_DIGITS}, or quote it"
        )


def _duplicates(visits: list[_Visit]) -> Iterator[str]:
    for path, key, is_first in visits:
        if not is_first:
            yield f"{_place(key)}: {'.'.join(path)}: duplicate key; keep one of the two"


def _place(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"
