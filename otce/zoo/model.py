"""A source model: network, weights, preprocessing and tap, from images to feature maps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from otce.config import ModelConfig, Preprocessing
from otce.datasets.items import listing
from otce.errors import ModelError
from otce.files import StorageOptions, read_bytes
from otce.fingerprint import digest
from otce.zoo import tap as taps
from otce.zoo.factory import build, factory_digest
from otce.zoo.preprocess import to_input


@dataclass
class SourceModel:
    """A loaded source model.

    Attributes:
        id: its id in the zoo, for errors.
        network: in evaluation mode, on `device`.
        preprocessing: what is done to an image before it enters.
        tap: which features, as configured.
        device: where it runs.
    """

    id: str
    network: nn.Module
    preprocessing: Preprocessing
    tap: str
    device: torch.device
    _resolved: taps.Tap | None = None

    def feature_maps(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Run the network on images of one size.

        Args:
            images: B images, (H, W, 3) uint8 RGB.

        Returns:
            (B, D, h, w) float32 feature maps at the tap, on the model's device.

        Raises:
            ModelError: the network fails, or the tap cannot be found or gives no map.
            torch.OutOfMemoryError: the images are too many for the device.
        """
        try:
            return self._listen(images)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except ModelError as error:
            raise ModelError(f"model {self.id}: {error}") from error
        except Exception as error:
            # A network is somebody else's code: whatever it raises is this model's failure.
            height, width = images[0].shape[:2]
            raise ModelError(
                f"model {self.id}: fails on images of {width}x{height} pixels: "
                f"{type(error).__name__}: {error}; mend it or set preprocessing.size_px"
            ) from error

    @torch.inference_mode()
    def _listen(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        input_BCHW = to_input(images, self.preprocessing, self.device)
        if self._resolved is None:
            self._resolved = taps.resolve(self.network, self.tap, input_BCHW[:1])
        return taps.listen(self.network, self._resolved, input_BCHW).float()


def model_digests(
    config: ModelConfig, python_path: Iterable[str], options: StorageOptions | None = None
) -> tuple[str, str]:
    """Hash what a model is made of.

    Args:
        config: the model's configuration.
        python_path: folders searched for its factory.
        options: fsspec options by protocol.

    Returns:
        Digest of its weights file (the declared one when there is one) and of its factory's code.

    Raises:
        ModelError: the factory is not trusted or cannot be imported.
        StoreError: the weights cannot be read.
    """
    code = factory_digest(config, python_path)
    return config.weights_digest or digest(read_bytes(config.weights, options)), code


def load_model(
    id_: str,
    config: ModelConfig,
    *,
    python_path: Iterable[str],
    device: str = "cpu",
    options: StorageOptions | None = None,
) -> SourceModel:
    """Build a model and load its weights; nothing but the trusted factory runs.

    Args:
        id_: its id in the zoo, for errors.
        config: its configuration.
        python_path: folders searched for its factory.
        device: torch device to put it on.
        options: fsspec options by protocol.

    Returns:
        The model in evaluation mode, float32.

    Raises:
        ModelError: code, weights or their shapes do not fit.
        StoreError: the weights cannot be read.
    """
    try:
        network = build(config, python_path)
        _load_weights(network, config, options)
    except ModelError as error:
        raise ModelError(f"model {id_}: {error}") from error
    network.eval().requires_grad_(requires_grad=False)
    chosen = torch.device(device)
    return SourceModel(id_, network.float().to(chosen), config.preprocessing, config.tap, chosen)


def _load_weights(network: nn.Module, config: ModelConfig, options: StorageOptions | None) -> None:
    data = read_bytes(config.weights, options)
    if config.weights_digest not in (None, digest(data)):
        raise ModelError(
            f"{config.weights} has SHA-256 {digest(data)}, not the declared weights_digest "
            f"{config.weights_digest}; fix whichever is wrong"
        )
    try:
        state = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"{config.weights} is not a safetensors file ({error}); save the state dict with "
            "safetensors.torch.save_file"
        ) from error
    problems = _mismatches(network.state_dict(), state)
    if problems:
        raise ModelError(
            f"{config.weights} does not fit {config.factory}: {listing(problems)}; use the "
            "weights of this architecture or other arguments"
        )
    network.load_state_dict(state, strict=False)


def _mismatches(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> list[str]:
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
