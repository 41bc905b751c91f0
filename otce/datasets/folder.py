"""Images and label masks in folders, paired by the text that the `*` of two patterns stands for."""

import posixpath
from collections import Counter
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from otce.config import FolderDataset
from otce.datasets.decode import LabelRule, decode_image, decode_label
from otce.datasets.items import Item, listing
from otce.errors import DataError
from otce.files import StorageOptions, join, list_paths, read_bytes
from otce.fingerprint import digest, fingerprint


class Folder:
    """A folder layout, on any fsspec URI.

    Args:
        config: the data set's configuration.
        options: fsspec options by protocol.
    """

    def __init__(self, config: FolderDataset, options: StorageOptions | None = None) -> None:
        self._config = config
        self._options = options
        self._root = config.layout.removeprefix("folder:")
        self.classes = config.classes

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """All items, sorted by id; listed when first asked for; see `Dataset.items`."""
        return self._pair()

    @cached_property
    def _rule(self) -> LabelRule:
        return LabelRule(self._config.classes, self._config.ignore, self._config.label_map)

    def digests(self, item: Item) -> tuple[str, str]:
        """Hash the two files; see `Dataset.digests`."""
        rule = fingerprint([self._config.classes, self._config.ignore, self._config.label_map])
        image, label = (digest(self._read(name)) for name in (item.image, item.label))
        return image, fingerprint([label, rule])

    def image(self, item: Item, expected_digest: str | None = None) -> NDArray[np.uint8]:
        """Read an image; see `Dataset.image`."""
        data = self._read(item.image)
        if expected_digest is not None and digest(data) != expected_digest:
            raise DataError(
                f"{item.image}: changed since its labels were counted; run again when nobody "
                "writes to the data set"
            )
        return decode_image(data, item.image, max_px=self._config.max_image_px)

    def label(self, item: Item) -> NDArray[np.int16]:
        """Read a label mask; see `Dataset.label`."""
        raw = decode_label(self._read(item.label), item.label, max_px=self._config.max_image_px)
        return self._rule.class_ids(raw, item.label)

    def _read(self, uri: str) -> bytes:
        return read_bytes(uri, self._options)

    def _pair(self) -> tuple[Item, ...]:
        images = self._found(self._config.images)
        labels = self._found(self._config.labels)
        pairs = self._listed() or {id_: (path, labels.get(id_)) for id_, path in images.items()}
        present = {*images.values(), *labels.values()}
        missing = sorted(
            f"{id_} ({'image' if image not in present else 'label'})"
            for id_, (image, label) in pairs.items()
            if image not in present or label not in present
        )
        if missing:
            raise DataError(
                f"{self._root}: {len(missing)} of {len(pairs)} items lack a file: "
                f"{listing(missing)}; images are looked for as {self._config.images} and labels "
                f"as {self._config.labels}; add the files or take the items out of the list"
            )
        if not pairs:
            raise DataError(
                f"{self._root}: no image matches {self._config.images}; the one * of the pattern "
                "stands for the item's id"
            )
        return tuple(
            Item(id=id_, image=join(self._root, image), label=join(self._root, str(label)))
            for id_, (image, label) in sorted(pairs.items())
        )

    def _found(self, pattern: str) -> dict[str, str]:
        """Map the id that the `*` stands for to the path below the root."""
        start, end = pattern.split("*")
        folder, _, _ = start.rpartition("/")
        prefix = f"{folder}/" if folder else ""
        paths = list_paths(join(self._root, folder) if folder else self._root, self._options)
        names = (prefix + path for path in paths)
        return {
            name[len(start) : len(name) - len(end)]: name
            for name in names
            if name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end)
        }

    def _listed(self) -> dict[str, tuple[str, str | None]]:
        """Read the list file: an id, or an image path and a label path, a line."""
        if self._config.items is None:
            return {}
        uri = join(self._root, self._config.items)
        try:
            text = self._read(uri).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{uri}: no text in UTF-8 ({error}); save it as UTF-8") from error
        named = [self._paths(line.split(), uri) for line in text.splitlines() if line.strip()]
        if not named:
            raise DataError(f"{uri}: the list is empty; write one item id a line")
        ids = Counter(id_ for id_, _ in named)
        repeated = sorted(id_ for id_, count in ids.items() if count > 1)
        if repeated:
            raise DataError(f"{uri}: listed twice: {listing(repeated)}; list every item once")
        return dict(named)

    def _paths(self, words: list[str], uri: str) -> tuple[str, tuple[str, str]]:
        match words:
            case [id_]:
                patterns = self._config.images, self._config.labels
                return id_, (patterns[0].replace("*", id_), patterns[1].replace("*", id_))
            case [image, label]:
                return posixpath.splitext(image)[0], (image, label)
        raise DataError(
            f"{uri}: a line of {len(words)} words ({listing(words)}); write an item id, or an "
            "image path and a label path"
        )
