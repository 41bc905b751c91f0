"""The standing part of a drawn street: ground, house fronts and sky, cast ray by ray.

A pixel's class follows from what its ray meets first, its colour from the point met. Ground and
fronts are painted as a material (an index of a palette) and a brightness, one 2-d array each.
Depth depends on the row alone for ground and on the column alone for fronts, which is what makes
a scene cheap.
"""
# ruff: noqa: PLR2004 - a drawing is made of proportions

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from otce.datasets.scenes.canvas import (
    BUILDING,
    PAVEMENT,
    ROAD,
    SKY,
    VEGETATION,
    Bools,
    Camera,
    Canvas,
    Floats,
    frame,
)
from otce.datasets.scenes.cities import City
from otce.datasets.scenes.streets import STOREY_M, Street

_SKY_DEPTH_M = 1e4
_ASPHALT, _SLABS, _MARKING, _ROOF, _GLASS, _LIT, _LEAVES, _WALLS = range(8)
_LIT_WINDOW = (0.98, 0.82, 0.48)
_COMMON_CLASSES = (ROAD, PAVEMENT, ROAD, BUILDING, BUILDING, BUILDING, VEGETATION)


@dataclass(frozen=True, slots=True)
class _Fronts:
    """What the (W,) columns of a picture meet above the ground."""

    depth_m: Floats
    along_m: Floats
    """Position along the wall that is met."""
    lot: NDArray[np.intp]
    """Index over the lots of the left, right and far side, in this order."""
    start_m: Floats
    """Where the lot begins."""
    top_m: Floats
    is_park: Bools


def cast_street(city: City, street: Street, camera: Camera, size_px: tuple[int, int]) -> Canvas:
    """See a street through a camera.

    Args:
        city: its palette.
        street: what stands there.
        camera: where it is seen from.
        size_px: height and width of the picture.

    Returns:
        A canvas without cars, people, trees and lamps.
    """
    down, right = camera.rays(size_px)
    fronts = _meet_fronts(street, camera, right)
    below = np.s_[int(np.count_nonzero(down <= 0)) :]
    ground_m = np.full_like(down, _SKY_DEPTH_M)
    ground_m[below] = camera.height_m / down[below]
    above_m = camera.height_m - down * fronts.depth_m
    is_ground = ground_m <= fronts.depth_m
    is_front = (above_m < fronts.top_m) & ~is_ground

    material, brightness, glow = _see_fronts(city, street, fronts, above_m)
    floor = _see_ground(city, street, right * ground_m[below] + camera.lateral_m, ground_m[below])
    np.copyto(material[below], floor[0], where=is_ground[below])
    np.copyto(brightness[below], floor[1], where=is_ground[below])
    colour = _palette(city, street)[:, material]
    colour *= brightness
    is_sky = ~(is_ground | is_front)
    np.copyto(colour, _see_sky(city, street, down, right), where=is_sky)
    glow[~is_front] = 0.0
    canvas = Canvas(
        colour=colour,
        label=np.where(is_sky, SKY, _classes(street)[material]).astype(np.uint8),
        depth_m=np.where(is_sky, np.float32(_SKY_DEPTH_M), np.minimum(ground_m, fronts.depth_m)),
        glow=glow,
    )
    _paint_gables(canvas, street, camera)
    return canvas


def _palette(city: City, street: Street) -> Floats:
    """(3, materials) colours; the walls of all lots follow the common materials."""
    glass = tuple(0.6 * part for part in city.sky_horizon)
    common = (city.road, city.pavement, city.marking, city.roof, glass, _LIT_WINDOW, city.leaves)
    sides = (street.left, street.right, street.end)
    return np.concatenate([np.array(common, np.float32), *(side.walls for side in sides)]).T


def _classes(street: Street) -> NDArray[np.uint8]:
    """(materials,) class ids in the palette's order."""
    n_walls = 3 * len(street.left.tops_m)
    return np.array([*_COMMON_CLASSES, *[BUILDING] * n_walls], np.uint8)


def _meet_fronts(street: Street, camera: Camera, right: Floats) -> _Fronts:
    wall_m = (np.copysign(np.float32(street.wall_m), right) - camera.lateral_m) / right
    is_end = wall_m >= street.end_m
    side = np.where(is_end, 2, np.where(right > 0, 1, 0))
    along_m = np.where(is_end, right * street.end_m + camera.lateral_m, wall_m)
    lots = (street.left, street.right, street.end)
    n_lots = len(lots[0].tops_m)
    found = np.stack([np.searchsorted(lot.edges_m, along_m, side="right") - 1 for lot in lots])
    own = np.clip(found[side, np.arange(right.size)], 0, n_lots - 1)
    lot = side * n_lots + own
    is_park = np.concatenate([lot.is_park for lot in lots])[lot]
    top_m = np.concatenate([lot.tops_m for lot in lots])[lot]
    return _Fronts(
        depth_m=np.minimum(wall_m, np.float32(street.end_m)),
        along_m=along_m,
        lot=lot,
        start_m=np.concatenate([lot.edges_m[:-1] for lot in lots])[lot],
        top_m=top_m + is_park * np.float32(1.6) * street.texture(along_m, lot),
        is_park=is_park,
    )


