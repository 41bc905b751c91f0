"""Folders of drawn images and masks that tests write to any store."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from otce.census import count_labels, dataset_digest, item_digests
from otce.config import FolderDataset
from otce.datasets import open_dataset
from otce.errors import DataError
from otce.storage.files import write_bytes

CLASSES = ("road", "sky", "tree")
HEIGHT_WIDTH = (8, 16)


def png(pixels, *, kind="png", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def photo(seed=0, size=HEIGHT_WIDTH):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def mask(seed=0, size=HEIGHT_WIDTH):
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), size)


def pair(id_, seed=0):
    return {f"i/{id_}.png": png(photo(seed)), f"l/{id_}.png": png(mask(seed))}


def raw_png(width, height, depth, colour, rows, *chunks):
    """A PNG of any size and depth, also of those that Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


class Place:
    """A root that test data is written below."""

    def __init__(self, uri, options):
        self.uri, self.options = uri, options

    def write(self, *folders):
        for files in folders:
            for name, data in files.items():
                write_bytes(f"{self.uri}/{name}", data, self.options)
        return self

    def config(self, **fields):
        fields = {"images": "i/*.png", "labels": "l/*.png", "classes": CLASSES} | fields
        return FolderDataset(layout=f"folder:{self.uri}", **fields)

    def open(self, **fields):
        return open_dataset(self.config(**fields), self.options)

    def digest(self, **fields):
        dataset = self.open(**fields)
        return dataset_digest(dataset, item_digests(dataset, dataset.items))

    def counts(self, **fields):
        dataset = self.open(**fields)
        return count_labels(dataset, dataset.items)

    def refusal(self, kind=DataError, **fields):
        """What counting the labels of all items says."""
        with pytest.raises(kind) as caught:
            self.counts(**fields)
        return str(caught.value)
