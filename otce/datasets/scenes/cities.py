"""The fictional cities of the drawn street scenes, and how far apart they are.

Every city is `ALDER` with some parameters replaced, so a difference between two domains can be
read off this file. The distance is Euclidean, from alder, between mean colour and class mix (all
in 0..1), measured over 12 scenes; "beside" is the city that is most alike.

| city  | its streets                 | its light and weather     | beside | distance |
| ----- | --------------------------- | ------------------------- | ------ | -------- |
| alder | plaster, some trees         | clear day                 | birch  | 0        |
| birch | as alder                    | slightly warmer day       | alder  | 0.03     |
| cedar | greener, lower              | slightly darker day       | alder  | 0.13     |
| ember | tall brick, narrow, crowded | overcast, seen from a van | alder  | 0.20     |
| gloam | as alder                    | dusk, street lamps on     | onyx   | 0.30     |
| dune  | low sandstone, wide, empty  | hard sun, traffic on left | frost  | 0.36     |
| frost | as cedar, conifers, snow    | fog, snowfall, pale       | dune   | 0.40     |
| onyx  | as ember                    | night, rain, lit windows  | gloam  | 0.44     |

Alder and birch differ in light only, cedar a little in both; gloam keeps alder's class mix and
changes its light; ember changes class mix, surfaces and camera; dune, frost and onyx change
everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

RGB = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class City:
    """What a city's streets are made of; colours are RGB in 0..1, ranges are (low, high)."""

    sky_top: RGB
    sky_horizon: RGB
    clouds: float
    """Share of the sky that clouds whiten, 0..1."""
    road: RGB
    marking: RGB
    pavement: RGB
    walls: tuple[RGB, ...]
    roof: RGB
    leaves: RGB
    paints: tuple[RGB, ...]
    """Colours of cars."""
    texture: float
    """Amplitude of the surfaces' grain relative to their colour, 0..1."""

    road_half_width_m: tuple[float, float]
    pavement_width_m: tuple[float, float]
    lot_width_m: tuple[float, float]
    storeys: tuple[int, int]
    park_share: float
    """Probability that a lot is a hedge instead of a house, 0..1."""
    cars: tuple[int, int]
    people: tuple[int, int]
    trees: tuple[int, int]
    lamp_spacing_m: float
    crown_m: tuple[float, float, float]
    """A tree's crown: lower end, height and width."""
    crown_taper: float
    """Outline of a crown from 0 (ellipse) to 1 (triangle)."""

    camera_height_m: float
    focal: float
    """Focal length in image widths."""
    horizon: float
    """Height of the horizon from the upper edge, in image heights."""
    keeps_left: bool
    has_bonnet: bool
    """Whether the camera car's own bonnet is in the picture (void)."""

    ambient: RGB
    """Factor on every colour that is not self-luminous."""
    shadow: float
    """Darkness of the houses' shadow on the ground, 0..1."""
    lamps: float
    """Strength of street lamps, headlights and lit windows, 0..1."""
    fog: RGB
    visibility_m: float
    """Depth at which fog hides half of a colour."""
    snowfall: float
    rain: float
    noise: float
    """Amplitude of the camera's noise, 0..1."""


ALDER = City(
    sky_top=(0.42, 0.60, 0.86),
    sky_horizon=(0.80, 0.87, 0.93),
    clouds=0.5,
    road=(0.36, 0.36, 0.38),
    marking=(0.88, 0.88, 0.86),
    pavement=(0.60, 0.58, 0.56),
    walls=((0.80, 0.74, 0.62), (0.72, 0.70, 0.68), (0.66, 0.55, 0.45), (0.78, 0.66, 0.56)),
    roof=(0.45, 0.30, 0.26),
    leaves=(0.26, 0.42, 0.18),
    paints=((0.70, 0.12, 0.12), (0.15, 0.25, 0.50), (0.82, 0.82, 0.84), (0.16, 0.16, 0.18)),
    texture=0.22,
    road_half_width_m=(4.2, 5.2),
    pavement_width_m=(2.4, 3.4),
    lot_width_m=(9.0, 18.0),
    storeys=(2, 5),
    park_share=0.18,
    cars=(4, 8),
    people=(3, 7),
    trees=(3, 7),
    lamp_spacing_m=17.0,
    crown_m=(2.3, 4.0, 3.4),
    crown_taper=0.0,
    camera_height_m=1.5,
    focal=0.80,
    horizon=0.44,
    keeps_left=False,
    has_bonnet=True,
    ambient=(1.0, 1.0, 1.0),
    shadow=0.35,
    lamps=0.0,
    fog=(0.80, 0.85, 0.90),
    visibility_m=500.0,
    snowfall=0.0,
    rain=0.0,
    noise=0.04,
)

_CEDAR = replace(
    ALDER,
    leaves=(0.22, 0.38, 0.20),
    park_share=0.34,
    trees=(5, 10),
    storeys=(2, 4),
    ambient=(0.86, 0.90, 0.90),
)

