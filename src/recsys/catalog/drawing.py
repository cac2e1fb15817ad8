"""Pen and cloth for the drawn sample: shapes in their own coordinates, put on paper in a pose.

A shape is drawn around (0, 0) with x from -1 to 1 and y (downwards) from -1.3 to 1.3; the
pose says where that lies on the 60 x 80 picture. Everything is drawn four times larger
and then reduced, which gives smooth edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 60, 80
_OVERSAMPLING = 4
_PAPER_SIZE = (WIDTH * _OVERSAMPLING, HEIGHT * _OVERSAMPLING)
# At scale 1 a shape of half-width 1 fills 27 of the picture's 30 pixels.
_UNIT = 27 * _OVERSAMPLING
_REACH = 1.5
_CURVE_STEPS = 6

Colour = tuple[int, int, int]
Point = tuple[float, float]

PATTERNS = ("Solid", "Striped", "Dotted", "Checked")


@dataclass(frozen=True)
class Pose:
    """Where a shape lies: ``scale`` 1 fills the picture, ``tilt`` in degrees, shifts in units."""

    scale: float
    tilt: float
    shift_x: float
    shift_y: float
    mirrored: bool

    def place(self, point: Point) -> Point:
        """A shape's point in pixels of the enlarged paper."""
        x = -point[0] if self.mirrored else point[0]
        angle = math.radians(self.tilt)
        turned_x = x * math.cos(angle) - point[1] * math.sin(angle)
        turned_y = x * math.sin(angle) + point[1] * math.cos(angle)
        return (
            _PAPER_SIZE[0] / 2 + _UNIT * (self.scale * turned_x + self.shift_x),
            _PAPER_SIZE[1] / 2 + _UNIT * (self.scale * turned_y + self.shift_y),
        )


@dataclass(frozen=True)
class Cloth:
    """What a product is made of; ``trim`` is for collars, soles and bands."""

    base: Colour
    second: Colour
    trim: Colour
    pattern: str


def shade(colour: Colour, towards: Colour, share: float) -> Colour:
    """A colour moved towards another by a share from 0 to 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, towards, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float) -> Colour:
    """A colour moved towards black."""
    return shade(colour, (0, 0, 0), share)


def mirrored(right_half: Sequence[Point]) -> list[Point]:
    """A symmetric outline from its right half, given from the top middle to the bottom middle."""
    return [*right_half, *((-x, y) for x, y in reversed(right_half))]


def smooth(points: Sequence[Point], *, closed: bool = True) -> list[Point]:
    """A Catmull-Rom curve through the points."""
    count = len(points)
    curve = []
    for index in range(count if closed else count - 1):
        around = [
            points[i % count] if closed else points[min(max(i, 0), count - 1)]
            for i in range(index - 1, index + 3)
        ]
        curve += [_catmull_rom(around, step / _CURVE_STEPS) for step in range(_CURVE_STEPS)]
    return curve if closed else [*curve, points[-1]]


def _catmull_rom(around: Sequence[Point], t: float) -> Point:
    x, y = (
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(*around, strict=True)
    )
    return x, y


def oval(x: float, y: float, half_width: float, half_height: float) -> list[Point]:
    """The outline of an ellipse."""
    turns = (2 * math.pi * step / 36 for step in range(36))
    return [(x + half_width * math.cos(t), y + half_height * math.sin(t)) for t in turns]


def box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """The outline of a rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


class Brush:
    """Draws one product on one sheet of paper."""

    def __init__(self, pose: Pose, cloth: Cloth, paper: Colour) -> None:
        self.cloth = cloth
        self._pose = pose
        self._image = Image.new("RGB", _PAPER_SIZE, paper)
        self._draw = ImageDraw.Draw(self._image)
        self._woven = self._weave()
        self._edge = darker(cloth.base, 0.45)

    def sew(self, outline: Sequence[Point]) -> None:
        """Fill an outline with the patterned cloth and hem it."""
        placed = self._placed(outline)
        mask = Image.new("1", _PAPER_SIZE)
        ImageDraw.Draw(mask).polygon(placed, fill=1)
        self._image.paste(self._woven, mask=mask)
        self._draw.line([*placed, placed[0]], fill=self._edge, width=4, joint="curve")

    def fill(self, outline: Sequence[Point], colour: Colour) -> None:
        """Fill an outline with one colour and hem it."""
        placed = self._placed(outline)
        self._draw.polygon(placed, fill=colour)
        self._draw.line([*placed, placed[0]], fill=darker(colour, 0.35), width=3, joint="curve")

    def line(
        self, points: Sequence[Point], colour: Colour | None = None, width: float = 0.04
    ) -> None:
        """A line through points, in the hem's colour unless told; the width in units."""
        pixels = max(1, round(width * self._pose.scale * _UNIT))
        self._draw.line(
            self._placed(points), fill=colour or self._edge, width=pixels, joint="curve"
        )

    def shadow(self, outline: Sequence[Point]) -> None:
        """What the product's shadow darkens; draw it first."""
        paper = self._image.getpixel((0, 0))
        if isinstance(paper, tuple):
            self._draw.polygon(
                self._placed(outline), fill=darker((paper[0], paper[1], paper[2]), 0.12)
            )

    def finish(self) -> Image.Image:
        """The picture, RGB, 60 x 80."""
        return self._image.reduce(_OVERSAMPLING)

    def _placed(self, points: Sequence[Point]) -> list[Point]:
        return [self._pose.place(point) for point in points]

    def _weave(self) -> Image.Image:
        """A sheet of the cloth as large as the paper; its pattern turns with the pose."""
        woven = Image.new("RGB", _PAPER_SIZE, self.cloth.base)
        pen = ImageDraw.Draw(woven)
        if self.cloth.pattern == "Striped":
            self._rule(pen, 0.26, 0.11, upright=False)
        elif self.cloth.pattern == "Checked":
            self._rule(pen, 0.3, 0.08, upright=False)
            self._rule(pen, 0.3, 0.08, upright=True)
        elif self.cloth.pattern == "Dotted":
            self._dot(pen, 0.26, 0.07)
        return woven

    def _rule(self, pen: ImageDraw.ImageDraw, gap: float, width: float, *, upright: bool) -> None:
        pixels = max(1, round(width * self._pose.scale * _UNIT))
        for position in _steps(gap):
            ends = [(position, -_REACH), (position, _REACH)]
            line = ends if upright else [(y, x) for x, y in ends]
            pen.line(self._placed(line), fill=self.cloth.second, width=pixels)

    def _dot(self, pen: ImageDraw.ImageDraw, gap: float, radius: float) -> None:
        pixels = radius * self._pose.scale * _UNIT
        for row, y in enumerate(_steps(gap)):
            for x in _steps(gap):
                centre_x, centre_y = self._pose.place((x + gap / 2 * (row % 2), y))
                corners = (
                    centre_x - pixels,
                    centre_y - pixels,
                    centre_x + pixels,
                    centre_y + pixels,
                )
                pen.ellipse(corners, fill=self.cloth.second)


def _steps(gap: float) -> list[float]:
    count = int(_REACH / gap)
    return [gap * step for step in range(-count, count + 1)]
