"""Networks that files hold whole: `export:`, `onnx:` and `torchscript:` references."""

import io
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from torch import nn

from otce.errors import ModelError
from otce.fingerprint import digest
from otce.model_config import ModelConfig, Preprocessing
from otce.storage.files import StorageOptions
from otce.zoo.libraries import library, library_code
from otce.zoo.reference import Reference
from otce.zoo.weights import fit, read_limited, read_weights

_RANK: Final = 4
# What the converter lacks are most often operators of newer opsets.
_REMEDIES: Final = {"onnx": "opset_version=17 or lower, the newest that onnx2torch knows well"}


def resolve(config: ModelConfig, options: StorageOptions | None) -> Reference:
    """Read a program: its network, and the input size that it was fixed to.

    Args:
        config: the model.
        options: fsspec options by protocol.

    Returns:
        The reference; its code is the program's digest.

    Raises:
        ModelError: not a program of its kind, or one that asks for what it may not.
        StoreError: the file cannot be read.
    """
    uri = config.name
    if config.weights is None:
        program = read_weights(uri, config, options)
    else:
        program = read_limited(uri, config.max_weights_bytes, options)
    try:
        match config.kind:
            case "export":
                network, shape, code = *_export(program), "torch.export"
            case "onnx":
                network, shape, code = *_onnx(program, uri), library_code("onnx2torch")
            case _:
                network, shape, code = *_torchscript(program), "torch.jit"
    except ModelError:
        raise
    except Exception as error:
        # Each format has a parser with an exception tree of its own.
        reason = str(error).strip().partition("\n")[0][:300]
        raise ModelError(
            f"{uri} cannot be opened as {config.kind} ({type(error).__name__}: {reason}); export "
            f"it again with {_REMEDIES.get(config.kind, 'the installed torch')}"
        ) from error
    size_px, one_by_one = _fixed(shape, uri)

    def build(data: bytes | None) -> nn.Module:
        return network if data is None else fit(network, data, config.weights, config)

    program_digest = digest(program)
    return Reference(
        code=digest(f"{code} {program_digest if config.weights else ''}".encode()),
        build=build,
        weights=config.weights,
        weights_digest=None if config.weights else program_digest,
        preprocessing=Preprocessing(size_px=size_px),
        one_by_one=one_by_one,
    )


def _export(program: bytes) -> tuple[nn.Module, Sequence[Any]]:
    with warnings.catch_warnings():
        # torch warns of its own future while it reads its own format.
        warnings.simplefilter("ignore", FutureWarning)
        exported = torch.export.load(io.BytesIO(program))
        # Modules, unlike the flat graph, have the paths of the original and accept hooks.
        network = torch.export.unflatten(exported)
    inputs = exported.graph_signature.user_inputs
    [shape] = [
        node.meta["val"].shape
        for node in exported.graph.nodes
        if node.op == "placeholder" and node.name in inputs
    ]
    return network, shape


def _onnx(program: bytes, uri: str) -> tuple[nn.Module, Sequence[Any]]:
    onnx = library("onnx", "onnx")
    converter = library("onnx2torch", "onnx")
    model = onnx.load_model_from_string(program)
    outside = [t.name for t in _tensors(model, onnx.TensorProto) if t.data_location == t.EXTERNAL]
    if outside:
        # A path out of the model's folder would be read with the user's rights.
        raise ModelError(
            f"{uri} keeps {len(outside)} tensors in other files, such as {outside[0][:80]}; save "
            "it as one file (onnx.save with save_as_external_data=False)"
        )
    weights = {tensor.name for tensor in model.graph.initializer}
    [shape] = [
        [dim.dim_value or None for dim in found.type.tensor_type.shape.dim]
        for found in model.graph.input
        if found.name not in weights
    ]
    return converter.convert(model), shape


def _tensors(message: Any, kind: type) -> Iterator[Any]:
    """All tensors that a message of ONNX holds, wherever its format lets one stand.

    Graphs nest in attributes, and tensors stand in sparse ones, functions and training steps too.
    """
    if isinstance(message, kind):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in (value,) if hasattr(value, "ListFields") else value:
                yield from _tensors(inner, kind)


def _torchscript(program: bytes) -> tuple[nn.Module, Sequence[Any]]:
    with warnings.catch_warnings():
        # That torch would rather have exported programs helps nobody who has TorchScript.
        warnings.simplefilter("ignore")
        return torch.jit.load(io.BytesIO(program), map_location="cpu"), [None] * _RANK


def _fixed(shape: Sequence[Any], uri: str) -> tuple[tuple[int, int] | None, bool]:
    """Input size that a program was fixed to, and whether to one image at a time."""
    if len(shape) != _RANK:
        raise ModelError(
            f"{uri} takes an input of {len(shape)} dimensions; export it for (batch, 3, height, "
            "width)"
        )
    batch, channels, height, width = (n if isinstance(n, int) else None for n in shape)
    if channels not in (None, 3) or batch not in (None, 1):
        raise ModelError(
            f"{uri} was exported for {batch or 'any'} images of {channels or 'any'} channels; "
            "export it for 3 channels, and for one image or any number"
        )
    size_px = (height, width) if height and width else None
    return size_px, batch == 1
