"""`torchvision:<builder>[/<weights>]` references."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from otce.errors import ModelError
from otce.model_config import ModelConfig, Preprocessing
from otce.zoo.libraries import library, library_code
from otce.zoo.reference import Reference
from otce.zoo.weights import fit


def resolve(config: ModelConfig) -> Reference:
    """Look a segmentation network up in torchvision.

    Args:
        config: the model.

    Returns:
        The reference; named weights bring their classes and their transforms.

    Raises:
        ModelError: torchvision is absent, has no such network or weights, or cannot fetch them.
    """
    models = library("torchvision.models", "torchvision")
    segmentation = library("torchvision.models.segmentation", "torchvision")
    builder, _, weights_name = config.name.partition("/")
    _one_of(models.list_models(module=segmentation), builder, config)
    arguments: dict[str, Any] = {"weights": None, "weights_backbone": None} | config.arguments
    weights, preprocessing = config.weights, Preprocessing()
    if weights_name:
        named = _weights(models.get_model_weights(builder), weights_name, config)
        arguments = {
            "num_classes": len(named.meta["categories"]),
            # Checkpoints with an auxiliary head say so by its weights alone.
            "aux_loss": not builder.startswith("lraspp"),
        } | arguments
        if builder.startswith("lraspp"):
            del arguments["aux_loss"]
        weights = weights or str(_fetched(named.url))
        transforms = named.transforms()
        preprocessing = Preprocessing(
            shortest_px=transforms.resize_size[0],
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
        )

    def build(data: bytes | None) -> torch.nn.Module:
        network = models.get_model_builder(builder)(**arguments)
        return fit(network, data, weights, config)

    return Reference(
        code=library_code("torchvision"),
        build=build,
        weights=weights,
        preprocessing=preprocessing,
    )


def _weights(enumeration: Any, name: str, config: ModelConfig) -> Any:
    members = enumeration.__members__
    _one_of(list(members), name, config)
    return members[name]


def _one_of(known: list[str], name: str, config: ModelConfig) -> None:
    if name not in known:
        close = get_close_matches(name, known, n=3) or known
        raise ModelError(
            f"{config.reference}: torchvision has no {name} for segmentation; it has "
            f"{', '.join(close)}"
        )


def _fetched(url: str) -> Path:
    """Path of a checkpoint in torch's own cache, fetched when it is not there."""
    name = Path(urlsplit(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # The end of the name is the start of the file's digest.
            start = name.rpartition("-")[2].partition(".")[0]
            torch.hub.download_url_to_file(url, str(path), hash_prefix=start, progress=False)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"{url} cannot be fetched ({error}); put it at {path} or set weights"
            ) from error
    return path
