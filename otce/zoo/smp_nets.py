"""`smp:<arch>/<encoder>` references: segmentation-models-pytorch."""

from difflib import get_close_matches
from types import ModuleType
from typing import Any, Final

from torch import nn

from otce.errors import ModelError
from otce.model_config import ModelConfig, Preprocessing
from otce.zoo.libraries import library, library_code
from otce.zoo.preprocess import checked
from otce.zoo.reference import Reference
from otce.zoo.weights import fit

# Encoders halve the size five times, and most decoders want the same way back.
_MULTIPLE_PX: Final = 32
_TIMM: Final = "tu-"


def resolve(config: ModelConfig) -> Reference:
    """Look a network up in segmentation-models-pytorch.

    Args:
        config: the model.

    Returns:
        The reference, with the input that the encoder's own weights want.

    Raises:
        ModelError: the library is absent, or has no such architecture or encoder.
    """
    smp = library("segmentation_models_pytorch", "smp")
    architecture, _, encoder = config.name.partition("/")
    for known, name in (
        (smp.MODEL_ARCHITECTURES_MAPPING, architecture),
        *(() if encoder.startswith(_TIMM) else ((smp.encoders.encoders, encoder),)),
    ):
        if name not in known:
            close = get_close_matches(name, known, n=5) or sorted(known)[:12]
            raise ModelError(
                f"{config.reference}: segmentation-models-pytorch has no {name}; it has "
                f"{', '.join(close)}"
            )

    def build(data: bytes | None) -> nn.Module:
        arguments: dict[str, Any] = {"encoder_weights": None} | config.arguments
        network = smp.create_model(architecture, encoder, **arguments)
        return fit(network, data, config.weights, config)

    return Reference(
        code=library_code("segmentation-models-pytorch", "timm"),
        build=build,
        weights=config.weights,
        preprocessing=_preprocessing(smp, architecture, encoder, config),
    )


def _preprocessing(
    smp: ModuleType, architecture: str, encoder: str, config: ModelConfig
) -> Preprocessing:
    stated = config.preprocessing
    known: dict[str, Any] = {"multiple_px": _MULTIPLE_PX}
    if architecture == "dpt" and encoder.startswith(_TIMM):
        timm = library("timm", "smp")
        card = timm.models.get_pretrained_cfg(encoder.removeprefix(_TIMM))
        if card is not None:
            known["size_px"] = card.input_size[1:]
    if stated.mean is None or stated.std is None:
        known |= _normalisation(smp, encoder, config)
    return checked(known, config.reference)


def _normalisation(smp: ModuleType, encoder: str, config: ModelConfig) -> dict[str, Any]:
    try:
        card = smp.encoders.get_preprocessing_params(encoder)
    except Exception as error:
        # The library reads it from a hub, whose client raises from several trees.
        raise ModelError(
            f"{config.reference}: what its encoder wants cannot be looked up "
            f"({type(error).__name__}); set preprocessing.mean and preprocessing.std"
        ) from error
    largest = card["input_range"][1]
    return {
        "mean": [value / largest for value in card["mean"]],
        "std": [value / largest for value in card["std"]],
        "channel_order": card["input_space"].lower(),
    }
