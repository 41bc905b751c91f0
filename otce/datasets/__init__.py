"""Data set layouts as ordered (image, label) items, read one at a time.

A layout knows where its items are, how to read an image as RGB and a label mask as class ids, and
the digests that make its content part of every number's identity.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from otce.dataset_config import ImageFiles, ScenesDataset
from otce.datasets.drawn import DrawnScenes
from otce.datasets.image_files import ImageDataset
from otce.datasets.items import Item
from otce.storage.files import StorageOptions

__all__ = ["Dataset", "Item", "open_dataset"]


class Dataset(Protocol):
    """What every layout offers."""

    classes: tuple[str, ...]
    """Class names; class ids are their positions."""

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, sorted by id, at least one.

        Raises:
            DataError: no items, items without a file, or duplicate ids; all of them are named.
            StoreError: the data cannot be reached.
        """

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found and left out, in words; raises as `items` does."""

    def digests(self, item: Item) -> tuple[str, str]:
        """Hash an item's image and its label with the rules that turn it into class ids."""

    def image(self, item: Item, expected_digest: str | None = None) -> NDArray[np.uint8]:
        """Read an image, (H, W, 3) RGB; a digest other than the expected one is a `DataError`."""

    def label(self, item: Item, expected_digest: str | None = None) -> NDArray[np.int16]:
        """Read a label mask, (H, W), class ids and -1 where ignored; digests as in `image`."""

    def count(
        self, item: Item, expected_digest: str | None = None
    ) -> tuple[tuple[int, int], NDArray[np.int64]]:
        """Count a label mask: height and width, (classes,) labelled pixels; digests as above."""


def open_dataset(
    config: ImageFiles | ScenesDataset,
    options: StorageOptions | None = None,
    items: Sequence[Item] | None = None,
) -> Dataset:
    """Open a data set; nothing is listed or read yet.

    Args:
        config: one data set of the configuration.
        options: fsspec options by protocol.
        items: its items, where they are known already: many workers need not list each.

    Returns:
        The data set.

    Raises:
        ConfigError: no scenes are drawn for this city or size.
    """
    if isinstance(config, ScenesDataset):
        return DrawnScenes(config)
    return ImageDataset(config, options, items)
