"""What stands and moves in a drawn street: trees, lamps, people and cars."""
# ruff: noqa: PLR2004 - a drawing is made of proportions

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from otce.datasets.scenes.canvas import (
    CAR,
    PERSON,
    POLE,
    VEGETATION,
    Camera,
    Canvas,
    Floats,
    Frame,
    frame,
)
from otce.datasets.scenes.cities import RGB, City
from otce.datasets.scenes.streets import Street

_BARK: RGB = (0.30, 0.23, 0.17)
_STEEL: RGB = (0.34, 0.36, 0.37)
_RUBBER: RGB = (0.07, 0.07, 0.08)
_GLASS: RGB = (0.16, 0.20, 0.24)
_SKIN: RGB = (0.72, 0.54, 0.44)
_TAIL_LIGHT: RGB = (0.85, 0.10, 0.07)
_HEADLIGHT: RGB = (0.98, 0.96, 0.86)

_FARTHEST_M = 70.0
_CAR_M = (1.8, 4.2, 1.5)
"""Width, length and height."""
_CAR_SLOT_M = 7.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing(ABC):
    """One thing and where it stands."""

    lateral_m: float
    depth_m: float
    scale: float = 1.0
    """Size relative to the usual one."""

    @abstractmethod
    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint the thing over what is there."""

    def frame(
        self,
        canvas: Canvas,
        camera: Camera,
        width_m: float,
        height_m: float,
        *,
        foot_m: float = 0.0,
        behind_m: float = 0.0,
    ) -> Frame | None:
        """The pixels of an upright rectangle of the thing, or None where there are none."""
        return frame(
            canvas,
            camera,
            lateral_m=self.lateral_m,
            depth_m=self.depth_m + behind_m * self.scale,
            width_m=width_m * self.scale,
            height_m=height_m * self.scale,
            foot_m=foot_m * self.scale,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree(Thing):
    """A trunk and a crown whose outline and shade are ragged."""

    city: City
    street: Street
    brightness: float

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint the trunk, then the crown."""
        foot_m, height_m, width_m = self.city.crown_m
        trunk = self.frame(canvas, camera, 0.3, foot_m + 0.3 * height_m)
        if trunk is not None:
            trunk.paint(np.ones((trunk.up.size, trunk.across.size), bool), _BARK, VEGETATION)
        crown = self.frame(canvas, camera, width_m, height_m, foot_m=foot_m)
        if crown is None:
            return
        leaf = self.street.texture(
            (crown.across * width_m + self.depth_m) * 2.5, crown.up * (height_m * 2.5)
        )
        level = 2.0 * crown.up - 1.0
        ellipse = crown.across * crown.across + level * level + 0.45 * leaf
        triangle = np.abs(crown.across) + crown.up + 0.25 * leaf
        taper = self.city.crown_taper
        leaves = np.array(self.city.leaves, np.float32)[:, None, None] * self.brightness
        light = 0.5 + 0.5 * leaf + 0.3 * crown.up
        is_leaf = ellipse * (1.0 - taper) + triangle * taper < 1.05
        crown.paint(is_leaf, leaves * light, VEGETATION)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lamp(Thing):
    """A street lamp whose arm reaches over the road."""

    shine: float

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint post and arm, then the head."""
        arm_m = 1.6
        box = self.frame(canvas, camera, 2.0 * arm_m, 5.5)
        if box is None:
            return
        # About a pixel wide at least, or far posts would be broken lines.
        half_width = max(0.075, 0.55 * self.depth_m / camera.focal_px) / arm_m
        along_arm = -box.across if self.lateral_m > 0 else box.across
        is_post = np.abs(box.across) < half_width
        is_arm = (box.up > 0.97) & (along_arm > 0)
        is_head = (box.up > 0.94) & (along_arm > 0.6)
        box.paint(is_post & (box.up < 1.0) | is_arm, _STEEL, POLE)
        box.paint(is_head, _HEADLIGHT if self.shine else _STEEL, POLE, glow=self.shine)


@dataclass(frozen=True, kw_only=True, slots=True)
class Person(Thing):
    """Somebody on foot."""

    coat: Floats

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint legs, coat and head."""
        box = self.frame(canvas, camera, 0.62, 1.75)
        if box is None:
            return
        off, up = np.abs(box.across), box.up
        legs = (up < 0.48) & (np.abs(off - 0.36) < 0.27)
        torso = (np.abs(up - 0.645) < 0.195) & (off < 1.15 - 0.55 * np.abs(up - 0.62))
        head = off * off * 7.7 + (up - 0.925) * (up - 0.925) * 178.0 < 1.0
        box.paint(legs, self.coat[::-1] * 0.45, PERSON)
        box.paint(torso, self.coat, PERSON)
        box.paint(head | (off < 0.14) & (up > 0.83), _SKIN, PERSON)


