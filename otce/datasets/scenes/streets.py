"""The plan of a drawn street: its proportions, the lots along it and its textures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from otce.datasets.scenes.canvas import Bools, Floats
from otce.datasets.scenes.cities import City

_TABLE = 64
_LOTS_PER_SIDE = 24
_EVEN_CHANCE = 0.5
STOREY_M = 3.1
"""Height of a storey."""


@dataclass(frozen=True, slots=True)
class Lots:
    """Houses and hedges along one wall of the street, in order of their position."""

    edges_m: Floats
    """(L + 1,) where a lot ends and the next begins."""
    tops_m: Floats
    """(L,) heights."""
    walls: Floats
    """(L, 3) colours."""
    is_park: Bools
    """(L,) hedges instead of houses."""


@dataclass(frozen=True, slots=True)
class Street:
    """One street: flat ground, one wall of lots on either side and one across its far end."""

    road_half_m: float
    wall_m: float
    """Distance of either wall from the middle of the road."""
    end_m: float
    left: Lots
    right: Lots
    end: Lots
    shadow_edge_m: float
    is_shadow_left: bool
    crossing_m: float
    """Depth of a zebra crossing."""
    table: Floats
    """Uniform numbers in 0..1 behind all textures."""

    @property
    def lane_m(self) -> float:
        """Distance of a lane's middle from the middle of the road."""
        return 0.27 * self.road_half_m

    def texture(self, first: ArrayLike, second: ArrayLike) -> Floats:
        """Look random numbers in 0..1 up: one for every whole pair of coordinates, repeating."""
        rows = np.floor(first).astype(np.int32) % _TABLE
        columns = np.floor(second).astype(np.int32) % _TABLE
        return self.table[rows, columns]

    def smooth_texture(self, first: Floats, second: Floats) -> Floats:
        """The same, interpolated between whole coordinates."""
        down, right = first - np.floor(first), second - np.floor(second)
        upper = self.texture(first, second) * (1 - right) + self.texture(first, second + 1) * right
        first = first + 1
        lower = self.texture(first, second) * (1 - right) + self.texture(first, second + 1) * right
        return upper * (1 - down) + lower * down


def lay_street(city: City, rng: np.random.Generator) -> Street:
    """Draw the proportions, houses and textures of one street.

    Args:
        city: whose street it is.
        rng: the generator of this scene's layout.

    Returns:
        The street; nothing in it depends on an image size.
    """
    road_half_m = rng.uniform(*city.road_half_width_m)
    wall_m = road_half_m + rng.uniform(*city.pavement_width_m)
    return Street(
        road_half_m=road_half_m,
        wall_m=wall_m,
        end_m=rng.uniform(75.0, 130.0),
        left=_draw_lots(city, 0.0, rng),
        right=_draw_lots(city, 0.0, rng),
        end=_draw_lots(city, -8.0 * city.lot_width_m[1], rng),
        shadow_edge_m=rng.uniform(-0.6, 0.8) * wall_m,
        is_shadow_left=rng.random() < _EVEN_CHANCE,
        crossing_m=rng.uniform(12.0, 60.0),
        table=rng.random((_TABLE, _TABLE), np.float32),
    )


def _draw_lots(city: City, start_m: float, rng: np.random.Generator) -> Lots:
    widths_m = rng.uniform(*city.lot_width_m, _LOTS_PER_SIDE)
    is_park = rng.random(_LOTS_PER_SIDE) < city.park_share
    storeys = rng.integers(*city.storeys, _LOTS_PER_SIDE, endpoint=True)
    hedges_m = rng.uniform(2.0, 7.0, _LOTS_PER_SIDE)
    houses_m = storeys * STOREY_M + rng.uniform(0.8, 3.0, _LOTS_PER_SIDE)
    walls = np.array(city.walls)[rng.integers(len(city.walls), size=_LOTS_PER_SIDE)]
    walls *= rng.uniform(0.88, 1.08, (_LOTS_PER_SIDE, 1))
    edges_m = start_m + np.cumsum(np.concatenate(([0.0], widths_m)))
    return Lots(
        edges_m=edges_m.astype(np.float32),
        tops_m=np.where(is_park, hedges_m, houses_m).astype(np.float32),
        walls=walls.astype(np.float32),
        is_park=is_park,
    )
