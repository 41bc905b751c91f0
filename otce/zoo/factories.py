"""Networks from `python:module:function` references: code of the user's own."""

import importlib
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path

from torch import nn

from otce.errors import ModelError
from otce.fingerprint import digest
from otce.model_config import ModelConfig
from otce.zoo.reference import Reference
from otce.zoo.weights import fit


def resolve(config: ModelConfig, python_path: Iterable[str]) -> Reference:
    """Find a factory.

    Args:
        config: the model's configuration.
        python_path: folders searched before the environment.

    Returns:
        The reference; its code is the digest of the factory's module.

    Raises:
        ModelError: the module cannot be imported.
    """
    folders = list(python_path)

    def load(data: bytes | None) -> nn.Module:
        return fit(build(config, folders), data, config.weights, config)

    return Reference(code=_digest(config, folders), build=load, weights=config.weights)


def _digest(config: ModelConfig, python_path: Iterable[str]) -> str:
    """Hash the source of the factory's module: equal weights in changed code are another model."""
    file = getattr(_import(config, python_path), "__file__", None)
    return digest(Path(file).read_bytes() if file else config.reference.encode())


def build(config: ModelConfig, python_path: Iterable[str]) -> nn.Module:
    """Call a model's factory.

    Args:
        config: the model's configuration.
        python_path: folders searched before the environment.

    Returns:
        The network with the weights that the factory gave it.

    Raises:
        ModelError: not importable, or not a network.
    """
    module = _import(config, python_path)
    name = config.name.rpartition(":")[2]
    factory: Callable[..., object] | None = getattr(module, name, None)
    if factory is None:
        close = get_close_matches(name, dir(module), n=3) or [n for n in dir(module) if n[0] != "_"]
        raise ModelError(
            f"{config.reference}: the module has no function {name}; it has {', '.join(close[:8])}"
        )
    try:
        network = factory(**config.arguments)
    except Exception as error:
        # A factory is somebody else's code: whatever it raises is this model's failure.
        raise ModelError(
            f"{config.reference} called with {config.arguments} failed: "
            f"{type(error).__name__}: {error}; mend the factory or its arguments"
        ) from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"{config.reference} returned a {type(network).__name__}; it must return a "
            "torch.nn.Module"
        )
    return network


def _import(config: ModelConfig, python_path: Iterable[str]) -> object:
    for folder in reversed(list(python_path)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    name = config.name.partition(":")[0]
    try:
        return importlib.import_module(name)
    except Exception as error:
        # Importing runs somebody else's code, which may raise anything.
        raise ModelError(
            f"{config.reference}: cannot import {name} ({type(error).__name__}: {error}); it is "
            f"looked for in {', '.join(python_path)} and in the environment; set "
            "execution.python_path"
        ) from error
