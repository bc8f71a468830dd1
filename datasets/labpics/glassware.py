"""Draws glassware on a laboratory bench: flasks, beakers, tubes and bottles with liquids, suspensions, foam
and powders in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

UNSEGMENTED = 254
"""LabPics' mark for regions that were not outlined; here, vessels far back and out of focus."""
OVERSAMPLING = 2
LIQUID, SUSPENSION, FOAM, POWDER = 6, 7, 8, 12
"""Kinds of material, by their numbers in LabPics V1."""


@dataclass
class Bench:
    """A finished scene.

    Attributes:
        image: uint8 ``[size, size, 3]``, RGB.
        materials: uint8 ``[size, size]`` of material ids; 0 is none.
        vessels: uint8 ``[size, size]`` of vessel ids, with their contents; 0 is none.
        kinds: the kind of each material, from id 1 on.
    """

    image: NDArray[np.uint8]
    materials: NDArray[np.uint8]
    vessels: NDArray[np.uint8]
    kinds: list[int] = field(default_factory=list)


def _round_bottom(center: float, radius: float, neck: float) -> Callable[[Floats], Floats]:
    def profile(t: Floats) -> Floats:
        ball = np.sqrt(np.clip(radius**2 - (t - center) ** 2, 0, None))
        stem = np.where(t < center, np.interp(t, (0, 0.03, 0.05), (neck * 1.3, neck * 1.3, neck)), 0)
        return np.asarray(np.maximum(ball, stem), np.float32)

    return profile


def _straight(*corners: tuple[float, float]) -> Callable[[Floats], Floats]:
    heights, widths = zip(*corners, strict=True)

    def profile(t: Floats) -> Floats:
        return np.asarray(np.interp(t, heights, widths), np.float32)

    return profile


@dataclass(frozen=True)
class Shape:
    """A kind of vessel.

    Attributes:
        profile: half the outer width at each height, from 0 (the top) to 1 (the bottom), as a fraction of the
            vessel's height.
        height: range of heights, as fractions of the image.
        fill: the range of the surface of its contents, as heights of the profile.
        stoppered: whether it may have a cap.
        floor: the start of its foot, as a height of the profile.
    """

    profile: Callable[[Floats], Floats]
    height: tuple[float, float]
    fill: tuple[float, float]
    stoppered: bool = False
    floor: float = 1.0

    def widest(self) -> float:
        """Half of the largest width, as a fraction of the height."""
        return float(self.profile(np.linspace(0, 1, 101, dtype=np.float32)).max())


SHAPES = (
    Shape(_straight((0, 0.40), (0.03, 0.36), (0.93, 0.36), (1, 0.30)), (0.42, 0.62), (0.45, 0.72)),  # beaker
    Shape(
        _straight((0, 0.16), (0.03, 0.12), (0.28, 0.12), (0.93, 0.40), (1, 0.36)), (0.50, 0.72), (0.58, 0.76)
    ),  # Erlenmeyer flask
    Shape(_round_bottom(0.67, 0.33, 0.10), (0.50, 0.75), (0.62, 0.80)),  # round-bottomed flask
    Shape(_round_bottom(0.88, 0.12, 0.12), (0.55, 0.80), (0.40, 0.70), stoppered=True),  # test tube
    Shape(
        _straight((0, 0.19), (0.03, 0.15), (0.92, 0.15), (0.94, 0.26), (1, 0.26)),
        (0.55, 0.80),
        (0.40, 0.70),
        floor=0.93,
    ),  # measuring cylinder
    Shape(
        _straight((0, 0.14), (0.16, 0.14), (0.30, 0.27), (0.97, 0.27), (1, 0.24)),
        (0.50, 0.72),
        (0.52, 0.75),
        stoppered=True,
    ),  # bottle
    Shape(
        _straight((0, 0.30), (0.14, 0.30), (0.18, 0.36), (0.95, 0.36), (1, 0.32)),
        (0.38, 0.55),
        (0.48, 0.72),
        stoppered=True,
    ),  # jar
)

