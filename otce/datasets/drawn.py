"""Street scenes drawn by code, as a data set: no files, no download, the same on every machine."""

import numpy as np
from numpy.typing import NDArray

from otce.dataset_config import ScenesDataset
from otce.datasets import scenes
from otce.datasets.items import Item
from otce.fingerprint import fingerprint


class DrawnScenes:
    """The scenes of one city.

    Args:
        config: the data set's configuration.

    Raises:
        ConfigError: no city has this name, or the size is too small.
    """

    def __init__(self, config: ScenesDataset) -> None:
        self._city = config.layout.removeprefix("scenes:")
        self._size_px = config.size_px
        scenes.draw_scene(self._city, config.first, self._size_px)
        self.classes = scenes.CLASSES
        indices = range(config.first, config.first + config.count)
        names = [f"{self._city}/{index:06d}" for index in indices]
        self.notes: tuple[str, ...] = ()
        self.items = tuple(Item(id=name, image=name, label=name) for name in names)

    def digests(self, item: Item) -> tuple[str, str]:
        """Hash the recipe of a scene; see `Dataset.digests`."""
        recipe = [scenes.SCENES_VERSION, self._city, self._index(item), self._size_px]
        return fingerprint(["image", *recipe]), fingerprint(["label", self.classes, *recipe])

    def image(self, item: Item, expected_digest: str | None = None) -> NDArray[np.uint8]:
        """Draw the image; its digest is its recipe's and cannot change; see `Dataset.image`."""
        del expected_digest
        return scenes.draw_scene(self._city, self._index(item), self._size_px)[0]

    def label(self, item: Item, expected_digest: str | None = None) -> NDArray[np.int16]:
        """Draw the label mask; see `Dataset.label`."""
        del expected_digest
        label = scenes.draw_scene(self._city, self._index(item), self._size_px)[1]
        return np.where(label == scenes.VOID, np.int16(-1), label.astype(np.int16))

    def count(
        self, item: Item, expected_digest: str | None = None
    ) -> tuple[tuple[int, int], NDArray[np.int64]]:
        """Count the drawn mask; see `Dataset.count`."""
        del expected_digest
        label = self.label(item)
        class_px = np.bincount(label[label >= 0], minlength=len(self.classes))
        return (label.shape[0], label.shape[1]), class_px.astype(np.int64)

    def _index(self, item: Item) -> int:
        return int(item.id.rpartition("/")[2])
