"""Read a run from one YAML file; every problem is reported at once, with its place."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic import ValidationError

from otce.config import RunConfig
from otce.errors import ConfigError, StoreError, StoreUnavailableError
from otce.protocols import DEFAULT_PROTOCOLS
from otce.secrets import without_secrets
from otce.section import Section
from otce.storage.files import absolute_uri, read_bytes
from otce.yaml_places import MOST_BYTES, Document, Path, parse, parse_value

_MOST_PROBLEMS: Final = 100
_MOST_CHARACTERS: Final = 80
_KEY: Final = r'(?:"[^"]+"|[^".=]+)'
_OVERRIDE: Final = re.compile(rf"({_KEY}(?:\.{_KEY})*)=(.*)", re.DOTALL)


def load_config(uri: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a configuration file.

    Args:
        uri: path or fsspec URI of a YAML file; relative URIs in it are relative to its folder.
        overrides: `dotted.key=value` texts, values in YAML; quote a key that holds a dot.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: there is no such file, or it has problems: all of them, each with its place.
        StoreUnavailableError: the file cannot be reached; it may be later.
    """
    location = absolute_uri(uri, ".")
    document = parse(_read(location), uri)
    for override in overrides:
        document = _override(document, override)
    execution = document.data.setdefault("execution", {})
    if isinstance(execution, dict):
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(location).stem)
        execution.setdefault("name", stem[:48] or "run")
    return check(document, name=uri, folder=location.rpartition("/")[0] or "/")