_EMBER = replace(
    ALDER,
    sky_top=(0.66, 0.69, 0.72),
    sky_horizon=(0.82, 0.82, 0.80),
    clouds=0.9,
    road=(0.29, 0.29, 0.30),
    marking=(0.85, 0.75, 0.30),
    pavement=(0.50, 0.47, 0.45),
    walls=((0.54, 0.26, 0.19), (0.62, 0.34, 0.25), (0.44, 0.24, 0.20), (0.58, 0.48, 0.42)),
    roof=(0.22, 0.20, 0.20),
    leaves=(0.38, 0.38, 0.16),
    paints=((0.85, 0.70, 0.12), (0.12, 0.12, 0.14), (0.75, 0.75, 0.76)),
    texture=0.34,
    road_half_width_m=(3.4, 4.0),
    pavement_width_m=(2.8, 4.0),
    storeys=(4, 9),
    park_share=0.04,
    cars=(6, 11),
    people=(8, 15),
    trees=(1, 3),
    lamp_spacing_m=13.0,
    camera_height_m=2.3,
    focal=0.95,
    horizon=0.38,
    has_bonnet=False,
    ambient=(0.84, 0.83, 0.84),
    shadow=0.08,
    visibility_m=240.0,
    noise=0.06,
)

_GLOAM = replace(
    ALDER,
    sky_top=(0.22, 0.24, 0.42),
    sky_horizon=(0.78, 0.46, 0.34),
    ambient=(0.44, 0.38, 0.46),
    shadow=0.0,
    lamps=0.5,
    fog=(0.46, 0.32, 0.32),
    visibility_m=320.0,
    noise=0.07,
)

_FROST = replace(
    _CEDAR,
    sky_top=(0.76, 0.79, 0.83),
    sky_horizon=(0.86, 0.88, 0.90),
    clouds=0.2,
    road=(0.66, 0.68, 0.72),
    marking=(0.72, 0.74, 0.77),
    pavement=(0.90, 0.92, 0.95),
    walls=((0.58, 0.44, 0.36), (0.50, 0.54, 0.58), (0.66, 0.62, 0.56)),
    roof=(0.90, 0.92, 0.95),
    leaves=(0.44, 0.52, 0.50),
    texture=0.12,
    crown_m=(0.9, 6.0, 3.0),
    crown_taper=1.0,
    cars=(2, 5),
    people=(2, 5),
    ambient=(0.92, 0.95, 1.0),
    shadow=0.0,
    fog=(0.86, 0.88, 0.91),
    visibility_m=45.0,
    snowfall=0.7,
)

_DUNE = replace(
    ALDER,
    sky_top=(0.30, 0.56, 0.90),
    sky_horizon=(0.93, 0.88, 0.76),
    clouds=0.0,
    road=(0.66, 0.57, 0.44),
    marking=(0.92, 0.90, 0.82),
    pavement=(0.84, 0.74, 0.56),
    walls=((0.88, 0.74, 0.52), (0.80, 0.62, 0.42), (0.93, 0.87, 0.76)),
    roof=(0.74, 0.56, 0.38),
    leaves=(0.40, 0.46, 0.20),
    paints=((0.92, 0.92, 0.90), (0.78, 0.72, 0.60), (0.20, 0.42, 0.45)),
    texture=0.30,
    road_half_width_m=(5.6, 7.0),
    pavement_width_m=(1.6, 2.4),
    storeys=(1, 2),
    park_share=0.08,
    cars=(2, 4),
    people=(1, 3),
    trees=(2, 4),
    lamp_spacing_m=26.0,
    crown_m=(4.2, 1.5, 3.2),
    camera_height_m=1.9,
    focal=0.68,
    horizon=0.50,
    keeps_left=True,
    has_bonnet=False,
    ambient=(1.10, 1.05, 0.96),
    shadow=0.50,
    fog=(0.93, 0.85, 0.70),
    visibility_m=260.0,
)

_ONYX = replace(
    _EMBER,
    sky_top=(0.04, 0.05, 0.09),
    sky_horizon=(0.14, 0.12, 0.14),
    clouds=0.3,
    ambient=(0.20, 0.22, 0.30),
    shadow=0.0,
    lamps=1.0,
    fog=(0.13, 0.12, 0.14),
    visibility_m=110.0,
    rain=0.8,
    noise=0.10,
)

CITIES: Mapping[str, City] = {
    "alder": ALDER,
    "birch": replace(ALDER, ambient=(1.04, 1.00, 0.94), sky_horizon=(0.84, 0.87, 0.89)),
    "cedar": _CEDAR,
    "ember": _EMBER,
    "gloam": _GLOAM,
    "dune": _DUNE,
    "frost": _FROST,
    "onyx": _ONYX,
}
"""Every city by its name."""
