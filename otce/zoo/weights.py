"""Weights files: read within limits, checked by digest, kept near, parsed without running code."""

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from otce.datasets.items import listing
from otce.errors import ModelError
from otce.fingerprint import digest
from otce.model_config import ModelConfig
from otce.storage.files import StorageOptions, read_bytes, size_bytes, write_bytes

State = dict[str, Tensor]
# Where training scripts put the state dict among optimiser and epoch.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")


def read_weights(uri: str, config: ModelConfig, options: StorageOptions | None) -> bytes:
    """Read the file that a model's `weights_digest` is about; remote ones are kept by digest.

    Args:
        uri: the file.
        config: the model; its limit and its declared digest.
        options: fsspec options by protocol.

    Returns:
        The file's bytes.

    Raises:
        ModelError: too large, or not of the declared digest.
        StoreError: it cannot be read.
    """
    declared = config.weights_digest
    kept = read_kept(declared) if declared and "://" in uri else None
    if kept is not None:
        return kept
    data = read_limited(uri, config.max_weights_bytes, options)
    found = digest(data)
    if declared not in (None, found):
        raise ModelError(
            f"{uri} has SHA-256 {found}, not the declared weights_digest {declared}; fix whichever "
            "is wrong"
        )
    if "://" in uri:
        write_bytes(str(_kept_path(found)), data)
    return data


def read_limited(uri: str, limit_bytes: int, options: StorageOptions | None) -> bytes:
    """Read a file whose size is looked up first.

    Args:
        uri: the file.
        limit_bytes: its largest size.
        options: fsspec options by protocol.

    Returns:
        The file's bytes.

    Raises:
        ModelError: it is larger.
        StoreError: it cannot be read.
    """
    _within(size_bytes(uri, options), limit_bytes, uri)
    return read_bytes(uri, options)


def read_kept(digest_: str) -> bytes | None:
    """Read a file kept near; one that was changed there counts as absent.

    Args:
        digest_: its SHA-256.

    Returns:
        Its bytes, or None.
    """
    path = _kept_path(digest_)
    data = path.read_bytes() if path.exists() else b""
    return data if digest(data) == digest_ else None


def parse_state(data: bytes, uri: str, limit_bytes: int) -> State:
    """Parse a state dict: safetensors, or what `torch.save` wrote. Nothing in it is executed.

    Args:
        data: the file's bytes.
        uri: where they are from, for errors.
        limit_bytes: largest size once unpacked.

    Returns:
        Tensors by name, taken out of a training checkpoint and of `DataParallel`'s prefix.

    Raises:
        ModelError: neither format, more than tensors in it, or too large.
    """
    # A safetensors file starts with the length of its header, which may look like anything.
    is_torch = data[8:9] != b"{" and data[:1] in {b"P", b"\x80"}
    found = _parse_torch(data, uri, limit_bytes) if is_torch else _parse_safetensors(data, uri)
    inner = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), found)
    state = {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}
    if len(state) < len(inner) or not state:
        others = sorted(str(name) for name in inner if str(name) not in state)
        raise ModelError(
            f"{uri} holds no state dict: {listing(others) or 'nothing'} "
            "is no tensor; save network.state_dict() and nothing else"
        )
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return state


def fit(network: nn.Module, data: bytes | None, uri: str | None, config: ModelConfig) -> nn.Module:
    """Load a state dict that fits a network exactly.

    Args:
        network: where to.
        data: bytes of the weights file.
        uri: where they are from, for errors.
        config: the model, for its limit and for errors.

    Returns:
        The network.

    Raises:
        ModelError: no state dict, names or shapes differ, or values are not finite.
    """
    state = parse_state(data or b"", str(uri), config.max_weights_bytes)
    problems = _mismatches(network.state_dict(), state)
    if problems:
        raise ModelError(
            f"{uri} does not fit {config.reference}: {listing(problems)}; use the weights of this "
            "architecture or other arguments"
        )
    network.load_state_dict(state, strict=False)
    return network


def _parse_safetensors(data: bytes, uri: str) -> Mapping[str, Any]:
    try:
        # The header's sizes and offsets are held against the file before anything is allocated.
        return safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"{uri} is neither a safetensors file ({error}) nor one of torch.save; save the state "
            "dict with safetensors.torch.save_file"
        ) from error


def _parse_torch(data: bytes, uri: str, limit_bytes: int) -> Mapping[str, Any]:
    try:
        if data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                _within(sum(part.file_size for part in archive.infolist()), limit_bytes, uri)
        # Never anything but weights_only: no other way is tried when this one refuses.
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except Exception as error:
        # Hostile bytes make the unpickler raise nearly anything.
        reason = str(error).strip().partition("\n")[0][:300]
        raise ModelError(
            f"{uri} is no state dict that can be loaded without running code "
            f"({type(error).__name__}: {reason}); save network.state_dict() with "
            "safetensors.torch.save_file"
        ) from error
    if not isinstance(found, Mapping):
        raise ModelError(
            f"{uri} holds a {type(found).__name__}; save network.state_dict() and nothing else"
        )
    return found


def _within(n_bytes: int, limit_bytes: int, uri: str) -> None:
    if n_bytes > limit_bytes:
        raise ModelError(
            f"{uri} takes {n_bytes} bytes, more than max_weights_bytes {limit_bytes} allows; "
            "raise it if the file is what you think it is"
        )


def _mismatches(wanted: State, found: State) -> list[str]:
    # Old checkpoints lack the batch counters, which evaluation never reads.
    missing = [n for n in wanted if n not in found and not n.endswith("num_batches_tracked")]
    problems = [f"{name} is missing" for name in missing]
    problems += [f"{name} is unknown" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        if wanted[name].shape != found[name].shape:
            shapes = tuple(found[name].shape), tuple(wanted[name].shape)
            problems.append(f"{name} has shape {shapes[0]}, expected {shapes[1]}")
        elif found[name].is_floating_point() and not bool(found[name].isfinite().all()):
            problems.append(f"{name} holds values that are not finite")
    return sorted(problems)


def _kept_path(digest_: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "otce" / "weights" / digest_
