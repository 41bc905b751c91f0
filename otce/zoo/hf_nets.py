"""`hf:<org>/<name>@<revision>` and `hf:<folder>` references: networks of transformers.

Only data is read: `config.json`, `preprocessor_config.json` and the weights. Code that a
repository brings along is never looked at.
"""

import json
from typing import Any, Final

from torch import nn

from otce.datasets.items import listing
from otce.errors import ModelError
from otce.fingerprint import digest
from otce.model_config import ModelConfig, Preprocessing
from otce.storage.files import StorageOptions, exists, join
from otce.zoo.libraries import library, library_code
from otce.zoo.preprocess import checked
from otce.zoo.reference import Reference
from otce.zoo.weights import parse_state, read_limited

_CONFIG, _PROCESSOR = "config.json", "preprocessor_config.json"
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_JSON_LIMIT_BYTES: Final = 1 << 20


def resolve(config: ModelConfig, options: StorageOptions | None) -> Reference:
    """Read what a folder, or a revision on the hub, says of its network.

    Args:
        config: the model; its arguments replace entries of `config.json`.
        options: fsspec options by protocol.

    Returns:
        The reference, with the input that the image processor makes.

    Raises:
        ModelError: transformers is absent, or the network is none of its own.
        StoreError: a file cannot be read.
    """
    transformers = library("transformers", "hf")
    folder = _snapshot(config) if config.is_on_hub else config.name
    described = _json(join(folder, _CONFIG), options) | config.arguments
    processor_uri = join(folder, _PROCESSOR)
    processor = _json(processor_uri, options) if exists(processor_uri, options) else None
    class_, card = _described(transformers, described, config)
    weights = config.weights or _weights(folder, options)

    def build(data: bytes | None) -> nn.Module:
        state = parse_state(data or b"", weights, config.max_weights_bytes)
        return _loaded(class_, card, state, f"{weights} does not fit {config.reference}")

    written = json.dumps([described, processor], sort_keys=True)
    return Reference(
        code=digest(f"{library_code('transformers')} {written}".encode()),
        build=build,
        weights=weights,
        preprocessing=_preprocessing(described, processor, config),
    )


def _snapshot(config: ModelConfig) -> str:
    hub = library("huggingface_hub", "hf")
    name, _, revision = config.name.partition("@")
    try:
        return str(
            hub.snapshot_download(
                name, revision=revision, allow_patterns=[_CONFIG, _PROCESSOR, *_WEIGHTS]
            )
        )
    except Exception as error:
        # The hub's client raises from several trees, of its own and of its transports.
        raise ModelError(
            f"{config.reference} cannot be fetched ({type(error).__name__}: {error}); check name, "
            "revision and network, or name a folder"
        ) from error


def _weights(folder: str, options: StorageOptions | None) -> str:
    for name in _WEIGHTS:
        if exists(join(folder, name), options):
            return join(folder, name)
    raise ModelError(f"{folder} holds neither {' nor '.join(_WEIGHTS)}; set weights")


def _json(uri: str, options: StorageOptions | None) -> dict[str, Any]:
    try:
        found = json.loads(read_limited(uri, _JSON_LIMIT_BYTES, options))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{uri} is no JSON ({error}); fetch it again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{uri} holds a {type(found).__name__}, expected an object")
    return found


def _described(transformers: Any, described: dict[str, Any], config: ModelConfig) -> Any:
    """The network's class and its configuration, both looked up by name in transformers."""
    names, kind = described.get("architectures") or [], described.get("model_type")
    if len(names) != 1 or not isinstance(names[0], str) or kind not in transformers.CONFIG_MAPPING:
        raise ModelError(
            f"{config.reference}: architectures {names} of model_type {kind!r} are none of "
            "transformers' own; code of a repository is never run: write a python: factory"
        )
    class_ = getattr(transformers, names[0], None)
    if not (isinstance(class_, type) and issubclass(class_, transformers.PreTrainedModel)):
        raise ModelError(
            f"{config.reference}: transformers has no network {names[0]}; install the release "
            "that its model card names"
        )
    return class_, transformers.CONFIG_MAPPING[kind].from_dict(described)


def _loaded(class_: Any, card: Any, state: dict[str, Any], misfit: str) -> nn.Module:
    """Build and load through transformers, which knows the old names of weights."""
    logging = library("transformers.utils.logging", "hf")
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        network, told = class_.from_pretrained(
            None, config=card, state_dict=state, output_loading_info=True
        )
    except Exception as error:
        # Shapes that differ, configurations that contradict themselves: a RuntimeError or worse.
        raise ModelError(f"{misfit} ({type(error).__name__}: {error})") from error
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()
    problems = [f"{name} is missing" for name in sorted(told["missing_keys"])]
    problems += [f"{name} is unknown" for name in sorted(told["unexpected_keys"])]
    if problems:
        raise ModelError(f"{misfit}: {listing(problems)}; use the weights of this architecture")
    found: nn.Module = network
    return found


def _preprocessing(
    described: dict[str, Any], processor: dict[str, Any] | None, config: ModelConfig
) -> Preprocessing:
    known: dict[str, Any] = {}
    image_px = described.get("image_size")
    if processor is None:
        # Embeddings of positions are made for one size.
        if image_px is not None and "patch_size" in described:
            known["size_px"] = [image_px] * 2 if isinstance(image_px, int) else image_px
        return checked(known, config.reference)
    if processor.get("do_resize", True):
        # A crop would leave pixels without features: the whole image takes its size instead.
        cropped = processor.get("crop_size") if processor.get("do_center_crop") else None
        known |= _size(cropped or processor.get("size"))
        known["multiple_px"] = processor.get("ensure_multiple_of") or 1
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1
    scale = 255 * factor
    mean, std = (0.0,) * 3, (1.0,) * 3
    if processor.get("do_normalize", "image_mean" in processor):
        mean, std = processor.get("image_mean", mean), processor.get("image_std", std)
    known |= {
        "mean": [value / scale for value in mean],
        "std": [value / scale for value in std],
        "channel_order": "bgr" if processor.get("do_flip_channel_order") else "rgb",
    }
    return checked(known, config.reference)


def _size(size: Any) -> dict[str, Any]:
    match size:
        case int():
            return {"size_px": [size, size]}
        case {"height": height, "width": width}:
            return {"size_px": [height, width]}
        case {"shortest_edge": shortest, **_rest}:
            return {"shortest_px": shortest}
    return {}
