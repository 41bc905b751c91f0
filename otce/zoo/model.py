"""A source model: network, weights, preprocessing and tap, from images to feature maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from otce.errors import ModelError
from otce.model_config import Preprocessing
from otce.zoo.honesty import check_passes
from otce.zoo.outputs import logits_of
from otce.zoo.preprocess import to_input
from otce.zoo.tap import Tap, resolve, run

_Maps: TypeAlias = tuple[Tensor, ...]


@dataclass
class SourceModel:
    """A loaded source model.

    Attributes:
        id: its id in the zoo, for errors.
        network: in evaluation mode, on `device`.
        preprocessing: what is done to an image before it enters.
        tap: which features, as configured.
        device: where it runs.
        n_classes: classes of its logits, when known.
        one_by_one: whether it takes no more than one image at a time.
    """

    id: str
    network: nn.Module
    preprocessing: Preprocessing
    tap: str
    device: torch.device
    n_classes: int | None = None
    one_by_one: bool = False
    _resolved: Tap | None = None
    _maps: dict[torch.Size, torch.Size] = field(default_factory=dict)

    def features(self, images: Sequence[NDArray[np.uint8]]) -> tuple[Tensor]:
        """Run the network on images of one size.

        Args:
            images: B images, (H, W, 3) uint8 RGB.

        Returns:
            (B, D, h, w) float32 feature maps at the tap, on the model's device.

        Raises:
            ModelError: the network fails or lies, or the tap cannot be found or gives no map.
            torch.OutOfMemoryError: the images are too many for the device.
        """
        (features_BDhw,) = self._run(images, lambda features, _: (features,))
        return (features_BDhw,)

    def features_and_logits(self, images: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
        """Run the network on images of one size; its predictions come from the same pass.

        Args:
            images: B images, (H, W, 3) uint8 RGB.

        Returns:
            (B, D, h, w) float32 feature maps at the tap, and (B, Z, h, w) float32 logits.

        Raises:
            ModelError: as for `features`, or the network's output has no logits.
            torch.OutOfMemoryError: the images are too many for the device.
        """
        features_BDhw, logits_BZhw = self._run(
            images, lambda features, output: (features, logits_of(output))
        )
        return features_BDhw, logits_BZhw

    def _run(
        self, images: Sequence[NDArray[np.uint8]], take: Callable[[Tensor, object], _Maps]
    ) -> _Maps:
        try:
            return self._listen(images, take)
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
    def _listen(
        self, images: Sequence[NDArray[np.uint8]], take: Callable[[Tensor, object], _Maps]
    ) -> _Maps:
        input_BCHW = to_input(images, self.preprocessing, self.device)
        if self._resolved is None:
            resolved = resolve(self.network, self.tap, input_BCHW[:1])
            check_passes(self.network, resolved, input_BCHW[:1], self.n_classes)
            self._resolved = resolved
        parts = input_BCHW.split(1) if self.one_by_one else (input_BCHW,)
        found = [take(*run(self.network, self._resolved, part)) for part in parts]
        for features_BDhw, *_ in found:
            self._check_size(input_BCHW.shape[2:], features_BDhw.shape[1:])
        return tuple(
            torch.cat(maps).float() if len(maps) > 1 else maps[0].float()
            for maps in zip(*found, strict=True)
        )

    def _check_size(self, image_px: torch.Size, map_Dhw: torch.Size) -> None:
        """An input of a size that was seen gives a map of the size that was seen."""
        known = self._maps.setdefault(image_px, map_Dhw)
        other = next(iter(self._maps.values()))
        if known != map_Dhw or other[0] != map_Dhw[0]:
            was = known if known != map_Dhw else other
            raise ModelError(
                f"gives a map of {tuple(map_Dhw)} (dimensions, height, width) where another image "
                f"gave {tuple(was)}; its output must depend on the input's size alone"
            )
