"""Drawn street scenes: data sets that need no download, with domains near and far.

A scene is a pure function of its city, its index and its size. It shows a street in perspective
with exact labels, thin void borders and, in some cities, the camera car's bonnet (void), as the
real data sets have. `cities` says how the cities differ. Drawing uses only operations that
IEEE 754 fixes (no `exp`, no `power`, no matrix product), so that every processor and every NumPy
gives the same bytes; `SCENES_VERSION` names them.
"""

from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from otce.datasets.scenes.backdrop import cast_street
from otce.datasets.scenes.canvas import (
    CAR,
    CLASSES,
    PERSON,
    SKY,
    VEGETATION,
    VOID,
    Camera,
    Canvas,
    Floats,
)
from otce.datasets.scenes.cities import CITIES, City
from otce.datasets.scenes.streets import Street, lay_street
from otce.datasets.scenes.things import place_things
from otce.errors import ConfigError

__all__ = ["CITIES", "CLASSES", "SCENES_VERSION", "VOID", "City", "draw_scene", "find_city"]

SCENES_VERSION: int = 1
"""Raised whenever a drawn byte changes."""
_SMALLEST_PX = (32, 48)
_LAMPLIGHT = np.array((1.0, 0.80, 0.52), np.float32)[:, None, None]


def draw_scene(
    city: str, index: int, size_px: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one street and its labels.

    The same index shows the same street at every size, but for the camera's noise.

    Args:
        city: a name in `CITIES`.
        index: number of the scene in its city, at least 0.
        size_px: height and width, at least 32 x 48.

    Returns:
        The image, (H, W, 3) uint8 RGB, and its labels, (H, W) uint8: indices into `CLASSES`, or
        255 for void.

    Raises:
        ConfigError: the city is unknown, the index negative or the size too small.

    Example:
        >>> image, label = draw_scene("alder", 0, (64, 96))
        >>> image.shape, label.shape, [CLASSES[label[5, 48]], CLASSES[label[40, 48]]]
        ((64, 96, 3), (64, 96), ['sky', 'road'])
    """
    found = find_city(city)
    _check(city, index, size_px)
    entropy = [SCENES_VERSION, int.from_bytes(city.encode(), "big")]
    seeds = np.random.SeedSequence(entropy, spawn_key=(index,)).spawn(2)
    # Two streams, as the pixels' noise takes more numbers from a larger picture.
    layout_rng, pixel_rng = (np.random.default_rng(seed) for seed in seeds)
    return _draw(found, layout_rng, pixel_rng, size_px)


def find_city(name: str) -> City:
    """Look a city up.

    Args:
        name: a name in `CITIES`.

    Returns:
        The city's parameters.

    Raises:
        ConfigError: no city has this name.
    """
    if name in CITIES:
        return CITIES[name]
    close = get_close_matches(name, CITIES, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    names = ", ".join(CITIES)
    raise ConfigError(f"scene city {name!r} is unknown{hint}; choose one of {names}")


def _check(city: str, index: int, size_px: tuple[int, int]) -> None:
    if index < 0:
        raise ConfigError(f"scene index {index} of {city} is negative; count from 0")
    if size_px[0] < _SMALLEST_PX[0] or size_px[1] < _SMALLEST_PX[1]:
        raise ConfigError(
            f"scene size {size_px[0]} x {size_px[1]} of {city} is too small to show a street; "
            f"use a height of at least {_SMALLEST_PX[0]} and a width of at least {_SMALLEST_PX[1]}"
        )


def _draw(
    city: City,
    layout_rng: np.random.Generator,
    pixel_rng: np.random.Generator,
    size_px: tuple[int, int],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    street = lay_street(city, layout_rng)
    camera = _place_camera(city, street, layout_rng, size_px)
    exposure = layout_rng.uniform(0.9, 1.1) * layout_rng.uniform(0.97, 1.03, 3)
    canvas = cast_street(city, street, camera, size_px)
    for thing in place_things(city, street, layout_rng):
        thing.draw(canvas, camera)
    light = _expose(city, canvas, exposure.astype(np.float32))
    _draw_weather(city, light, pixel_rng)
    _draw_void(city, canvas.label, light)
    image = (np.clip(light, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(image, 0, 2)), canvas.label


def _place_camera(
    city: City, street: Street, rng: np.random.Generator, size_px: tuple[int, int]
) -> Camera:
    height_px, width_px = size_px
    own_side = -1.0 if city.keeps_left else 1.0
    return Camera(
        focal_px=city.focal * width_px,
        horizon_row=(city.horizon + rng.uniform(-0.03, 0.03)) * height_px,
        centre_column=(0.5 + rng.uniform(-0.12, 0.12)) * width_px,
        height_m=city.camera_height_m * rng.uniform(0.95, 1.05),
        lateral_m=own_side * street.lane_m + rng.uniform(-0.4, 0.4),
    )


def _expose(city: City, canvas: Canvas, exposure: Floats) -> Floats:
    """(3, H, W) what the camera sees of the colours under daylight, lamps and fog."""
    depth_m, glow = canvas.depth_m, canvas.glow
    to_lamp = np.abs(depth_m * (1.0 / city.lamp_spacing_m) % 1.0 - 0.5)
    pool = city.lamps * (0.25 + 1.8 * to_lamp * to_lamp) * 60.0 / (60.0 + depth_m)
    clear = np.maximum(city.visibility_m / (city.visibility_m + depth_m), 0.7 * glow)
    lit = np.array(city.ambient, np.float32)[:, None, None] + pool * _LAMPLIGHT
    lit += (1.0 - lit) * glow
    light: Floats = canvas.colour * lit
    fog = np.array(city.fog, np.float32)[:, None, None]
    light += (fog - light) * (1.0 - clear)
    # The sky's colours are as seen already.
    np.copyto(light, canvas.colour, where=canvas.label == SKY)
    light *= exposure[:, None, None]
    return light


def _draw_weather(city: City, light: Floats, rng: np.random.Generator) -> None:
    """Add flakes, streaks of rain and the camera's noise in place."""
    size_px = light.shape[1:]
    # The difference of two uniform numbers: bell-shaped enough, and exact on every processor.
    noise = rng.random(light.shape, np.float32) - rng.random(light.shape, np.float32)
    light += city.noise * noise
    if city.snowfall:
        light[:, rng.random(size_px, np.float32) < 0.02 * city.snowfall] = 0.97
    if city.rain:
        is_drop = rng.random(size_px, np.float32) < 0.008 * city.rain
        for _ in range(max(2, size_px[0] // 32)):
            light[:, is_drop] += 0.10 * city.rain
            is_drop = np.roll(is_drop, 1, axis=0)


def _draw_void(city: City, label: NDArray[np.uint8], light: Floats) -> None:
    """Blank the background beside outlines that nobody could label exactly, and the bonnet."""
    is_soft = (label == VEGETATION) | (label == CAR) | (label == PERSON)
    beside = np.zeros_like(is_soft)
    beside[:, 1:] = is_soft[:, :-1]
    beside[:-1] |= is_soft[1:]
    label[beside & (label < VEGETATION)] = VOID
    if city.has_bonnet:
        rows = (np.arange(label.shape[0]) + 0.5)[:, None] / label.shape[0]
        columns = (np.arange(label.shape[1]) + 0.5) / label.shape[1] * 2.0 - 1.0
        is_bonnet = rows > 0.94 + 0.08 * columns * columns
        label[is_bonnet] = VOID
        light[:, is_bonnet] = light[:, is_bonnet] * 0.25 + 0.08