def check(document: Document, *, name: str = "configuration", folder: str = ".") -> RunConfig:
    """Turn a parsed document into a configuration, or list everything that is wrong with it.

    Args:
        document: data with the places of its keys.
        name: what to call it in errors.
        folder: what relative URIs are relative to.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: duplicate or unknown keys, bad values and dangling names: all of them, up to
            a hundred.
    """
    config = None
    refused: Iterable[str] = ()
    try:
        context = {"folder": folder, "protocols": _protocols(document)}
        config = RunConfig.model_validate(document.data, context=context)
    except ValidationError as error:
        refused = (_explain(document, dict(detail)) for detail in error.errors())
    found = chain(document.problems, _dangling_names(document), refused)
    # A hostile file can have so many that only to tell them takes minutes.
    problems = list(islice(found, _MOST_PROBLEMS))
    if config is not None and not problems and not config.pairs:
        problems = ["no pair to score: every target is its only models' own source data set"]
    if config is None or problems:
        listing = "".join(f"\n  {problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        most = " (more are not told)" if len(problems) == _MOST_PROBLEMS else ""
        raise ConfigError(f"{name} has {count}{most}:{listing}")
    return config


def _protocols(document: Document) -> Iterable[str]:
    """Allowed protocols; they are wanted before they are checked, as every URI is checked by them.

    What is no list of names allows nothing more than the default, and is refused by its own field.
    """
    execution = document.data.get("execution")
    chosen = execution.get("protocols") if isinstance(execution, dict) else None
    is_list = isinstance(chosen, list) and all(isinstance(name, str) for name in chosen)
    return chosen if is_list and chosen else DEFAULT_PROTOCOLS


def _read(location: str) -> bytes:
    try:
        return read_bytes(location, most_bytes=MOST_BYTES)
    except StoreUnavailableError:
        raise
    except StoreError as error:
        raise ConfigError(str(error)) from error


def _override(document: Document, override: str) -> Document:
    """Apply one `dotted.key=value` to the data, remembering that it came from the command."""
    origin = f"--set {without_secrets(override)}"
    match = _OVERRIDE.fullmatch(override)
    keys = tuple(_unquoted(key) for key in re.findall(_KEY, match[1])) if match else ()
    if match is None or not all(keys):
        raise ConfigError(f"{origin}: expected dotted.key=value, such as score.epsilon=0.2")
    try:
        data = _with_value(document.data, keys, parse_value(match[2], origin))
    except TypeError:
        raise ConfigError(f"{origin}: {match[1]} is not inside a mapping") from None
    places = {path: at for path, at in document.places.items() if path[: len(keys)] != keys}
    for length in range(1, len(keys) + 1):
        places.setdefault(keys[:length], origin)
    return replace(document, data=data, places=places)


def _unquoted(key: str) -> str:
    return key[1:-1] if key.startswith('"') else key.strip()


def _with_value(section: Any, keys: Path, value: Any) -> Any:
    """Copy what is changed: mappings that YAML aliases stand for are one object in many places."""
    if not keys:
        return value
    if not isinstance(section, dict | None):
        raise TypeError
    section = section or {}
    key = next((known for known in section if str(known) == keys[0]), keys[0])
    return section | {key: _with_value(section.get(key), keys[1:], value)}


def _dangling_names(document: Document) -> Iterator[str]:
    """Find ids that no data set has; works on raw data so that it is told with all else."""
    data = document.data
    datasets, models, targets = (data.get(key) for key in ("datasets", "models", "targets"))
    if not isinstance(datasets, dict):
        return
    uses: list[tuple[Path, Any]] = []
    if isinstance(models, dict):
        uses += [
            (("models", str(id_), "source"), model.get("source"))
            for id_, model in models.items()
            # With a signature the source need not be a data set of this run.
            if isinstance(model, dict) and not model.get("signature")
        ]
    if isinstance(targets, list):
        uses += [(("targets", str(index)), target) for index, target in enumerate(targets)]
    measure = data.get("measure")
    if isinstance(measure, dict) and isinstance(measure.get("evaluate"), dict):
        held_back = measure["evaluate"].items()
        uses += [(("measure", "evaluate", str(target)), name) for target, name in held_back]
    many = {str(id_) for id_, d in datasets.items() if isinstance(d, dict) and d.get("by")}
    for path, name in uses:
        if not isinstance(name, str):
            continue
        # Whether a city exists, the storage knows: see otce.datasets.expand.
        if name not in datasets and name.rpartition("/")[0] not in many:
            problem = f"no data set has the id {name!r}{_close(name, datasets)}"
            yield _problem(document, path, problem)
        elif name in many and path[0] == "models":
            problem = f"{name!r} stands for many data sets; name one of them as {name}/<part>"
            yield _problem(document, path, problem)
    ids = Counter(name for path, name in uses if path[0] == "targets" and isinstance(name, str))
    for name in sorted(name for name, count in ids.items() if count > 1):
        yield _problem(document, ("targets",), f"{name!r} is listed twice")


def _explain(document: Document, detail: Mapping[str, Any]) -> str:
    path = tuple(str(part) for part in detail["loc"] if part != "[key]")
    if path[:1] == ("datasets",):
        # Between the data set's id and its keys pydantic names the layout it was taken for.
        path = path[:2] + path[3:]
    match detail["type"]:
        case "extra_forbidden":
            message = f"unknown key{_close(path[-1], _known_keys())}"
        case "missing":
            message = "is missing"
        case "value_error":
            message = str(detail["ctx"]["error"])
        case _:
            message = (
                f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, found {_brief(detail, path)}"
            )
    return _problem(document, path, message)


def _brief(detail: Mapping[str, Any], path: Path) -> str:
    if "storage_options" in path:
        return type(detail["input"]).__name__  # what stands there may be a secret
    text = repr(detail["input"])
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def _problem(document: Document, path: Path, message: str) -> str:
    place = next(
        (p for n in range(len(path), 0, -1) if (p := document.places.get(path[:n]))), "the top"
    )
    return f"{place}: {'.'.join(path)}: {message}"


def _known_keys(section: type[Section] = Section) -> list[str]:
    inner = {name for below in section.__subclasses__() for name in _known_keys(below)}
    return sorted(inner | section.model_fields.keys())


def _close(name: Any, known: Iterable[Any]) -> str:
    names = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), names, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(names[:20])}"
