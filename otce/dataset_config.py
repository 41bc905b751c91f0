"""Data sets of a configuration: one section for each layout."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from otce.classes import VOC_CLASSES
from otce.section import Digest, PathBelowRoot, Pattern, Section, Seed, Size, resolved

PART_NAME: Final = "[A-Za-z0-9-]+"
"""What names of cities and sequences are; they become folders, so none can be a path."""
Share = Annotated[float, Field(ge=0, le=1)]
MaskValue = Annotated[int, Field(ge=0, le=65_535)]
ClassNames = Annotated[tuple[str, ...], Field(min_length=1)]
PartNames = Annotated[
    tuple[Annotated[str, Field(pattern=f"^{PART_NAME}$")], ...],
    AfterValidator(lambda names: tuple(sorted(set(names)))),
]
"""Names of cities or sequences, in any order."""


def _resolve_layout(layout: str, info: ValidationInfo) -> str:
    kind, _, root = layout.partition(":")
    return f"{kind}:{resolved(root, info)}"


class AnyDataset(Section):
    """What all data sets share."""

    digest: Digest | None = None
    """Digest of its content, as `otce validate` shows it: checked when the data set is read, which
    a source need not be while the store keeps its draws for every model to score."""

    @model_validator(mode="after")
    def _pins_one(self) -> Self:
        if self.digest is not None and getattr(self, "by", None) is not None:
            raise ValueError("digest pins one data set and by makes many; give each its own entry")
        return self


class ImageFiles(AnyDataset):
    """What all layouts of image files share: which of their items are taken."""

    layout: Annotated[str, Field(pattern=r"^[a-z0-9]+:.+"), AfterValidator(_resolve_layout)]
    """Name of the layout, a colon, and the root, which is a path or any fsspec URI."""
    items: PathBelowRoot | None = None
    """A list file below the root: one id (or an image path and a label path) a line."""
    between: tuple[Share, Share] = (0.0, 1.0)
    """Shares of the items, in order of ids, where those taken begin and end: `[0, 0.6]` and
    `[0.6, 1]` cut a sequence in time."""
    every: Annotated[int, Field(ge=1)] = 1
    """Take each so-many-th item, in order of ids, the first one included."""
    spread: Annotated[int, Field(ge=1)] | None = None
    """Most items, evenly spaced over what `every` left: what `measure.shots` of as many takes."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Most items, drawn by `seed` from what is left; fewer are taken whole."""
    seed: Seed = 0
    """Root of that draw, which depends on it and on the ids alone."""
    max_bad_items: Annotated[int, Field(ge=0)] = 0
    """Most items that are left out because a file of theirs is corrupt; with more it is an error.
    Above 0 each start decodes the data set once more, to know its items before it names them."""
    max_image_px: Annotated[int, Field(ge=1)] = 64_000_000
    """Larger images are refused before they are decoded, larger files before they are read."""

    @field_validator("between")
    @classmethod
    def _is_a_part(cls, between: tuple[float, float]) -> tuple[float, float]:
        if between[0] >= between[1]:
            raise ValueError(f"{list(between)} holds nothing; write where it begins, then its end")
        return between


class LabelledByClasses(ImageFiles):
    """Layouts that leave open what a mask's values mean."""

    classes: ClassNames
    """Class names; class ids are their positions."""
    ignore: frozenset[int] = frozenset({255})
    """Mask values that are no class."""
    label_map: dict[MaskValue, int] = Field(default_factory=dict)
    """Mask value to class id (or an ignored id), all at once; empty: values are class ids."""

    @field_validator("label_map")
    @classmethod
    def _maps_to_classes(cls, label_map: dict[int, int], info: ValidationInfo) -> dict[int, int]:
        if not {"classes", "ignore"} <= info.data.keys():
            return label_map  # those have problems of their own
        n_classes, ignore = len(info.data["classes"]), info.data["ignore"]
        bad = {k: v for k, v in label_map.items() if not 0 <= v < n_classes and v not in ignore}
        if bad:
            raise ValueError(
                f"maps to ids that are no class, such as {dict(list(bad.items())[:8])}; classes "
                f"are 0..{n_classes - 1} and ignored ids are {sorted(ignore)}"
            )
        void = {k: v for k, v in label_map.items() if 0 <= v < n_classes and v in ignore}
        if void:
            raise ValueError(
                f"maps to classes that ignore lists, such as {dict(list(void.items())[:8])}; take "
                "them out of ignore, and map values that are no class to an ignored one beyond them"
            )
        return label_map


