"""A data set of image files, whatever its layout."""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from otce.dataset_config import ImageFiles
from otce.datasets.decode import count_values, decode_image, decode_label
from otce.datasets.items import Item
from otce.datasets.label_rule import LabelRule
from otce.datasets.layouts import layout_of
from otce.datasets.pairing import Found, Pairing, fits
from otce.datasets.selection import chosen_ids
from otce.errors import DataError
from otce.fingerprint import digest, fingerprint
from otce.storage.files import StorageOptions, read_bytes

# A file with more bytes a pixel is no image that is read here, whatever its compression.
_MOST_BYTES_A_PX: Final = 4
_HEADER_BYTES: Final = 1 << 20


class ImageDataset:
    """Images and masks of any layout, on any fsspec URI.

    Args:
        config: the data set's configuration.
        options: fsspec options by protocol.
        items: its items, where they are known: the storage is then not listed.
    """

    def __init__(
        self,
        config: ImageFiles,
        options: StorageOptions | None = None,
        items: Sequence[Item] | None = None,
    ) -> None:
        self._config = config
        self._options = options
        self._known_items = items
        self._root = config.layout.partition(":")[2]
        self._layout = layout_of(config)
        self.classes = self._layout.classes

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """Chosen items, sorted by id; listed when first asked for; see `Dataset.items`."""
        if self._known_items is not None:
            return tuple(self._known_items)
        chosen = self._config
        by_id = {item.id: item for item in self._found.items}
        ids = chosen_ids(
            by_id,
            between=chosen.between,
            every=chosen.every,
            spread=chosen.spread,
            limit=chosen.limit,
            seed=chosen.seed,
        )
        if not ids:
            raise DataError(
                f"{self._root}: none of {len(by_id)} items lies between {list(chosen.between)}; "
                "widen it"
            )
        return tuple(by_id[id_] for id_ in ids)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out; see `Dataset.notes`."""
        found = self._found
        few = f"{len(self.items)} of {len(found.items)} items chosen"
        return found.notes + ((few,) if len(self.items) < len(found.items) else ())

    def parts(self) -> list[str]:
        """Name the cities or sequences that the items belong to.

        Returns:
            Names, sorted.

        Raises:
            DataError: no items, or a bad list.
            StoreError: the data cannot be reached.
        """
        return self._pairing.parts()

    def digests(self, item: Item) -> tuple[str, str]:
        """Hash the two files; see `Dataset.digests`."""
        image, label = (self._read(name) for name in (item.image, item.label))
        return digest(image), self._label_digest(item, label)

    def image(self, item: Item, expected_digest: str | None = None) -> NDArray[np.uint8]:
        """Read an image; see `Dataset.image`."""
        data = self._read(item.image)
        _refuse_change(item.image, digest(data), expected_digest)
        return decode_image(data, item.image, max_px=self._config.max_image_px)

    def label(self, item: Item, expected_digest: str | None = None) -> NDArray[np.int16]:
        """Read a label mask; see `Dataset.label`."""
        data = self._read_label(item, expected_digest)
        raw = decode_label(data, item.label, max_px=self._config.max_image_px)
        return self._rule(item).class_ids(raw, item.label)

    def count(
        self, item: Item, expected_digest: str | None = None
    ) -> tuple[tuple[int, int], NDArray[np.int64]]:
        """Count a label mask; see `Dataset.count`."""
        data = self._read_label(item, expected_digest)
        size_px, value_px = count_values(data, item.label, max_px=self._config.max_image_px)
        return size_px, self._rule(item).class_px(value_px, item.label)

    @cached_property
    def _pairing(self) -> Pairing:
        most_bytes = _MOST_BYTES_A_PX * self._config.max_image_px + _HEADER_BYTES
        return Pairing(self._root, self._layout, self._options, most_bytes=most_bytes)

    @cached_property
    def _found(self) -> Found:
        return self._pairing.found()

    @cached_property
    def _rules(self) -> dict[str, LabelRule]:
        layout = self._layout
        return {
            kind.pattern: LabelRule(layout.classes, layout.ignore, kind.label_map)
            for kind in layout.masks
        }

    def _rule(self, item: Item) -> LabelRule:
        """The rule of a mask's kind, which its name tells; a list may name a mask otherwise."""
        path = item.label.removeprefix(self._root.rstrip("/") + "/")
        patterns = self._layout.label_patterns
        return self._rules[next((p for p in patterns if fits(p, path)), patterns[-1])]

    def _read_label(self, item: Item, expected_digest: str | None) -> bytes:
        data = self._read(item.label)
        if expected_digest is not None:
            _refuse_change(item.label, self._label_digest(item, data), expected_digest)
        return data

    def _label_digest(self, item: Item, data: bytes) -> str:
        return fingerprint([digest(data), self._rule(item).fingerprint])

    def _read(self, uri: str) -> bytes:
        return read_bytes(uri, self._options)


def _refuse_change(where: str, found: str, expected: str | None) -> None:
    if expected not in (None, found):
        raise DataError(
            f"{where}: changed since the data set was listed; run again when nobody writes to it"
        )
