"""Read a run from one YAML file; every problem is reported at once, with its place."""

import csv
import difflib
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from otce.config import RunConfig, Section
from otce.errors import ConfigError
from otce.files import absolute_uri, read_bytes
from otce.yaml_places import Document, Path, parse


def load_config(uri: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a configuration file.

    Args:
        uri: path or fsspec URI of a YAML file; relative URIs in it are relative to its folder.
        overrides: `dotted.key=value` texts, values in YAML; quote a key that holds a dot.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: lists every problem found, each with its place.
    """
    location = absolute_uri(uri, ".")
    document = parse(read_bytes(location), uri)
    for override in overrides:
        _override(document, override)
    execution = document.data.setdefault("execution", {})
    if isinstance(execution, dict):
        execution.setdefault("name", PurePosixPath(urlsplit(location).path).stem[:48])
    return check(document, name=uri, folder=location.rpartition("/")[0])


def check(document: Document, *, name: str = "configuration", folder: str = ".") -> RunConfig:
    """Turn a parsed document into a configuration, or list everything that is wrong with it.

    Args:
        document: data with the places of its keys.
        name: what to call it in errors.
        folder: what relative URIs are relative to.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: duplicate or unknown keys, bad values and dangling names, all of them.
    """
    problems = [*document.problems, *_dangling_names(document)]
    config = None
    try:
        config = RunConfig.model_validate(document.data, context={"folder": folder})
    except ValidationError as error:
        problems += [_explain(document, dict(detail)) for detail in error.errors()]
    if config is not None and not config.pairs:
        problems.append("no pair to score: every target is its only models' own source data set")
    if config is None or problems:
        listing = "".join(f"\n  {problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{name} has {count}:{listing}")
    return config


def _override(document: Document, override: str) -> None:
    """Apply one `dotted.key=value` to the data, remembering that it came from the command."""
    dotted, separator, text = override.partition("=")
    keys = next(csv.reader([dotted.strip()], delimiter="."), [])
    if not separator or not all(keys) or not keys:
        raise ConfigError(f"--set {override}: expected dotted.key=value, such as score.epsilon=0.2")
    section: Any = document.data
    for key in keys[:-1]:
        section = section.setdefault(key, {}) if isinstance(section, dict) else None
    if not isinstance(section, dict):
        raise ConfigError(
            f"--set {override}: {dotted} is not inside a mapping of the configuration"
        )
    try:
        section[keys[-1]] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: {text} is not a YAML value: {error}") from error
    document.places[tuple(keys)] = f"--set {override}"


def _dangling_names(document: Document) -> list[str]:
    """Find ids that no data set has; works on raw data so that it is told with all else."""
    data = document.data
    datasets, models, targets = (data.get(key) for key in ("datasets", "models", "targets"))
    if not isinstance(datasets, dict):
        return []
    uses: list[tuple[Path, Any]] = []
    if isinstance(models, dict):
        uses += [
            (("models", str(id_), "source"), model.get("source"))
            for id_, model in models.items()
            if isinstance(model, dict) and "source" in model
        ]
    if isinstance(targets, list):
        uses += [(("targets", index), target) for index, target in enumerate(targets)]
        uses_twice = {t for t in targets if isinstance(t, str) and targets.count(t) > 1}
    else:
        uses_twice = set()
    problems = [
        _problem(document, path, f"no data set has the id {name!r}{_close(name, datasets)}")
        for path, name in uses
        if name not in datasets
    ]
    return problems + [
        _problem(document, ("targets",), f"{name!r} is listed twice") for name in sorted(uses_twice)
    ]


def _explain(document: Document, detail: Mapping[str, Any]) -> str:
    path = tuple(part for part in detail["loc"] if part not in {"folder", "scenes"})
    match detail["type"]:
        case "extra_forbidden":
            message = f"unknown key{_close(str(path[-1]), _known_keys())}"
        case "missing":
            message = "is missing"
        case _:
            message = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, found {detail['input']!r}"
    return _problem(document, path, message)


def _problem(document: Document, path: Path, message: str) -> str:
    place = next(
        (p for n in range(len(path), 0, -1) if (p := document.places.get(path[:n]))), "the top"
    )
    return f"{place}: {'.'.join(map(str, path))}: {message}"


def _known_keys() -> list[str]:
    return sorted({name for section in Section.__subclasses__() for name in section.model_fields})


def _close(name: Any, known: Iterable[Any]) -> str:
    names = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), names, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(names[:20])}"
