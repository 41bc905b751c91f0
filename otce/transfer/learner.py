"""A network whose outputs stand for target labels: its loss, and what it gets right.

Legend: `B` images of a batch, `Z` outputs of the network, `C` target classes, `H, W` label size,
`h, w` size of the network's map.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from otce.errors import ModelError
from otce.transfer.confusion import Confusion, confusion
from otce.transfer.crops import LabelledImage
from otce.zoo.model import SourceModel
from otce.zoo.outputs import logits_of
from otce.zoo.preprocess import to_input

_IGNORED: Final = -1


class Learner:
    """A network whose outputs stand for target labels.

    Args:
        model: loaded.
        outputs: target label of each output, -1 for none; outputs beyond them stand for none.
        n_classes: C.
    """

    def __init__(self, model: SourceModel, outputs: tuple[int, ...], n_classes: int) -> None:
        self.model, self._outputs, self._n_classes = model, outputs, n_classes
        device = model.device
        # The output that stands for a label is the first of those that do.
        first = [outputs.index(c) if c in outputs else _IGNORED for c in range(n_classes)]
        self._output_of_C = torch.tensor(first, device=device)

    def loss(self, input_BCHW: Tensor, label_BHW: Tensor) -> Tensor:
        """Take the cross-entropy of a batch.

        Args:
            input_BCHW: network input.
            label_BHW: target labels of the input's size, -1 where ignored.

        Returns:
            A scalar, averaged over labelled pixels; 0 where there are none.
        """
        device = self.model.device
        logits_BZhw = logits_of(self.model.network(input_BCHW.to(device))).float()
        label_BHW = label_BHW.to(device)
        wanted_BHW = torch.where(label_BHW < 0, _IGNORED, self._output_of_C[label_BHW.clamp_min(0)])
        sum_ = functional.cross_entropy(
            _resized(logits_BZhw, label_BHW.shape[1:]),
            wanted_BHW,
            ignore_index=_IGNORED,
            reduction="sum",
        )
        return sum_ / (wanted_BHW != _IGNORED).sum().clamp_min(1)

    @torch.no_grad()
    def judged(self, images: Iterable[LabelledImage]) -> Confusion:
        """Count what the network gets right of images, at the size of their labels.

        Args:
            images: decoded, one after the other.

        Returns:
            The counts.

        Raises:
            ModelError: the network has fewer outputs than the source has classes.
            DataError: no pixel is labelled.
        """
        return confusion(
            ((label, self._predicted(image, label.shape)) for image, label in images),
            self._n_classes,
        )

    def _predicted(self, image: NDArray[np.uint8], size_px: tuple[int, ...]) -> NDArray[np.int64]:
        input_BCHW = to_input([image], self.model.preprocessing, self.model.device)
        logits_BZhw = logits_of(self.model.network(input_BCHW)).float()
        n_outputs = logits_BZhw.shape[1]
        if n_outputs < len(self._outputs):
            raise ModelError(
                f"gives {n_outputs} logits and its source data set has {len(self._outputs)} "
                "classes; name the data set it was trained on as its source"
            )
        labels = [*self._outputs, *[_IGNORED] * (n_outputs - len(self._outputs))]
        found_HW = _resized(logits_BZhw, torch.Size(size_px))[0].argmax(0).cpu().numpy()
        predicted: NDArray[np.int64] = np.array(labels, np.int64)[found_HW]
        return predicted


def _resized(logits_BZhw: Tensor, size_px: torch.Size) -> Tensor:
    if logits_BZhw.shape[2:] == size_px:
        return logits_BZhw
    return functional.interpolate(logits_BZhw, tuple(size_px), mode="bilinear")
