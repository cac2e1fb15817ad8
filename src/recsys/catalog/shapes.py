"""The dozen article types of the drawn sample, as shapes that a person recognises.

Each function draws one product with a `Brush`; ``style`` (0, 1, 2) chooses among small
variations of the same thing. The catalog's words for each type stand in `ARTICLES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recsys.catalog.drawing import Brush, Colour, box, darker, mirrored, oval, smooth

STYLES_OF_A_SHAPE = 3

_DARK: Colour = (38, 40, 46)
_STEEL: Colour = (176, 182, 190)
_GOLD: Colour = (212, 172, 72)
_PALE: Colour = (246, 244, 238)
_WARM: Colour = (120, 82, 52)


def _tshirt(brush: Brush, style: int) -> None:
    brush.sew(
        mirrored(
            [(0.24, -0.92), (0.5, -0.86), (1.0, -0.42), (0.74, -0.1), (0.56, -0.3), (0.57, 1.0)]
        )
    )
    inside = darker(brush.cloth.base, 0.4)
    if style == 0:
        brush.fill([(-0.24, -0.92), (0.0, -0.5), (0.24, -0.92)], inside)
    else:
        brush.fill(oval(0.0, -0.9, 0.24, 0.16), inside)
    for side in (-1, 1):
        brush.line([(side * 0.96, -0.5), (side * 0.7, -0.2)], brush.cloth.trim, 0.06)
    if style == 2:
        brush.fill(box(-0.22, -0.3, 0.22, 0.12), brush.cloth.trim)


def _shirt(brush: Brush, style: int) -> None:
    brush.sew(
        mirrored(
            [
                (0.2, -1.0),
                (0.48, -0.9),
                (0.78, -0.6),
                (0.98, 0.72),
                (0.74, 0.78),
                (0.54, -0.2),
                (0.54, 0.94),
                (0.3, 1.08),
            ]
        )
    )
    for side in (-1, 1):
        brush.fill(
            [(side * 0.97, 0.6), (side * 0.98, 0.74), (side * 0.74, 0.8), (side * 0.71, 0.66)],
            brush.cloth.trim,
        )
        brush.fill(
            [(0.0, -0.74), (side * 0.12, -1.1), (side * 0.34, -0.94), (side * 0.2, -0.6)],
            brush.cloth.trim,
        )
    brush.line([(0.0, -0.74), (0.0, 1.06)], width=0.05)
    for button in range(5):
        brush.fill(oval(0.07, -0.5 + 0.32 * button, 0.035, 0.035), _PALE)
    if style > 0:
        brush.fill(box(0.18, -0.34, 0.44, -0.02), brush.cloth.second)
    if style == 2:
        brush.fill(box(-0.44, -0.34, -0.18, -0.02), brush.cloth.second)


def _trousers(brush: Brush, style: int) -> None:
    hem = (0.62, 0.5, 0.42)[style]
    brush.sew(mirrored([(0.42, -1.2), (0.52, -0.6), (hem, 1.2), (hem - 0.36, 1.2), (0.02, -0.35)]))
    brush.fill(box(-0.42, -1.24, 0.42, -1.1), _WARM if style == 1 else brush.cloth.trim)
    brush.fill(box(-0.07, -1.25, 0.07, -1.09), _GOLD if style == 1 else brush.cloth.second)
    brush.line([(0.0, -1.08), (0.0, -0.38)])
    for side in (-1, 1):
        brush.line([(side * 0.3, -1.06), (side * 0.48, -0.76)])
        brush.line([(side * 0.27, -0.4), (side * (hem - 0.18), 1.16)], width=0.025)


def _shorts(brush: Brush, style: int) -> None:
    length = (0.5, 0.62, 0.78)[style]
    brush.sew(mirrored([(0.52, -0.66), (0.82, length - 0.06), (0.14, length), (0.0, -0.05)]))
    brush.fill(mirrored([(0.52, -0.7), (0.54, -0.54)]), brush.cloth.trim)
    brush.line([(0.0, -0.54), (0.0, -0.08)])
    for side in (-1, 1):
        brush.line([(side * 0.36, -0.52), (side * 0.6, -0.2)])
        brush.line([(side * 0.79, length - 0.18), (side * 0.13, length - 0.11)], brush.cloth.trim)
    if style == 0:
        for side in (-1, 1):
            brush.line([(0.0, -0.6), (side * 0.1, -0.26)], _PALE, 0.05)


def _dress(brush: Brush, style: int) -> None:
    hem = (0.95, 1.1, 1.2)[style]
    flare = (0.82, 0.7, 0.9)[style]
    outline = [(0.12, -0.84), (0.2, -1.2), (0.34, -1.2), (0.38, -0.72), (0.26, -0.3)]
    skirt = [(0.46, 0.2), (flare, hem - 0.1), (flare / 2, hem), (0.0, hem + 0.03)]
    brush.sew(mirrored([(0.0, -0.76), *outline, *skirt]))
    if style == 2:
        for side in (-1, 1):
            brush.sew(
                [
                    (side * 0.33, -1.2),
                    (side * 0.66, -0.86),
                    (side * 0.52, -0.66),
                    (side * 0.38, -0.78),
                ]
            )
    brush.fill(mirrored([(0.27, -0.36), (0.27, -0.22)]), brush.cloth.trim)
    for fold in (-0.5, 0.0, 0.5):
        brush.line([(0.3 * fold, -0.18), (1.1 * fold, hem - 0.08)], width=0.025)


def _skirt(brush: Brush, style: int) -> None:
    hem = (0.5, 0.72, 0.95)[style]
    flare = (0.92, 0.84, 0.62)[style]
    brush.sew(
        mirrored(
            [(0.36, -0.8), (0.5, -0.4), (flare, hem - 0.1), (flare / 2, hem), (0.0, hem + 0.03)]
        )
    )
    brush.fill(mirrored([(0.36, -0.86), (0.38, -0.7)]), brush.cloth.trim)
    for fold in (-0.75, -0.4, 0.0, 0.4, 0.75):
        brush.line([(0.42 * fold, -0.68), (flare * fold, hem - 0.06)], width=0.025)


def _casual_shoe(brush: Brush, style: int) -> None:
    brush.shadow(oval(0.0, 0.55, 1.05, 0.1))
    collar = -0.75 if style == 2 else -0.46
    brush.sew(
        smooth(
            [
                (-0.88, 0.4),
                (-0.92, 0.0),
                (-0.84, collar),
                (-0.55, collar + 0.1),
                (-0.14, collar - 0.06),
                (0.12, -0.3),
                (0.5, -0.02),
                (0.88, 0.12),
                (0.98, 0.4),
            ]
        )
    )
    brush.fill(smooth([(0.62, 0.42), (0.66, 0.14), (0.86, 0.12), (0.99, 0.42)]), brush.cloth.trim)
    sole = [(-0.94, 0.36), (0.0, 0.42), (1.0, 0.36), (1.04, 0.46), (0.98, 0.56), (-0.92, 0.56)]
    brush.fill(sole, _PALE if style != 1 else _WARM)
    for lace in range(4):
        x, y = -0.04 + 0.15 * lace, -0.42 + 0.12 * lace
        brush.line([(x, y), (x - 0.14, y + 0.2)], _PALE, 0.05)
    if style == 0:
        brush.line([(-0.6, 0.3), (-0.3, -0.1), (0.1, 0.3)], brush.cloth.trim, 0.09)


def _heel(brush: Brush, style: int) -> None:
    tip = (-0.7, -0.76, -0.6)[style]
    thickness = (0.05, 0.08, 0.16)[style]
    brush.fill(
        [(-0.86, -0.14), (-0.5, 0.0), (tip + thickness, 0.72), (tip - thickness, 0.72)],
        brush.cloth.trim,
    )
    brush.sew(
        smooth(
            [
                (-0.86, -0.1),
                (-0.9, -0.6),
                (-0.76, -0.66),
                (-0.5, -0.26),
                (0.0, 0.14),
                (0.42, 0.24),
                (0.74, 0.4),
                (1.0, 0.66),
                (0.6, 0.72),
                (0.2, 0.6),
                (-0.3, 0.12),
            ]
        )
    )
    brush.line([(-0.8, -0.04), (-0.3, 0.16), (0.2, 0.64), (0.6, 0.74), (1.0, 0.7)], _DARK, 0.05)
    if style == 1:
        brush.line(
            smooth([(-0.84, -0.64), (-0.66, -0.84), (-0.42, -0.62), (-0.5, -0.3)], closed=False)
        )
    if style == 2:
        brush.fill(oval(0.44, 0.3, 0.12, 0.09), _GOLD)


def _handbag(brush: Brush, style: int) -> None:
    brush.shadow(oval(0.0, 0.88, 0.95, 0.1))
    rise = (-0.85, -0.65, -1.1)[style]
    handle = [(-0.46, -0.06), (-0.42, rise + 0.2), (0.0, rise), (0.42, rise + 0.2), (0.46, -0.06)]
    brush.line(
        smooth(handle, closed=False), _WARM if style == 1 else darker(brush.cloth.base, 0.3), 0.1
    )
    brush.sew(mirrored([(0.66, -0.12), (0.74, -0.02), (0.92, 0.78), (0.82, 0.88)]))
    if style == 2:
        brush.line([(-0.72, 0.06), (0.72, 0.06)], brush.cloth.trim, 0.07)
    else:
        brush.fill(
            mirrored([(0.7, -0.12), (0.76, 0.16), (0.4, 0.4), (0.0, 0.44)]), brush.cloth.trim
        )
    brush.fill(box(-0.09, 0.3, 0.09, 0.48) if style != 2 else oval(0.0, 0.12, 0.09, 0.09), _GOLD)
    for side in (-1, 1):
        brush.fill(oval(side * 0.46, -0.06, 0.07, 0.07), _GOLD)


def _watch(brush: Brush, style: int) -> None:
    metal = _GOLD if style == 1 else _STEEL
    brush.sew(mirrored([(0.2, -1.24), (0.3, -0.4), (0.3, 0.4), (0.2, 1.24)]))
    for y in (0.66, 0.82, 0.98):
        brush.fill(oval(0.0, y, 0.04, 0.04), _DARK)
    brush.fill(box(-0.24, -1.0, 0.24, -0.86), metal)
    brush.fill(box(0.48, -0.09, 0.62, 0.09), metal)
    if style == 2:
        brush.fill(smooth(mirrored([(0.44, -0.48), (0.5, 0.0), (0.44, 0.48)])), metal)
    brush.fill(oval(0.0, 0.0, 0.54, 0.54), metal)
    face = _DARK if style == 0 else _PALE
    brush.fill(oval(0.0, 0.0, 0.41, 0.41), face)
    ink = _PALE if style == 0 else _DARK
    for x, y in ((0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)):
        brush.line([(0.3 * x, 0.3 * y), (0.38 * x, 0.38 * y)], ink, 0.05)
    brush.line([(-0.18, -0.1), (0.0, 0.0), (0.14, -0.26)], ink, 0.05)


def _cap(brush: Brush, style: int) -> None:
    dome = [(-0.82, 0.28), (-0.8, -0.2), (-0.5, -0.6), (0.0, -0.72), (0.38, -0.46), (0.5, 0.22)]
    brush.sew([*smooth(dome, closed=False), (0.5, 0.24), (-0.1, 0.34)])
    peak = [(-0.12, 0.3), (0.5, 0.14), (0.92, 0.26), (1.04, 0.44), (0.6, 0.42), (0.1, 0.46)]
    if style == 1:
        brush.sew(smooth(peak))
    else:
        brush.fill(smooth(peak), brush.cloth.trim)
    brush.line(smooth([(-0.06, -0.7), (-0.34, -0.2), (-0.36, 0.3)], closed=False))
    brush.line(smooth([(-0.02, -0.7), (0.2, -0.3), (0.22, 0.24)], closed=False))
    brush.fill(oval(-0.04, -0.72, 0.09, 0.05), brush.cloth.trim)
    if style == 2:
        brush.fill(oval(0.0, -0.1, 0.15, 0.15), _PALE)


def _sunglasses(brush: Brush, style: int) -> None:
    lens: Colour = ((46, 50, 58), (96, 66, 44), (52, 70, 92))[style]
    for side in (-1, 1):
        brush.line([(side * 0.94, -0.18), (side * 0.8, -0.5), (side * 0.5, -0.56)], width=0.07)
        if style == 0:
            rim, glass = oval(side * 0.5, 0.0, 0.44, 0.4), oval(side * 0.5, 0.0, 0.34, 0.3)
        else:
            drop = 0.42 if style == 1 else 0.26
            rim = smooth(
                [
                    (side * 0.08, -0.22),
                    (side * 0.6, -0.3),
                    (side * 1.0, -0.22),
                    (side * 0.88, drop - 0.12),
                    (side * 0.54, drop),
                    (side * 0.18, drop - 0.16),
                ]
            )
            glass = [(side * 0.53 + 0.78 * (x - side * 0.53), 0.76 * y) for x, y in rim]
        brush.sew(rim)
        brush.fill(glass, lens)
        brush.line([(side * 0.5 - 0.18, 0.06), (side * 0.5 + 0.04, -0.16)], (228, 232, 238), 0.05)
    brush.line(smooth([(-0.12, -0.1), (0.0, -0.18), (0.12, -0.1)], closed=False), width=0.09)


@dataclass(frozen=True)
class Article:
    """One article type in the words of the Kaggle catalog, and how it looks.

    ``noun`` stands in titles; ``genders`` and ``usages`` are drawn from, repeats and all.
    """

    article_type: str
    master_category: str
    sub_category: str
    noun: str
    genders: tuple[str, ...]
    usages: tuple[str, ...]
    draw: Callable[[Brush, int], None]


_EVERYONE = ("Men", "Women", "Men", "Women", "Boys", "Girls")
_ADULTS = ("Men", "Women", "Unisex")

ARTICLES: tuple[Article, ...] = (
    Article("Tshirts", "Apparel", "Topwear", "T-shirt", _EVERYONE, ("Casual", "Sports"), _tshirt),
    Article(
        "Shirts",
        "Apparel",
        "Topwear",
        "Shirt",
        ("Men", "Men", "Women"),
        ("Casual", "Formal"),
        _shirt,
    ),
    Article(
        "Trousers",
        "Apparel",
        "Bottomwear",
        "Trousers",
        ("Men", "Women"),
        ("Formal", "Casual"),
        _trousers,
    ),
    Article("Shorts", "Apparel", "Bottomwear", "Shorts", _EVERYONE, ("Casual", "Sports"), _shorts),
    Article(
        "Dresses",
        "Apparel",
        "Dress",
        "Dress",
        ("Women", "Women", "Girls"),
        ("Casual", "Party"),
        _dress,
    ),
    Article(
        "Skirts", "Apparel", "Bottomwear", "Skirt", ("Women", "Women", "Girls"), ("Casual",), _skirt
    ),
    Article("Casual Shoes", "Footwear", "Shoes", "Sneaker", _ADULTS, ("Casual",), _casual_shoe),
    Article("Heels", "Footwear", "Shoes", "Heel", ("Women",), ("Casual", "Party", "Formal"), _heel),
    Article(
        "Handbags", "Accessories", "Bags", "Handbag", ("Women",), ("Casual", "Party"), _handbag
    ),
    Article(
        "Watches", "Accessories", "Watches", "Watch", ("Men", "Women"), ("Casual", "Formal"), _watch
    ),
    Article("Caps", "Accessories", "Headwear", "Cap", _ADULTS, ("Casual", "Sports"), _cap),
    Article(
        "Sunglasses", "Accessories", "Eyewear", "Sunglasses", _ADULTS, ("Casual",), _sunglasses
    ),
)