LIQUIDS = (
    (196, 40, 36),
    (226, 120, 24),
    (230, 196, 40),
    (48, 150, 70),
    (30, 130, 190),
    (52, 60, 170),
    (130, 40, 140),
    (110, 62, 30),
    (20, 170, 160),
)
WHITE = np.full(3, 240, np.float32)
POWDERS = ((236, 234, 228), (214, 190, 120), (90, 90, 96), (190, 110, 60), (60, 110, 170), (150, 60, 60))


def draw_bench(rng: Generator, size: int) -> Bench:
    """One scene of ``size`` x ``size`` pixels with zero to three vessels in focus."""
    canvas = _Canvas(rng, size * OVERSAMPLING)
    if rng.random() < 0.15:
        canvas.add_far_vessel()
    if rng.random() >= 0.04:
        canvas.add_vessels(int(rng.integers(1, 4)))
    return canvas.photograph(size)


class _Canvas:
    """An unfinished scene: ``image`` float32 ``[n, n, 3]`` in 0…255, RGB, and the two maps of ids."""

    def __init__(self, rng: Generator, n: int) -> None:
        self.rng, self.n = rng, n
        self.y, self.x = (axis.astype(np.float32) for axis in np.mgrid[0.5:n, 0.5:n])
        self.materials, self.vessels = np.zeros((n, n), np.uint8), np.zeros((n, n), np.uint8)
        self.kinds: list[int] = []
        self.edge = float(rng.uniform(0.55, 0.75)) * n  # where the wall meets the bench
        self.light = float(rng.choice([-1, 1]))
        self.image = self._room()

    # --- the room ---

    def _room(self) -> Floats:
        """A wall out of focus with things in front of it, and the bench."""
        rng, n, quarter = self.rng, self.n, self.n // 4
        wall, top = self._tone(120, 225), self._tone(60, 190)
        y, x = self.y[::4, ::4], self.x[::4, ::4]  # enough for a blurred background
        back = wall * (1.1 - 0.25 * y / n)[..., None] + self._clouds(4, quarter) * 14
        for _ in range(int(rng.integers(2, 6))):
            middle, wide, high = rng.uniform(0, n), rng.uniform(0.05, 0.2) * n, rng.uniform(0.1, 0.4) * n
            inside = (abs(x - middle) < wide) & (y > self.edge - high) & (y < self.edge)
            back[inside] = back[inside] * 0.6 + self._tone(40, 230) * 0.4
        back = cv2.resize(cv2.GaussianBlur(back, (0, 0), n / 180), (n, n), interpolation=cv2.INTER_LINEAR)
        grain = cv2.resize(
            rng.normal(0, 1, (quarter, 8)).astype(np.float32), (n, n), interpolation=cv2.INTER_CUBIC
        )
        bench = (
            top * (0.75 + 0.35 * (self.y - self.edge) / n)[..., None]
            + (self._clouds(6, n) + grain[..., None]) * 5
        )
        share = np.clip((self.y - self.edge) / (n / 90), 0, 1)[..., None]
        mixed: Floats = back + (bench - back) * share
        return mixed

    def _tone(self, low: float, high: float) -> Floats:
        """A dull color of random brightness."""
        gray = self.rng.uniform(low, high)
        return np.clip(gray + self.rng.uniform(-22, 22, 3), 0, 255).astype(np.float32)

    def _clouds(self, cells: int, size: int) -> Floats:
        coarse = self.rng.normal(0, 1, (cells + 1, cells + 1)).astype(np.float32)
        return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)[
            ..., None
        ]

    # --- vessels ---

    def add_far_vessel(self) -> None:
        """A vessel out of focus at the back of the bench, marked as not segmented."""
        rng, n = self.rng, self.n
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        vessel = _Vessel(
            self,
            shape,
            rng.uniform(0.15, 0.85) * n,
            self.edge + 0.02 * n,
            rng.uniform(0.12, 0.18) * n,
            lean=0,
        )
        vessel.paint_glass()
        vessel.image[:] = cv2.GaussianBlur(vessel.image, (0, 0), n / 120)
        vessel.vessels[vessel.inside] = vessel.materials[vessel.inside] = UNSEGMENTED

    def add_vessels(self, count: int) -> None:
        """Vessels side by side, each with zero to two materials in it."""
        rng, n = self.rng, self.n
        width = n / count
        for slot in range(count):
            shape = SHAPES[int(rng.integers(len(SHAPES)))]
            foot = min(self.edge + rng.uniform(0.06, 0.25) * n, 0.98 * n)
            height = min(rng.uniform(*shape.height) * n, 0.45 * width / shape.widest(), 0.98 * foot)
            middle = (slot + 0.5) * width + rng.uniform(-1, 1) * (0.48 * width - height * shape.widest())
            vessel = _Vessel(self, shape, middle, foot, height, lean=rng.uniform(-0.03, 0.03))
            self._cast_shadow(vessel)
            vessel.vessels[vessel.inside] = slot + 1
            vessel.materials[vessel.inside] = 0
            vessel.paint_back()
            vessel.fill()
            vessel.paint_glass()
            vessel.dress()

    def _cast_shadow(self, vessel: _Vessel) -> None:
        wide = 1.25 * vessel.height * float(vessel.shape.profile(np.array([0.97], np.float32))[0])
        x = (self.x - vessel.middle + self.light * wide * 0.7) / (wide * 1.6)
        y = (self.y - vessel.foot) / (wide * 0.35)
        self.image *= 1 - 0.45 * np.exp(-(x**2 + y**2))[..., None] * (self.y > self.edge)[..., None]

    def photograph(self, size: int) -> Bench:
        """The scene at its final size, with the blur and noise of a camera."""
        small = cv2.resize(self.image, (size, size), interpolation=cv2.INTER_AREA)
        small = small * self.rng.uniform(0.85, 1.1) + self.rng.normal(0, self.rng.uniform(1, 5), small.shape)
        materials, vessels = (
            each[::OVERSAMPLING, ::OVERSAMPLING].copy() for each in (self.materials, self.vessels)
        )
        return Bench(np.clip(small, 0, 255).astype(np.uint8), materials, vessels, self.kinds)