class FolderDataset(LabelledByClasses):
    """`folder:<root>`: images and label masks paired by what the `*` of their patterns means."""

    layout: Annotated[str, Field(pattern=r"^folder:.+"), AfterValidator(_resolve_layout)]
    """`folder:<root>`, the root being a path or any fsspec URI."""
    images: Pattern
    """Where the images are below the root; the one `*` stands for the item's id."""
    labels: Pattern
    """Where the label mask of the same id is."""


class VocDataset(LabelledByClasses):
    """`voc:<root>`: `JPEGImages`, `SegmentationClass` and lists in `ImageSets/Segmentation`."""

    split: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    """Name of the list in `ImageSets/Segmentation`, without `.txt`; or give `items`."""
    classes: ClassNames = VOC_CLASSES
    """Class names; class ids are their positions; by default those of Pascal VOC."""

    @model_validator(mode="after")
    def _has_one_list(self) -> "VocDataset":
        if (self.split is None) == (self.items is None):
            raise ValueError("give either split or items: one of them lists the images")
        return self


class CityscapesDataset(ImageFiles):
    """`cityscapes:<root>`: `leftImg8bit` and `gtFine`, 19 classes by train id."""

    split: Literal["train", "val", "test"] = "train"
    """Folder below `leftImg8bit` and `gtFine`; the labels of `test` are all ignored."""
    cities: PartNames = ()
    """Only these cities; all when left out."""
    by: Literal["city"] | None = None
    """`city`: stands for one data set per city, called `<id>/<city>`."""


class Bdd100kDataset(ImageFiles):
    """`bdd100k:<root>`: the 10k images and train-id masks of either release."""

    split: Literal["train", "val"] = "train"
    """Folder of the images and masks; the test split has no masks."""


class Gta5Dataset(ImageFiles):
    """`gta5:<root>`: `images` and `labels`, masks by Cityscapes id, 19 classes by train id."""

    split: Literal["train", "val", "test"] | None = None
    """Frames that `split.mat` lists for this split; all frames when left out."""
    known_bad_frames: Literal["leave_out", "keep"] = "leave_out"
    """What happens to frames 15188, 17705 and 20801..20860, which are known to be bad."""

    @model_validator(mode="after")
    def _has_one_list(self) -> "Gta5Dataset":
        if self.split is not None and self.items is not None:
            raise ValueError("give either split or items: each of them lists the frames")
        return self


class CamvidDataset(ImageFiles):
    """`camvid:<root>`: `images` and `labels`, 11 classes, void 11."""

    sequences: PartNames = ()
    """Only these sequences (what an id has before its `_`); all when left out."""
    by: Literal["sequence"] | None = None
    """`sequence`: stands for one data set per sequence, called `<id>/<sequence>`."""


class ScenesDataset(AnyDataset):
    """Street scenes drawn by code; every named city is a domain of its own."""

    layout: Annotated[str, Field(pattern=r"^scenes:.+")]
    """`scenes:<city>`."""
    count: Annotated[int, Field(ge=1)] = 24
    """Number of scenes."""
    size_px: Size = (128, 192)
    """Height and width."""
    first: Annotated[int, Field(ge=0)] = 0
    """Index of the first scene: disjoint ranges are disjoint images of one city."""


def _layout_kind(value: Any) -> str:
    layout = value.get("layout", "") if isinstance(value, dict) else getattr(value, "layout", "")
    kind, colon, _ = str(layout).partition(":")
    return kind if colon else "folder"


_NO_LAYOUT: Final = (
    "no layout is called so; there are folder:, cityscapes:, bdd100k:, gta5:, camvid:, voc: (each "
    "with a root) and scenes: (with a city)"
)
DatasetConfig = Annotated[
    Annotated[FolderDataset, Tag("folder")]
    | Annotated[ScenesDataset, Tag("scenes")]
    | Annotated[VocDataset, Tag("voc")]
    | Annotated[CityscapesDataset, Tag("cityscapes")]
    | Annotated[Bdd100kDataset, Tag("bdd100k")]
    | Annotated[Gta5Dataset, Tag("gta5")]
    | Annotated[CamvidDataset, Tag("camvid")],
    Discriminator(
        _layout_kind, custom_error_type="unknown_layout", custom_error_message=_NO_LAYOUT
    ),
]
"""Any data set; the name before the colon of its layout tells which."""
