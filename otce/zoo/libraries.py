"""Optional model libraries, imported when a reference needs them and not before."""

import importlib
import importlib.util
import sys
from importlib.metadata import version
from types import ModuleType
from typing import Any, Final

import torch

from otce.errors import ModelError
from otce.fingerprint import digest

# Declarations live as long as this.
_DECLARED: Final[list[Any]] = []


def library(module: str, extra: str) -> ModuleType:
    """Import an optional library.

    Args:
        module: what to import.
        extra: the extra of this package that installs it.

    Returns:
        The module.

    Raises:
        ModelError: it is not installed, or does not fit what is.
    """
    try:
        # All but MONAI import torchvision where it is installed, and fail where it cannot be.
        if extra != "monai" and importlib.util.find_spec("torchvision") is not None:
            _import_torchvision()
        return importlib.import_module(module)
    except ImportError as error:
        raise ModelError(
            f"{module} cannot be imported ({error}); pip install 'otce[{extra}]'"
        ) from error
    except RuntimeError as error:
        raise ModelError(
            f"{module} does not fit the installed torch {torch.__version__} ({error}); install "
            f"the release made for it with pip install 'otce[{extra}]'"
        ) from error


def library_code(*distributions: str) -> str:
    """Hash names and versions of libraries: another version may be another network.

    Args:
        distributions: names as installed.

    Returns:
        64 hexadecimal digits.
    """
    # `+cpu` or `+cu130` says for which device it was built, not what it builds.
    found = (f"{name}=={version(name).partition('+')[0]}" for name in distributions)
    return digest(" ".join(found).encode())


def _import_torchvision() -> None:
    """Import torchvision, also where a wheel built for CUDA meets a torch built for CPUs.

    Its library of operators does not load there, and it then describes operators that do not
    exist. Declared without an implementation, they let the import pass: no segmentation network
    uses them. An import that works is left alone.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        declared = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            declared.define(
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        _DECLARED.append(declared)
        importlib.import_module("torchvision")
