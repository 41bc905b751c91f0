"""Images and masks of a layout found in storage and paired by id; everything unclear is refused."""

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from otce.dataset_config import PART_NAME
from otce.datasets.items import Item, listing
from otce.datasets.layouts import Layout
from otce.datasets.lists import Named
from otce.errors import DataError
from otce.storage.files import StorageOptions, join, read_bytes
from otce.storage.listing import entries

_LARGEST_LIST_BYTES: Final = 1 << 24


@dataclass(frozen=True)
class Found:
    """What a layout has in storage.

    Attributes:
        items: paired items, sorted by id, before any choice among them.
        notes: what was left out, in words.
    """

    items: tuple[Item, ...]
    notes: tuple[str, ...]


class Pairing:
    """Finds the items of a layout.

    Args:
        root: path or URI of the data set.
        layout: its layout.
        options: fsspec options by protocol.
        most_bytes: larger files are refused.
    """

    def __init__(
        self, root: str, layout: Layout, options: StorageOptions | None, *, most_bytes: int
    ) -> None:
        self._root, self._layout, self._options = root, layout, options
        self._most_bytes = most_bytes

    def parts(self) -> list[str]:
        """Name the cities or sequences of the items.

        Returns:
            Names, sorted.

        Raises:
            DataError: no items, a bad list, or a name that could be read as something else.
            StoreError: the storage refuses or does not answer.
        """
        named = self._named(self._sizes(self._layout.images))
        names = sorted({self._layout.part_of(item.id) for item in named})
        if strange := [name for name in names if not re.fullmatch(PART_NAME, name)]:
            raise DataError(
                f"{self._root}: names that are none of a city or sequence: {listing(strange)}; "
                "letters, digits and hyphens make one; move these files elsewhere"
            )
        return names

    def found(self) -> Found:
        """Pair all items.

        Returns:
            The items.

        Raises:
            DataError: no items, items without a file, too large files, or a bad list.
            StoreError: the storage refuses or does not answer.
        """
        layout = self._layout
        sizes = self._sizes((*layout.images, *layout.label_patterns))
        named = self._named(sizes)
        kept = [item for item in named if item.id not in layout.known_bad]
        bad = sorted({item.id for item in named} - {item.id for item in kept})
        pairs = {item.id: self._paths(item, sizes) for item in kept}
        self._refuse_missing(pairs, sizes)
        self._refuse_unreadable([path for pair in pairs.values() for path in pair], sizes)
        items = (
            Item(id=id_, image=join(self._root, image), label=join(self._root, label))
            for id_, (image, label) in sorted(pairs.items())
        )
        spare = self._spare_labels(pairs, sizes) if layout.file_list is None else []
        notes = {
            f"{len(bad)} known bad frames left out: {listing(bad)}": bad,
            f"{len(spare)} labels without an image left out: {listing(spare)}": spare,
        }
        return Found(tuple(items), tuple(note for note, names in notes.items() if names))

    def _sizes(self, patterns: Iterable[str]) -> dict[str, int]:
        """Sizes in bytes of the files below the folders of patterns, by path below the root."""
        folders = {
            posixpath.dirname(pattern.partition("*")[0] + beginning)
            for pattern in patterns
            for beginning in self._layout.folders
        }
        return {
            posixpath.join(folder, name): size
            for folder in sorted(folders)
            for name, size, _ in entries(join(self._root, folder), self._options)
        }

    def _named(self, sizes: Mapping[str, int]) -> list[Named]:
        """Items that the list names, or that have an image, of the wanted parts."""
        layout = self._layout
        if layout.file_list is None:
            found = (_id(pattern, path) for pattern in layout.images for path in sizes)
            named = [Named(id_) for id_ in dict.fromkeys(found) if id_ is not None]
        else:
            uri = join(self._root, layout.file_list.path)
            data = read_bytes(uri, self._options, most_bytes=_LARGEST_LIST_BYTES)
            named = layout.file_list.parse(data, uri)
        parts = set(layout.parts)
        wanted = [item for item in named if not parts or layout.part_of(item.id) in parts]
        absent = parts - {layout.part_of(item.id) for item in wanted}
        if absent and named:
            raise DataError(f"{self._root}: no image of {listing(sorted(absent))}; check the names")
        if not wanted:
            raise DataError(
                f"{self._root}: no image matches {_either(layout.images)}; the one * of the "
                "pattern stands for the item's id"
            )
        return wanted

    def _paths(self, item: Named, sizes: Mapping[str, int]) -> tuple[str, str]:
        if item.paths is not None:
            return item.paths
        image, label = (
            next((path for path in paths if path in sizes), paths[0])
            for paths in (
                [pattern.replace("*", item.id) for pattern in patterns]
                for patterns in (self._layout.images, self._layout.label_patterns)
            )
        )
        return image, label

    def _spare_labels(
        self, pairs: Mapping[str, tuple[str, str]], sizes: Mapping[str, int]
    ) -> list[str]:
        """Paths of masks that no image has, of the wanted parts."""
        layout = self._layout
        used = {path for pair in pairs.values() for path in pair}
        spare = []
        for path in sizes.keys() - used:
            ids = [id_ for p in layout.label_patterns if (id_ := _id(p, path)) is not None]
            is_image = any(_id(pattern, path) is not None for pattern in layout.images)
            wanted = ids and (not layout.parts or layout.part_of(ids[0]) in layout.parts)
            # One image may have masks of several kinds, of which the first is taken.
            if wanted and not is_image and not {*ids} & (pairs.keys() | layout.known_bad):
                spare.append(path)
        return sorted(spare)

    def _refuse_missing(
        self, pairs: Mapping[str, tuple[str, str]], sizes: Mapping[str, int]
    ) -> None:
        missing = sorted(
            f"{id_} ({'image' if image not in sizes else 'label'})"
            for id_, (image, label) in pairs.items()
            if image not in sizes or label not in sizes
        )
        if missing:
            raise DataError(
                f"{self._root}: {len(missing)} of {len(pairs)} items lack a file: "
                f"{listing(missing)}; images are looked for as {_either(self._layout.images)} and "
                f"labels as {_either(self._layout.label_patterns)}; add the files or take the "
                "items out of the list"
            )

    def _refuse_unreadable(self, paths: list[str], sizes: Mapping[str, int]) -> None:
        large = sorted(path for path in paths if sizes[path] > self._most_bytes)
        if large:
            raise DataError(
                f"{self._root}: larger than {self._most_bytes} bytes: {listing(large)}; no image "
                "of max_image_px pixels is so large; raise it if they are meant to be"
            )
        # fsspec would read `a::file:b` as a chain of addresses, and an S3 key may hold `..`.
        strange = sorted(p for p in paths if "::" in p or posixpath.normpath(p) != p)
        if strange:
            raise DataError(
                f"{self._root}: names that would be read as other paths: {listing(strange)}; "
                "rename the files"
            )
        if "://" not in self._root:
            self._refuse_links(paths)

    def _refuse_links(self, paths: list[str]) -> None:
        root = os.path.realpath(self._root)
        outside = sorted(
            path
            for path in paths
            if not os.path.realpath(posixpath.join(root, path)).startswith(root.rstrip("/") + "/")
        )
        if outside:
            raise DataError(
                f"{self._root}: links that lead out of it: {listing(outside)}; copy the files, or "
                "choose a root that holds both"
            )


def fits(pattern: str, path: str) -> bool:
    """Tell whether a path is one of a pattern.

    Args:
        pattern: with one `*`, which stands for at least one character.
        path: below the root.

    Returns:
        True when it is.

    Example:
        >>> fits("labels/*.png", "labels/aachen/1.png")
        True
    """
    return _id(pattern, path) is not None


def _id(pattern: str, path: str) -> str | None:
    start, end = pattern.split("*")
    fitting = path.startswith(start) and path.endswith(end) and len(path) > len(start) + len(end)
    return path[len(start) : len(path) - len(end)] if fitting else None


def _either(patterns: tuple[str, ...]) -> str:
    return " or ".join(patterns)