class _Vessel:
    """One vessel in place: ``u`` runs from -1 at its left wall to 1 at its right, ``t`` from 0 at its top to
    1 at its foot.

    All arrays cover the box around it; ``image``, ``materials`` and ``vessels`` are views of the canvas.
    """

    def __init__(
        self, canvas: _Canvas, shape: Shape, middle: float, foot: float, height: float, lean: float
    ) -> None:
        self.canvas, self.shape, self.middle, self.foot, self.height = canvas, shape, middle, foot, height
        reach = (shape.widest() + abs(lean)) * height + 2
        box = tuple(
            slice(max(0, int(low)), min(canvas.n, int(high)))
            for low, high in ((foot - height, foot + 2), (middle - reach, middle + reach))
        )
        self.image, self.materials, self.vessels = (
            canvas.image[box],
            canvas.materials[box],
            canvas.vessels[box],
        )
        self.y, self.x = canvas.y[box], canvas.x[box]
        self.t = ((self.y - foot) / height + 1).astype(np.float32)
        self.half = np.maximum(shape.profile(np.clip(self.t, 0, 1)) * height, 1e-3).astype(np.float32)
        self.dx = (self.x - middle - lean * (self.y - foot)).astype(np.float32)
        self.u = self.dx / self.half
        self.inside: Bools = (abs(self.u) <= 1) & (self.t >= 0) & (self.t <= 1)
        wall = max(2.0, 0.018 * height)
        self.hollow: Bools = (
            (abs(self.dx) <= self.half - wall) & (self.t >= 0.02) & (self.t <= shape.floor - wall / height)
        )

    def paint_back(self) -> None:
        """The view through the glass: the room behind it, compressed as by a lens, and tinted."""
        rows, columns = (axis.astype(np.float32) for axis in np.indices(self.t.shape))
        seen = cv2.remap(
            self.image.copy(),
            columns - 0.5 * self.dx * abs(self.u),
            rows,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        tint = self.canvas.rng.uniform((196, 206, 206), (226, 236, 236)).astype(np.float32)
        self._mix(self.inside, seen * 0.72 + tint * 0.28, 1)

    def fill(self) -> None:
        """Fill the vessel with nothing, one material, or two on top of each other."""
        rng = self.canvas.rng
        layers = int(rng.choice([0, 1, 2], p=[0.2, 0.55, 0.25]))
        level = rng.uniform(*self.shape.fill)
        kinds, levels = [int(rng.choice([LIQUID, SUSPENSION, POWDER], p=[0.6, 0.2, 0.2]))], [level]
        if layers == 2:
            kinds.append(FOAM if rng.random() < 0.4 and kinds[0] != POWDER else LIQUID)
            levels = [level + (1 - level) * rng.uniform(0.4, 0.6), level]
        colors = rng.permutation(len(LIQUIDS))
        for kind, surface, color in zip(kinds[:layers], levels, colors, strict=False):
            self._pour(kind, surface, np.array(LIQUIDS[color], np.float32))

    def _pour(self, kind: int, level: float, color: Floats) -> None:
        """Fill from the surface at ``level`` down to the existing contents."""
        rng = self.canvas.rng
        bulge = np.sqrt(np.clip(1 - self.u**2, 0, 1)) * self.half * 0.13 / self.height
        heap = rng.uniform(-0.05, 0.05) * self.u + 0.03 * np.cos(3 * self.u) if kind == POWDER else 0
        mine: Bools = self.hollow & (self.t >= level - bulge + heap) & (self.materials == 0)
        self.canvas.kinds.append(kind)
        self.materials[mine] = len(self.canvas.kinds)
        if kind == POWDER:
            color = np.array(POWDERS[int(rng.integers(len(POWDERS)))], np.float32)
            grains = rng.normal(0, 22, self.t.shape)[..., None]
            self._mix(mine, color * (1 - 0.25 * self.u**2)[..., None] + grains, 1)
        elif kind == FOAM:
            bubbles = cv2.GaussianBlur(rng.normal(0, 200, self.t.shape).astype(np.float32), (0, 0), 2.2)[
                ..., None
            ]
            self._mix(mine, 0.25 * color + 175 + bubbles, 0.95)
        else:
            milky = kind == SUSPENSION
            deep = np.clip((self.t - level) / (1.001 - level), 0, 1)
            paint = (0.55 * color + 100 if milky else color) * (1.12 - 0.35 * deep - 0.15 * self.u**2)[
                ..., None
            ]
            self._mix(mine, paint, 0.94 if milky else 0.78)
            surface: Bools = mine & (self.t <= level + bulge)
            self._mix(surface, paint * 1.15 + 26, 0.75)

    def paint_glass(self) -> None:
        """The wall: dark and bright where it is seen edge-on, with a rim and reflections of the light."""
        edge = np.clip((abs(self.u) - 0.72) / 0.28, 0, 1) ** 2
        self._mix(self.inside, WHITE, 0.30 * edge)
        near = np.clip(1 - (self.half - abs(self.dx)) / max(2.5, 0.014 * self.height), 0, 1)
        near = np.maximum(near, np.clip((self.t - 0.975) / 0.025, 0, 1))
        self._mix(self.inside, WHITE * 0.3, 0.65 * near)
        self._mix(self.inside & (self.t < 0.03), WHITE, 0.5)
        ends = np.clip(8 * (self.t - 0.08) * (0.94 - self.t), 0, 1)
        for place, width, strength in ((0.55, 0.07, 0.6), (-0.68, 0.04, 0.35)):
            streak = np.exp(-(((self.u - self.canvas.light * place) / width) ** 2)) * ends
            self._mix(self.inside, WHITE, strength * streak)

    def dress(self) -> None:
        """A cap or a label on some vessels; both are parts of the vessel."""
        rng = self.canvas.rng
        if self.shape.stoppered and rng.random() < 0.5:
            color = rng.uniform(20, 220, 3).astype(np.float32)
            self._mix(self.inside & (self.t < 0.11), color * (1 - 0.4 * self.u**2)[..., None], 0.97)
        elif rng.random() < 0.25:
            paper: Bools = (
                self.hollow & (abs(self.u) < 0.6) & (abs(self.t - 0.36) < 0.05) & (self.materials == 0)
            )
            lines = (self.y // max(3, self.height * 0.012)) % 3 == 0
            self._mix(paper, np.where(lines, 0.6, 0.95)[..., None] * WHITE, 0.95)

    def _mix(self, where: Bools, paint: Floats, opacity: float | Floats) -> None:
        """Blend paint (RGB, of the box or of one color) over the picture with the weights ``where``."""
        share = (where * np.asarray(opacity, np.float32))[..., None]
        self.image += (paint - self.image) * share
