"""Labelled images as a network sees them, and random crops of them.

Legend: `B` images of a batch, `H, W` image and label size, `h, w` network input.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from otce.model_config import Preprocessing
from otce.zoo.preprocess import to_input

LabelledImage = tuple[NDArray[np.uint8], NDArray[np.int16]]
"""(H, W, 3) RGB, and (H, W) class ids, -1 where ignored."""


@dataclass(frozen=True)
class Labelled:
    """Labelled images at the size at which a network sees them.

    Attributes:
        inputs: (3, h, w) float32 each.
        labels: (h, w) class ids each, -1 where ignored.
    """

    inputs: list[Tensor]
    labels: list[Tensor]

    @classmethod
    def of(cls, images: Sequence[LabelledImage], preprocessing: Preprocessing) -> "Labelled":
        """Prepare images, and take the nearest label of each pixel of the input.

        Args:
            images: decoded.
            preprocessing: what the network wants.

        Returns:
            The same in their order.
        """
        inputs, labels = [], []
        for image, label in images:
            inputs.append(to_input([image], preprocessing, torch.device("cpu"))[0])
            whole = torch.from_numpy(label.astype(np.float32))[None, None]
            size_px = inputs[-1].shape[1:]
            nearest = functional.interpolate(whole, size_px, mode="nearest-exact")
            labels.append(nearest[0, 0].long())
        return cls(inputs, labels)

    def without(self, positions: Sequence[int]) -> "Labelled":
        """Leave some out.

        Args:
            positions: of those.

        Returns:
            The others.
        """
        kept = [n for n in range(len(self.inputs)) if n not in positions]
        return Labelled([self.inputs[n] for n in kept], [self.labels[n] for n in kept])

    def batches(
        self, batch_size: int, share: float, multiple_px: int, random: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Cut crops of one size at random places of random images, half of them mirrored.

        Args:
            batch_size: B.
            share: side of a crop, as a share of the smallest image's.
            multiple_px: both sides are multiples of this.
            random: what places are drawn from.

        Yields:
            (B, 3, h, w) inputs and (B, h, w) labels, without end.
        """
        height_px, width_px = (
            max(multiple_px, int(share * smallest) // multiple_px * multiple_px)
            for smallest in (min(label.shape[side] for label in self.labels) for side in (0, 1))
        )

        def below(limit: int) -> int:
            return int(torch.randint(limit, (), generator=random))

        def crop() -> tuple[Tensor, Tensor]:
            which = below(len(self.inputs))
            image, label = self.inputs[which], self.labels[which]
            top = below(label.shape[0] - height_px + 1)
            left = below(label.shape[1] - width_px + 1)
            place = slice(top, top + height_px), slice(left, left + width_px)
            image, label = image[:, *place], label[place]
            return (image.flip(-1), label.flip(-1)) if below(2) else (image, label)

        while True:
            images, labels = zip(*(crop() for _ in range(batch_size)), strict=True)
            yield torch.stack(images), torch.stack(labels)
