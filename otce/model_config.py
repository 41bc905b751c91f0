"""One source model of the configuration: what it is, what it is fed, where to listen."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)

from otce.section import Channel, Digest, PositiveFloat, Section, Size, Uri, resolved

Kind = Literal["torchvision", "hf", "smp", "monai", "export", "onnx", "torchscript", "python"]
Positives = tuple[PositiveFloat, PositiveFloat, PositiveFloat]

# What may follow `<kind>:`. Names are only ever looked up in their library, never joined to paths.
_FORMS: Final[dict[str, tuple[str, str]]] = {
    "torchvision": (r"[a-z0-9_]+(/[A-Z0-9_]+)?", "<builder>[/<weights>]"),
    "hf": (r".+", "<org>/<name>@<revision> or a folder"),
    "smp": (r"[a-z0-9]+/[A-Za-z0-9][\w.-]*", "<arch>/<encoder>"),
    "monai": (r"[A-Za-z]\w*", "<class>"),
    "export": (r".+\.pt2", "<uri>.pt2"),
    "onnx": (r".+", "<uri>"),
    "torchscript": (r".+", "<uri>"),
    "python": (r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", "<module>:<function>"),
}
# A revision becomes part of paths in the hub's cache; git has none with two dots either.
_HUB: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*@(?!.*\.\.)[\w-][\w./-]*")
_FILES: Final = ("export", "onnx", "torchscript")
_FOUR_GIB: Final = 1 << 32


def _reference(reference: str, info: ValidationInfo) -> str:
    kind, _, name = reference.partition(":")
    pattern, form = _FORMS.get(kind, ("", ""))
    if not form:
        forms = ", ".join(f"{known}:{form}" for known, (_, form) in _FORMS.items())
        raise ValueError(f"{reference} is no model reference; write one of {forms}")
    if re.fullmatch(pattern, name, re.ASCII) is None:
        raise ValueError(f"{reference} does not have the form {kind}:{form}")
    is_location = kind in _FILES or (kind == "hf" and _HUB.fullmatch(name) is None)
    return f"{kind}:{resolved(name, info)}" if is_location else reference


class Preprocessing(Section):
    """What is done to an RGB image whose values were divided by 255, every choice made."""

    size_px: Size | None = None
    """Height and width to resize to (bilinear, antialiased); none: see `shortest_px`."""
    shortest_px: Annotated[int, Field(ge=1)] | None = None
    """Length that the shorter side is resized to, in proportion; none: as the image is."""
    multiple_px: Annotated[int, Field(ge=1)] = 1
    """Both sides are then stretched to the next multiple of this: strides and patches need it."""
    mean: Channel = (0.485, 0.456, 0.406)
    """Subtracted per channel, in the range 0 to 1."""
    std: Positives = (0.229, 0.224, 0.225)
    """Divided by per channel."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Order in which the model (and mean and std) wants the channels."""


class PreprocessingChoice(Section):
    """What the configuration says of `Preprocessing`; none: as the library says, or its default."""

    size_px: Size | Literal["image"] | None = None
    """Height and width to resize to; `image`: as the image is, whatever the library says."""
    shortest_px: Annotated[int, Field(ge=1)] | None = None
    """Length that the shorter side is resized to, in proportion."""
    multiple_px: Annotated[int, Field(ge=1)] | None = None
    """Both sides are then stretched to the next multiple of this."""
    mean: Channel | None = None
    """Subtracted per channel, in the range 0 to 1; by default ImageNet's."""
    std: Positives | None = None
    """Divided by per channel; by default ImageNet's."""
    channel_order: Literal["rgb", "bgr"] | None = None
    """Order in which the model (and mean and std) wants the channels."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.size_px is not None and self.shortest_px is not None:
            raise ValueError("size_px and shortest_px exclude each other; keep one")
        return self


class ModelConfig(Section):
    """One source model: network, weights, preprocessing, where it was trained, where to listen."""

    reference: Annotated[str, AfterValidator(_reference)]
    """What builds the network: `<kind>:<name>`, kinds as in the README."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Keyword arguments of what builds the network."""
    trusted: bool = False
    """That you let it run: `python`, `torchscript` and `export` references are code."""
    weights: Uri | None = None
    """A safetensors file or a state dict saved by torch; none: what the reference carries."""
    weights_digest: Digest | None = None
    """SHA-256 of the weights file: checked when it is read, and saves reading it to know it."""
    max_weights_bytes: Annotated[int, Field(ge=1)] = _FOUR_GIB
    """Larger files (weights, a signature), packed or unpacked, are refused before they are read."""
    source: str | None = None
    """Id of the data set it was trained on; none: what `signature` says."""
    signature: Uri | None = None
    """A file of `otce signature`: the source side, in place of a source data set at hand."""
    n_classes: Annotated[int, Field(ge=1)] | None = None
    """Classes of its logits, when not those of its source data set (an extra background, say)."""
    preprocessing: PreprocessingChoice = PreprocessingChoice()
    """What is done to an image before it enters the model, where the library is not to say."""
    tap: Annotated[str, Field(min_length=1)] = "head"
    """Which features: `head` (input of the final classifier), `logits`, or a module's path."""

    @field_validator("signature")
    @classmethod
    def _or_source(cls, signature: str | None, info: ValidationInfo) -> str | None:
        if signature is None and info.data.get("source", "") is None:
            raise ValueError("source is missing; name the data set it was trained on, or this file")
        return signature

    @model_validator(mode="after")
    def _has_weights(self) -> Self:
        carries = self.kind in {"hf", *_FILES} or (self.kind == "torchvision" and "/" in self.name)
        if not carries and self.weights is None:
            named = ", or name some as in <builder>/DEFAULT" if self.kind == "torchvision" else ""
            raise ValueError(f"weights is missing: {self.kind} nets carry none; set it{named}")
        return self

    @property
    def kind(self) -> str:
        """What stands before the colon of the reference."""
        return self.reference.partition(":")[0]

    @property
    def name(self) -> str:
        """What stands after the first colon of the reference."""
        return self.reference.partition(":")[2]

    @property
    def is_on_hub(self) -> bool:
        """Whether the reference is `hf:<org>/<name>@<revision>`, and no folder."""
        return self.kind == "hf" and _HUB.fullmatch(self.name) is not None

    @property
    def architecture(self) -> str:
        """The reference without a place: what lies in files is told apart by digests."""
        return self.kind if self.kind in {"hf", *_FILES} else self.reference