def _see_fronts(
    city: City, street: Street, fronts: _Fronts, above_m: Floats
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """(H, W) material, brightness and glow of hedges, and of houses with windows in rows."""
    is_house, lot = ~fronts.is_park, fronts.lot
    bay = (fronts.along_m - fronts.start_m) / (2.2 + 0.3 * (lot % 4)).astype(np.float32)
    floor = above_m * (1.0 / STOREY_M) - 0.07
    part = floor - np.floor(floor)
    roof_m = (0.5 + 0.4 * (lot % 3)).astype(np.float32)
    below_roof_m = fronts.top_m - roof_m - above_m
    is_pane = (np.abs(part - 0.55) < 0.27) & (np.abs(bay % 1.0 - 0.5) < 0.26)
    is_shop = (np.abs(floor - 0.47) < 0.37) & (bay % 1.0 > 0.14) & (lot % 2 == 0)
    is_glass = (is_pane | is_shop) & (below_roof_m > 0.4) & is_house
    chance = street.texture(floor + 3 * lot, bay + 7 * lot)
    is_lit = is_glass & (chance < 0.45 * city.lamps)

    material = np.where(is_house, _WALLS + lot, _LEAVES) + np.zeros_like(above_m, np.intp)
    material[(below_roof_m < 0) & is_house] = _ROOF
    material[is_glass] = _GLASS
    material[is_lit] = _LIT
    cells_per_m = np.where(is_house, np.float32(5.0), np.float32(3.0))
    grain = street.texture(above_m * cells_per_m, fronts.along_m * cells_per_m)
    patch = street.texture(above_m, fronts.along_m)
    brightness = 1.0 + city.texture * (1.4 * grain + 0.6 * patch - 1.0)
    np.copyto(brightness, 0.45 + 0.75 * grain, where=fronts.is_park)
    np.copyto(brightness, 0.45 + 0.6 * chance, where=is_glass & ~is_lit)
    return material, brightness, is_lit * np.float32(0.45 + 0.5 * city.lamps)


def _see_ground(
    city: City, street: Street, lateral_m: Floats, ahead_m: Floats
) -> tuple[NDArray[np.intp], Floats]:
    """(h, W) material and brightness of road and pavements at (h, W) and (h, 1) positions."""
    off_m = np.abs(lateral_m)
    is_road = off_m < street.road_half_m
    material = np.where(is_road, _ASPHALT, _SLABS)
    material[_is_marked(street, lateral_m, ahead_m) & is_road] = _MARKING
    is_joint = (lateral_m % 0.9 < 0.06) | (ahead_m % 1.2 < 0.08)
    is_kerb = off_m < street.road_half_m + 0.25
    grain = street.texture(ahead_m * 6.0, lateral_m * 6.0)
    patch = street.texture(ahead_m * 0.7, lateral_m * 0.7)
    brightness = 1.0 + city.texture * (grain + patch - 1.0)
    np.multiply(brightness, 0.82, out=brightness, where=is_joint & ~is_road & (ahead_m < 25.0))
    np.multiply(brightness, 1.1, out=brightness, where=is_kerb & ~is_road)
    # The edge of the houses' shadow follows their tops.
    edge_m = street.shadow_edge_m + 1.4 * street.texture(ahead_m * 0.11, 0)
    is_shaded = (lateral_m < edge_m) if street.is_shadow_left else (lateral_m > -edge_m)
    np.multiply(brightness, 1.0 - city.shadow, out=brightness, where=is_shaded)
    return material, brightness


def _is_marked(street: Street, lateral_m: Floats, ahead_m: Floats) -> Bools:
    """Whether points lie on a dashed middle line, an edge line or a zebra crossing."""
    off_m = np.abs(lateral_m)
    is_middle = (off_m < 0.11) & (ahead_m % 6.0 < 3.0)
    is_edge = np.abs(off_m - (street.road_half_m - 0.4)) < 0.08
    is_crossing = np.abs(ahead_m - street.crossing_m) < 1.6
    is_stripe = (off_m < street.road_half_m - 0.3) & (lateral_m % 1.1 < 0.55)
    is_marked: Bools = np.where(is_crossing, is_stripe, is_middle | is_edge)
    return is_marked


def _see_sky(city: City, street: Street, down: Floats, right: Floats) -> Floats:
    """(3, H, W) gradient towards the horizon, whitened by smooth clouds."""
    top = np.array(city.sky_top, np.float32)[:, None, None]
    horizon = np.array(city.sky_horizon, np.float32)[:, None, None]
    fade: Floats = np.clip(1.0 + down * 1.8, 0.0, 1.0)
    gradient = top * (1.0 - fade) + horizon * fade
    cover = street.smooth_texture(down * 14.0 + 40.0, right * 6.0 + 20.0)
    white: Floats = np.clip((cover - (1.0 - city.clouds)) * 1.6, 0.0, 0.75)
    return gradient + (horizon * 1.04 - gradient) * white


def _paint_gables(canvas: Canvas, street: Street, camera: Camera) -> None:
    """Paint the sides of houses that stand out above their nearer neighbours, nearest first."""
    for lots, sign in ((street.left, -1.0), (street.right, 1.0)):
        is_there = ~lots.is_park & (lots.edges_m[:-1] > 2.0) & (lots.edges_m[:-1] < street.end_m)
        for lot in np.flatnonzero(is_there):
            gable = frame(
                canvas,
                camera,
                lateral_m=sign * (street.wall_m + 5.0),
                depth_m=float(lots.edges_m[lot]),
                width_m=10.0,
                height_m=float(lots.tops_m[lot]),
            )
            if gable is not None:
                is_free = canvas.label[gable.window] == SKY
                gable.paint(is_free, lots.walls[lot] * np.float32(0.72), BUILDING)
