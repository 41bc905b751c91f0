"""A picture and its labels in the making, and the camera that sees it.

Lengths are in metres: `lateral` from the middle of the road to the right, `depth` ahead of the
camera. Whatever is painted sets colour and label together, so the two agree in every pixel.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLASSES: tuple[str, ...] = (
    "sky",
    "road",
    "pavement",
    "building",
    "vegetation",
    "car",
    "person",
    "pole",
)
"""Class names; a label is an index into them or `VOID`."""
SKY, ROAD, PAVEMENT, BUILDING, VEGETATION, CAR, PERSON, POLE = range(len(CLASSES))
VOID = 255
"""Label of pixels without a class."""

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera that looks along the street; rows and columns are in pixels."""

    focal_px: float
    horizon_row: float
    centre_column: float
    height_m: float
    lateral_m: float

    def rays(self, size_px: tuple[int, int]) -> tuple[Floats, Floats]:
        """Slopes of the pixels' rays: (H, 1) downwards and (W,) to the right, never 0."""
        rows, columns = np.arange(size_px[0])[:, None], np.arange(size_px[1])
        down = (rows + (0.5 - self.horizon_row)) / self.focal_px
        right = (columns + (0.5 - self.centre_column)) / self.focal_px
        right[right == 0.0] = 1.0 / self.focal_px / 100.0
        return down.astype(np.float32), right.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Canvas:
    """Arrays of one picture, painted in place."""

    colour: Floats
    """(3, H, W) colours before any light, 0..1."""
    label: NDArray[np.uint8]
    """(H, W) class ids."""
    depth_m: Floats
    """(H, W) distance of what is seen."""
    glow: Floats
    """(H, W) how much of the colour shines by itself, 0..1."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The pixels of an upright rectangle that faces the camera."""

    canvas: Canvas
    window: tuple[slice, slice]
    depth_m: float
    across: Floats
    """(w,) from -1 at the rectangle's left edge to 1 at its right."""
    up: Floats
    """(h, 1) from 0 at its foot to 1 at its top."""

    def paint(self, mask: Bools, colour: ArrayLike, label: int, glow: float = 0.0) -> None:
        """Paint a colour, (3,) or (3, h, w), where a (h, w) mask is set."""
        ink = np.asarray(colour, np.float32)
        ink = ink[:, None, None] if ink.ndim == 1 else ink
        np.copyto(self.canvas.colour[:, *self.window], ink, where=mask)
        self.canvas.label[self.window][mask] = label
        self.canvas.depth_m[self.window][mask] = self.depth_m
        self.canvas.glow[self.window][mask] = glow

    def shade(self, mask: Bools, brightest: float) -> None:
        """Darken where a (h, w) mask is set, however often; labels stay."""
        colour = self.canvas.colour[:, *self.window]
        np.minimum(colour, np.float32(brightest), out=colour, where=mask)


def frame(
    canvas: Canvas,
    camera: Camera,
    *,
    lateral_m: float,
    depth_m: float,
    width_m: float,
    height_m: float,
    foot_m: float = 0.0,
) -> Frame | None:
    """Project an upright rectangle.

    Args:
        canvas: where it will be painted.
        camera: where it is seen from.
        lateral_m: its middle.
        depth_m: its distance, above 0.
        width_m: its width.
        height_m: its height.
        foot_m: height of its lower edge above the ground.

    Returns:
        Its pixels, or None where it covers no pixel's centre.
    """
    px_per_m = camera.focal_px / depth_m
    foot_row = camera.horizon_row + (camera.height_m - foot_m) * px_per_m
    centre = camera.centre_column + (lateral_m - camera.lateral_m) * px_per_m
    half_px, height_px = width_m * px_per_m / 2.0, height_m * px_per_m
    rows = _centres(foot_row - height_px, foot_row, canvas.label.shape[0])
    columns = _centres(centre - half_px, centre + half_px, canvas.label.shape[1])
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    across = (np.arange(columns.start, columns.stop) + (0.5 - centre)) / half_px
    up = (foot_row - 0.5 - np.arange(rows.start, rows.stop)) / height_px
    up_column = up.astype(np.float32)[:, None]
    return Frame(canvas, (rows, columns), depth_m, across.astype(np.float32), up_column)


def _centres(first_px: float, end_px: float, limit_px: int) -> slice:
    """Pixels of 0..limit whose centres lie between two positions."""
    first, end = math.ceil(first_px - 0.5), math.ceil(end_px - 0.5)
    return slice(min(max(first, 0), limit_px), min(max(end, 0), limit_px))