@dataclass(frozen=True, kw_only=True, slots=True)
class Car(Thing):
    """A car seen from the front or from behind."""

    body: Floats
    is_oncoming: bool
    shine: float

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint slices from the far end to the near one, so that the side shows too."""
        width_m, length_m, height_m = _CAR_M
        n_slices = 10 if self.depth_m < 14.0 else 6 if self.depth_m < 25.0 else 3
        for step in range(n_slices, -1, -1):
            part = step / n_slices
            box = self.frame(canvas, camera, width_m, height_m, behind_m=part * length_m)
            if box is not None:
                self._draw_slice(box, part)
                if step == 0:
                    self._draw_end(box)

    def _draw_slice(self, box: Frame, part: float) -> None:
        """Paint the cross-section at a part of the length, 0 near and 1 far."""
        off, up = np.abs(box.across), box.up
        box.shade((up < 0.17) & (off < 1.0), 0.10)
        side = self.body * (1.0 if part in (0.0, 1.0) else 0.75)
        box.paint((np.abs(up - 0.395) < 0.225) & (off < 1.0), side, CAR)
        if abs(abs(part - 0.5) - 0.3) < 0.14:
            box.paint((up < 0.34) & (off > 0.70) & (off < 1.0), _RUBBER, CAR)
        if 0.1 < part < 0.85:
            is_cabin = (up >= 0.62) & (off < 1.4 - 0.62 * up)
            box.paint(is_cabin, self.body, CAR)
            box.paint(is_cabin & (np.abs(up - 0.80) < 0.13), _GLASS, CAR)

    def _draw_end(self, box: Frame) -> None:
        """Paint the lights and the bumper of the near end."""
        off, up = np.abs(box.across), box.up
        is_light = (np.abs(up - 0.5) < 0.06) & (np.abs(off - 0.77) < 0.15)
        box.paint(is_light, _HEADLIGHT if self.is_oncoming else _TAIL_LIGHT, CAR, glow=self.shine)
        box.paint((np.abs(up - 0.28) < 0.05) & (off < 0.9), self.body * 0.5, CAR)


def place_things(city: City, street: Street, rng: np.random.Generator) -> list[Thing]:
    """Furnish a street.

    Args:
        city: how much of everything there is.
        street: where it may stand.
        rng: the generator of this scene's layout.

    Returns:
        The things, farthest first; of every kind one stands within 25 m.
    """
    things: list[Thing] = [
        *_place_trees(city, street, rng),
        *_place_lamps(city, street, rng),
        *_place_people(city, street, rng),
        *_place_cars(city, street, rng),
    ]
    return sorted(things, key=lambda thing: -thing.depth_m)


def _place_trees(city: City, street: Street, rng: np.random.Generator) -> Iterator[Tree]:
    for depth_m in _depths(city.trees, street, rng):
        yield Tree(
            lateral_m=_side(rng) * (street.road_half_m + 0.9),
            depth_m=depth_m,
            scale=rng.uniform(0.8, 1.2),
            city=city,
            street=street,
            brightness=rng.uniform(0.8, 1.15),
        )


def _place_lamps(city: City, street: Street, rng: np.random.Generator) -> Iterator[Lamp]:
    lateral_m = _side(rng) * (street.road_half_m + 0.45)
    for depth_m in np.arange(rng.uniform(8.0, 14.0), _FARTHEST_M, city.lamp_spacing_m).tolist():
        yield Lamp(lateral_m=lateral_m, depth_m=depth_m, shine=city.lamps)
        lateral_m = -lateral_m


def _place_people(city: City, street: Street, rng: np.random.Generator) -> Iterator[Person]:
    for depth_m in _depths(city.people, street, rng):
        off_m = rng.uniform(street.road_half_m + 0.5, street.wall_m - 0.4)
        if depth_m > 10.0 and rng.random() < 0.2:
            off_m = rng.uniform(0.0, street.road_half_m)
        coat = rng.uniform(0.1, 0.75, 3).astype(np.float32)
        yield Person(
            lateral_m=_side(rng) * off_m,
            depth_m=depth_m,
            scale=rng.uniform(0.92, 1.08),
            coat=coat,
        )


def _place_cars(city: City, street: Street, rng: np.random.Generator) -> Iterator[Car]:
    """Cars at either kerb and in either lane, no two in one place."""
    kerb_m = street.road_half_m - 1.15
    own_side = -1.0 if city.keeps_left else 1.0
    lanes_m = [own_side * off_m for off_m in (kerb_m, -kerb_m, street.lane_m, -street.lane_m)]
    n_slots = len(lanes_m) * int(_FARTHEST_M / _CAR_SLOT_M - 1.0)
    nearest = int(rng.integers(2 * len(lanes_m)))
    others = rng.permutation(n_slots)[: int(rng.integers(*city.cars))].tolist()
    for slot in sorted({nearest, *others}):
        step, lane = divmod(slot, len(lanes_m))
        # Nobody drives right in front of the camera.
        gap_m = 10.5 if lane == 2 else 6.5
        paint = np.array(city.paints[rng.integers(len(city.paints))], np.float32)
        yield Car(
            lateral_m=lanes_m[lane],
            depth_m=gap_m + step * _CAR_SLOT_M + rng.uniform(0.0, 2.0),
            scale=rng.uniform(0.94, 1.06),
            body=paint * rng.uniform(0.85, 1.1),
            is_oncoming=lane % 2 == 1,
            shine=city.lamps,
        )


def _depths(count: tuple[int, int], street: Street, rng: np.random.Generator) -> list[float]:
    """Where things of one kind stand; the first is near, but not beside the camera."""
    others_m = rng.uniform(6.0, _FARTHEST_M, int(rng.integers(*count, endpoint=True)) - 1)
    return [rng.uniform(1.4, 2.3) * street.wall_m, *others_m.tolist()]


def _side(rng: np.random.Generator) -> float:
    return -1.0 if rng.random() < 0.5 else 1.0
