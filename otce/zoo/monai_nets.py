"""`monai:<class>` references: networks of MONAI, in two dimensions."""

import inspect
from difflib import get_close_matches
from typing import Any, Final

from torch import nn

from otce.errors import ModelError
from otce.model_config import ModelConfig
from otce.zoo.libraries import library, library_code
from otce.zoo.preprocess import checked
from otce.zoo.reference import Reference
from otce.zoo.weights import fit

# MONAI knows nothing of the input but that it must survive being halved and doubled; five times
# is the deepest of its networks as they come.
_MULTIPLE_PX: Final = 32


def resolve(config: ModelConfig) -> Reference:
    """Look a network up in MONAI.

    Args:
        config: the model; images are flat and coloured unless its arguments say otherwise.

    Returns:
        The reference.

    Raises:
        ModelError: MONAI is absent or has no such network.
    """
    nets = library("monai.networks.nets", "monai")
    class_ = getattr(nets, config.name, None)
    if not (inspect.isclass(class_) and issubclass(class_, nn.Module)):
        close = get_close_matches(config.name, dir(nets), n=5) or ["UNet", "SegResNet", "DynUNet"]
        raise ModelError(
            f"{config.reference}: MONAI has no network {config.name}; it has {', '.join(close)}"
        )
    defaults = {"spatial_dims": 2, "in_channels": 3}
    taken = inspect.signature(class_).parameters
    arguments: dict[str, Any] = {k: v for k, v in defaults.items() if k in taken} | config.arguments

    def build(data: bytes | None) -> nn.Module:
        return fit(class_(**arguments), data, config.weights, config)

    known: dict[str, Any] = {"multiple_px": _MULTIPLE_PX}
    size = arguments.get("img_size")
    if size is not None:
        known["size_px"] = [size, size] if isinstance(size, int) else size
    return Reference(
        code=library_code("monai"),
        build=build,
        weights=config.weights,
        preprocessing=checked(known, config.reference),
    )
