"""Read a YAML mapping safely and remember where every key stands.

The safe loader alone keeps the last of two equal keys and forgets lines; a configuration error is
only useful with its line, and a duplicate key is always a mistake.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from otce.errors import ConfigError

Path = tuple[str | int, ...]

_MAX_BYTES: Final = 1 << 20
_MAX_NODES: Final = 100_000
_MAX_DEPTH: Final = 40


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
    if len(text) > _MAX_BYTES:
        raise ConfigError(f"{name} has {len(text)} bytes; a configuration has at most {_MAX_BYTES}")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        visits = list(_visit(node, (), 0)) if node is not None else []
        problems = tuple(_duplicates(visits))
        data = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, UnicodeError, RecursionError, ValueError) as error:
        raise ConfigError(f"{name} is not YAML that can be read safely: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{name} holds {type(data).__name__}; expected a mapping of sections")
    return Document(data, {path: _place(key) for path, key, _ in visits}, problems)


def _visit(node: yaml.Node, path: Path, depth: int) -> Iterator[tuple[Path, yaml.Node, bool]]:
    """Yield (path, key node, first time seen in its mapping), refusing bombs of aliases."""
    budget = [_MAX_NODES]
    yield from _visit_within(node, path, depth, budget)


def _visit_within(
    node: yaml.Node, path: Path, depth: int, budget: list[int]
) -> Iterator[tuple[Path, yaml.Node, bool]]:
    budget[0] -= 1
    if budget[0] < 0 or depth > _MAX_DEPTH:
        raise ConfigError(
            f"the configuration nests deeper than {_MAX_DEPTH} levels or expands to more than "
            f"{_MAX_NODES} values; write it flatter"
        )
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            # A merge key brings its mapping's entries to this level.
            here = path if key.tag == "tag:yaml.org,2002:merge" else (*path, str(key.value))
            yield here, key, key.value not in seen
            seen.add(str(key.value))
            yield from _visit_within(value, here, depth + 1, budget)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value, True
            yield from _visit_within(value, (*path, index), depth + 1, budget)


def _duplicates(visits: list[tuple[Path, yaml.Node, bool]]) -> Iterator[str]:
    for path, key, is_first in visits:
        if not is_first:
            dotted = ".".join(map(str, path))
            yield f"{_place(key)}: {dotted}: duplicate key; keep one of the two"


def _place(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"
