"""Layouts of image files: where images and masks are, what mask values mean, what an id tells.

Facts of the layouts: mcordts/cityscapesScripts (README, helpers/labels.py), bdd100k/bdd100k
(doc/source/format.rst), the loaders of "Playing for Data" in wasidennis/AdaptSegNet and
lhoyer/DAFormer, and the development kit of Pascal VOC.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from otce.classes import CAMVID_CLASSES, CITYSCAPES_IDS, STREET_CLASSES
from otce.dataset_config import (
    Bdd100kDataset,
    CamvidDataset,
    CityscapesDataset,
    FolderDataset,
    Gta5Dataset,
    ImageFiles,
    VocDataset,
)
from otce.datasets.lists import FileList, read_split_mat, read_text_list

# Loaders set their ignore index to 250 as often as to 255; neither is a class of any of these.
_VOID: Final = frozenset({250, 255})
_AS_IT_IS: Final[Mapping[int, int]] = {}
_BY_CITYSCAPES_ID: Final = dict.fromkeys(range(34), 255) | {
    id_: train_id for train_id, id_ in enumerate(CITYSCAPES_IDS.values())
}
_KNOWN_BAD_FRAMES: Final = frozenset(f"{n:05d}" for n in (15188, 17705, *range(20801, 20861)))


@dataclass(frozen=True)
class Masks:
    """One kind of mask file.

    Attributes:
        pattern: where they are below the root; the `*` stands for the id.
        label_map: mask value to class id; empty: values are class ids.
    """

    pattern: str
    label_map: Mapping[int, int]


@dataclass(frozen=True)
class Layout:
    """What a layout is; pairing, choosing and reading are the same for all.

    Attributes:
        images: patterns of images; the first one that has a file wins.
        masks: kinds of masks; the first one that has a file wins.
        classes: class names; class ids are their positions.
        ignore: mask values that are no class.
        file_list: says which items there are; none: every image that is found.
        part_of: city or sequence of an id, where ids tell it; else the id.
        parts: only these cities or sequences; none: all.
        folders: beginnings of ids below which all wanted files lie.
        known_bad: ids that are left out.
    """

    images: tuple[str, ...]
    masks: tuple[Masks, ...]
    classes: tuple[str, ...]
    ignore: frozenset[int] = _VOID
    file_list: FileList | None = None
    part_of: Callable[[str], str] = str
    parts: tuple[str, ...] = ()
    folders: tuple[str, ...] = ("",)
    known_bad: frozenset[str] = frozenset()

    @property
    def label_patterns(self) -> tuple[str, ...]:
        """Patterns of all kinds of masks."""
        return tuple(kind.pattern for kind in self.masks)


def layout_of(config: ImageFiles) -> Layout:
    """Describe the layout of a data set.

    Args:
        config: one data set of image files.

    Returns:
        Its layout.
    """
    match config:
        case FolderDataset():
            return _folder(config)
        case VocDataset():
            return _voc(config)
        case CityscapesDataset():
            return _cityscapes(config)
        case Bdd100kDataset():
            return _bdd100k(config)
        case Gta5Dataset():
            return _gta5(config)
        case CamvidDataset():
            return _camvid(config)
    raise AssertionError(f"no layout for {type(config).__name__}")


def _folder(config: FolderDataset) -> Layout:
    return Layout(
        images=(config.images,),
        masks=(Masks(config.labels, config.label_map),),
        classes=config.classes,
        ignore=config.ignore,
        file_list=_items(config),
    )


def _voc(config: VocDataset) -> Layout:
    return Layout(
        images=("JPEGImages/*.jpg",),
        masks=(Masks("SegmentationClass/*.png", config.label_map),),
        classes=config.classes,
        ignore=config.ignore,
        file_list=_items(config) or read_text_list(f"ImageSets/Segmentation/{config.split}.txt"),
    )


def _cityscapes(config: CityscapesDataset) -> Layout:
    labels = f"gtFine/{config.split}/*_gtFine_"
    return Layout(
        images=(f"leftImg8bit/{config.split}/*_leftImg8bit.png",),
        masks=(
            Masks(f"{labels}labelTrainIds.png", _AS_IT_IS),
            Masks(f"{labels}labelIds.png", _BY_CITYSCAPES_ID),
        ),
        classes=STREET_CLASSES,
        file_list=_items(config),
        part_of=lambda id_: id_.partition("/")[0],
        parts=config.cities,
        folders=tuple(f"{city}/" for city in config.cities) or ("",),
    )


def _bdd100k(config: Bdd100kDataset) -> Layout:
    split = config.split
    return Layout(
        images=(f"images/10k/{split}/*.jpg", f"seg/images/{split}/*.jpg"),
        masks=(
            Masks(f"labels/sem_seg/masks/{split}/*.png", _AS_IT_IS),
            Masks(f"seg/labels/{split}/*_train_id.png", _AS_IT_IS),
        ),
        classes=STREET_CLASSES,
        file_list=_items(config),
    )


def _gta5(config: Gta5Dataset) -> Layout:
    split = config.split
    return Layout(
        images=("images/*.png",),
        masks=(
            Masks("labels/*_labelTrainIds.png", _AS_IT_IS),
            Masks("labels/*.png", _BY_CITYSCAPES_ID),
        ),
        classes=STREET_CLASSES,
        file_list=read_split_mat("split.mat", split) if split else _items(config),
        known_bad=frozenset() if config.known_bad_frames == "keep" else _KNOWN_BAD_FRAMES,
    )


def _camvid(config: CamvidDataset) -> Layout:
    return Layout(
        images=("images/*.jpg", "images/*.png"),
        masks=(Masks("labels/*.png", _AS_IT_IS),),
        classes=CAMVID_CLASSES,
        ignore=_VOID | {11},
        file_list=_items(config),
        part_of=lambda id_: id_.partition("_")[0],
        parts=config.sequences,
    )


def _items(config: ImageFiles) -> FileList | None:
    return read_text_list(config.items) if config.items else None
