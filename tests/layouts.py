"""Small drawn copies of the layouts of well-known data sets, with the traps of the real ones."""

import io
import json
from dataclasses import dataclass, field

import numpy as np
import scipy.io
from PIL import Image
from pydantic import TypeAdapter

from otce.config import DatasetConfig
from otce.datasets import open_dataset
from tests.folders import HEIGHT_WIDTH, Place, photo, png

# Written down from the label table of Cityscapes, not from the product.
WITH_TRAIN_ID = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_ID_OF = {id_: train_id for train_id, id_ in enumerate(WITH_TRAIN_ID)}
BY_CITYSCAPES_ID = {id_: TRAIN_ID_OF.get(id_, -1) for id_ in range(34)} | {255: -1, 250: -1}
BY_TRAIN_ID = {id_: id_ for id_ in range(19)} | {255: -1, 250: -1}
CAMVID = {id_: id_ for id_ in range(11)} | {11: -1, 255: -1, 250: -1}
VOC = {id_: id_ for id_ in range(21)} | {255: -1}


def holding(values, seed, size=HEIGHT_WIDTH):
    """A mask that holds every one of some values."""
    return (
        np.random.default_rng(seed)
        .permutation(np.resize(list(values), size).ravel())
        .reshape(size)
        .astype(np.uint8)
    )


def misleading(ids):
    """A palette PNG whose colours are those of other ids."""
    picture = Image.fromarray(ids, "L")
    picture.putpalette([(7 * i + 3) % 34 for i in range(256) for _ in range(3)])
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def jpeg(seed):
    return png(photo(seed), kind="jpeg")


@dataclass(frozen=True)
class Drawn:
    """A layout and how its drawn files are named.

    `image` and `label` are templates of paths, `others` of files that must be left alone.
    """

    kind: str
    ids: tuple[str, ...]
    image: str
    label: str
    meaning: dict[int, int]
    fields: dict = field(default_factory=dict)
    mask: callable = png
    others: tuple[str, ...] = ()
    extra: dict = field(default_factory=dict)

    def raw(self, seed):
        return holding(self.meaning.keys() - {250}, seed)

    def files(self):
        files = dict(self.extra)
        for seed, id_ in enumerate(self.ids):
            files[self.image.format(id_)] = (
                jpeg(seed) if self.image.endswith("jpg") else png(photo(seed))
            )
            files[self.label.format(id_)] = self.mask(self.raw(seed))
            files |= {other.format(id_): png(photo(99)) for other in self.others}
        return files

    def class_ids(self, seed):
        return np.vectorize(self.meaning.get)(self.raw(seed))


FRAMES = (
    "aachen/aachen_000000_000019",
    "aachen/aachen_000001_000019",
    "bochum/bochum_000000_000313",
    "bochum/bochum_000000_000885",
)


def split_mat(**numbers):
    buffer = io.BytesIO()
    arrays = {name: np.array(values).reshape(-1, 1) for name, values in numbers.items()}
    scipy.io.savemat(buffer, arrays, do_compression=True)
    return buffer.getvalue()


LAYOUTS = {
    "cityscapes": Drawn(
        "cityscapes",
        FRAMES,
        "leftImg8bit/train/{}_leftImg8bit.png",
        "gtFine/train/{}_gtFine_labelIds.png",
        BY_CITYSCAPES_ID,
        others=("gtFine/train/{}_gtFine_color.png", "gtFine/train/{}_gtFine_instanceIds.png"),
        extra={
            "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png": png(photo(7)),
            "gtFine/train/aachen/aachen_000000_000019_gtFine_polygons.json": json.dumps(
                {}
            ).encode(),
            "README": b"",
        },
    ),
    "cityscapes by train id": Drawn(
        "cityscapes",
        FRAMES,
        "leftImg8bit/val/{}_leftImg8bit.png",
        "gtFine/val/{}_gtFine_labelTrainIds.png",
        BY_TRAIN_ID,
        {"split": "val"},
        others=("gtFine/val/{}_gtFine_color.png", "gtFine/val/{}_gtFine_labelIds.png"),
    ),
    "bdd100k": Drawn(
        "bdd100k",
        ("0004a4c0-d4dff0ad", "00054602-3bf57337"),
        "images/10k/train/{}.jpg",
        "labels/sem_seg/masks/train/{}.png",
        BY_TRAIN_ID,
        others=("labels/sem_seg/colormaps/train/{}.png", "images/10k/test/x{}.jpg"),
    ),
    "bdd100k, older release": Drawn(
        "bdd100k",
        ("0004a4c0-d4dff0ad", "00054602-3bf57337"),
        "seg/images/val/{}.jpg",
        "seg/labels/val/{}_train_id.png",
        BY_TRAIN_ID,
        {"split": "val"},
        others=("seg/color_labels/val/{}_train_color.png",),
    ),
    "gta5": Drawn(
        "gta5",
        ("00001", "00002", "00003", "24966"),
        "images/{}.png",
        "labels/{}.png",
        BY_CITYSCAPES_ID,
        mask=misleading,
        extra={"split.mat": split_mat(trainIds=[3, 1], valIds=[2], testIds=[24966])},
    ),
    "camvid": Drawn(
        "camvid",
        ("0001TP_006690", "0006R0_f00930", "Seq05VD_f00000", "Seq05VD_f00030"),
        "images/{}.jpg",
        "labels/{}.png",
        CAMVID,
        extra={"lists/seq_Seq05VD.txt": b"Seq05VD_f00000\nSeq05VD_f00030\n", "classes.json": b""},
    ),
    "voc": Drawn(
        "voc",
        ("2007_000032", "2007_000039"),
        "JPEGImages/{}.jpg",
        "SegmentationClass/{}.png",
        VOC,
        {"split": "train"},
        mask=misleading,
        others=("SegmentationObject/{}.png", "JPEGImages/without_mask_{}.jpg"),
        extra={"ImageSets/Segmentation/train.txt": b"2007_000032\n2007_000039\n"},
    ),
}


class LayoutPlace(Place):
    """A root with the files of one layout."""

    def __init__(self, uri, options, drawn):
        super().__init__(uri, options)
        self.drawn = drawn

    def config(self, **fields):
        data = {"layout": f"{self.drawn.kind}:{self.uri}"} | self.drawn.fields | fields
        return TypeAdapter(DatasetConfig).validate_python(data)

    def open(self, **fields):
        return open_dataset(self.config(**fields), self.options)

    def ids(self, **fields):
        return [item.id for item in self.open(**fields).items]
