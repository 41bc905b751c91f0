"""Layouts of image files: where images and masks are, what mask values mean, what an id tells.

Facts of the layouts: mcordts/cityscapesScripts (README, helpers/labels.py), bdd100k/bdd100k
(doc/source/format.rst), the loaders of "Playing for Data" in wasidennis/AdaptSegNet and
lhoyer/DAFormer, and the development kit of Pascal VOC.
"""

from collections.abc import Callable, Iterable, Mapping
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
_BY_TRAIN_ID: Final[Mapping[int, int]] = {}
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
        part_of: city or sequence of an id, where ids tell it.
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
    listed = read_text_list(config.items) if config.items else None
    match config:
        case CityscapesDataset():
            return _cityscapes(config, listed)
        case Bdd100kDataset(split=split):
            return Layout(
                images=(f"images/10k/{split}/*.jpg", f"seg/images/{split}/*.jpg"),
                masks=_all(
                    (f"labels/sem_seg/masks/{split}/*.png", f"seg/labels/{split}/*_train_id.png"),
                    _BY_TRAIN_ID,
                ),
                classes=STREET_CLASSES,
                file_list=listed,
            )
        case Gta5Dataset(split=split):
            keep = config.known_bad_frames == "keep"
            return Layout(
                images=("images/*.png",),
                masks=(
                    Masks("labels/*_labelTrainIds.png", _BY_TRAIN_ID),
                    Masks("labels/*.png", _BY_CITYSCAPES_ID),
                ),
                classes=STREET_CLASSES,
                file_list=read_split_mat("split.mat", split) if split else listed,
                known_bad=frozenset() if keep else _KNOWN_BAD_FRAMES,
            )
        case CamvidDataset(sequences=sequences):
            return Layout(
                images=("images/*.jpg", "images/*.png"),
                masks=_all(("labels/*.png",), _BY_TRAIN_ID),
                classes=CAMVID_CLASSES,
                ignore=_VOID | {11},
                file_list=listed,
                part_of=lambda id_: id_.partition("_")[0],
                parts=sequences,
            )
        case VocDataset(split=split):
            return Layout(
                images=("JPEGImages/*.jpg",),
                masks=_all(("SegmentationClass/*.png",), config.label_map),
                classes=config.classes,
                ignore=config.ignore,
                file_list=listed or read_text_list(f"ImageSets/Segmentation/{split}.txt"),
            )
        case FolderDataset():
            return Layout(
                images=(config.images,),
                masks=_all((config.labels,), config.label_map),
                classes=config.classes,
                ignore=config.ignore,
                file_list=listed,
            )
    raise AssertionError(f"no layout for {type(config).__name__}")


def _cityscapes(config: CityscapesDataset, listed: FileList | None) -> Layout:
    labels = f"gtFine/{config.split}/*_gtFine_"
    return Layout(
        images=(f"leftImg8bit/{config.split}/*_leftImg8bit.png",),
        masks=(
            Masks(f"{labels}labelTrainIds.png", _BY_TRAIN_ID),
            Masks(f"{labels}labelIds.png", _BY_CITYSCAPES_ID),
        ),
        classes=STREET_CLASSES,
        file_list=listed,
        part_of=lambda id_: id_.partition("/")[0],
        parts=config.cities,
        folders=tuple(f"{city}/" for city in config.cities) or ("",),
    )


def _all(patterns: Iterable[str], label_map: Mapping[int, int]) -> tuple[Masks, ...]:
    return tuple(Masks(pattern, label_map) for pattern in patterns)
