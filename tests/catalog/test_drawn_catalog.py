from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catalog.deliveries import opened
from recsys.artifacts.catalog import DELIVERY_COLUMNS
from recsys.catalog import draw_catalog, planted_faults
from recsys.catalog.drawing import Brush, Cloth, Pose
from recsys.catalog.shapes import ARTICLES, STYLES_OF_A_SHAPE
from recsys.errors import DeliveryUnreadable, ImageRejected
from recsys.images import ImageLimits, decode

LIMITS = ImageLimits(max_bytes=100_000, max_pixels=10_000)


def drawn(
    folder: Path, products: int = 24, seed: int = 7
) -> tuple[list[dict[str, str]], dict[str, bytes]]:
    delivery = opened(draw_catalog(folder, products, seed), max_image_bytes=100_000)
    rows = list(csv.DictReader(io.StringIO(delivery.styles_csv().decode())))
    return rows, {name.removesuffix(".jpg"): data for name, data in delivery.images()}


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    first = drawn(tmp_path / "a")
    assert drawn(tmp_path / "b") == first
    assert drawn(tmp_path / "c", seed=8) != first


def test_every_article_type_is_drawn_equally_often(tmp_path: Path) -> None:
    rows, pictures = drawn(tmp_path / "d", products=36)
    assert tuple(rows[0]) == DELIVERY_COLUMNS
    assert Counter(row["articleType"] for row in rows) == {
        article.article_type: 3 for article in ARTICLES
    }
    assert len(ARTICLES) == 12
    assert all(value for row in rows for value in row.values())
    assert len({row["id"] for row in rows}) == 36
    assert {decode(data, LIMITS).shape for data in pictures.values()} == {(80, 60, 3)}


def test_the_planted_faults_are_there_and_nothing_else_is_wrong(tmp_path: Path) -> None:
    rows, pictures = drawn(tmp_path / "d", products=360)
    faults = planted_faults(360)
    undecodable, one_colour = set(), set()
    for product, data in pictures.items():
        try:
            if len(np.unique(decode(data, LIMITS))) == 1:
                one_colour.add(product)
        except ImageRejected:
            undecodable.add(product)
    assert undecodable == {faults.corrupt_image}
    assert one_colour == {faults.blank_image}
    assert {row["id"] for row in rows if not row["articleType"]} == {faults.empty_article_type}
    assert set(pictures) - {row["id"] for row in rows} == {faults.without_row}
    assert {row["id"] for row in rows} <= set(pictures)
    copies = [
        product for product, data in pictures.items() if data == pictures[faults.duplicates[0]]
    ]
    assert tuple(copies) == faults.duplicates
    assert len(set(pictures.values())) == len(pictures) - 1
    with Image.open(io.BytesIO(pictures[faults.greyscale])) as picture:
        assert picture.mode == "L"


@pytest.mark.parametrize(("products", "costly"), [(24, 0), (119, 0), (120, 1), (240, 2), (720, 3)])
def test_the_costly_faults_stay_far_below_two_percent(products: int, costly: int) -> None:
    faults = planted_faults(products)
    assert len(faults.costly) == costly
    assert costly / products < 0.01
    every = [*faults.costly, *faults.duplicates, faults.greyscale, faults.without_row]
    assert len(set(every)) == costly + 4


def test_a_catalog_drawn_alike_is_kept_and_one_drawn_otherwise_replaced(tmp_path: Path) -> None:
    dest = tmp_path / "deep" / "drawn"
    drawn(dest)
    written = (dest / "styles.csv").stat().st_mtime_ns
    drawn(dest)
    assert (dest / "styles.csv").stat().st_mtime_ns == written
    rows, _ = drawn(dest, products=25)
    assert len(rows) == 25
    (dest / "drawn.json").write_text("not json")
    assert len(drawn(dest, products=26)[0]) == 26
    assert [path.name for path in dest.parent.iterdir()] == ["drawn"]


def test_what_was_not_drawn_here_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(DeliveryUnreadable, match="not a catalog that was drawn here"):
        draw_catalog(tmp_path, 24, 7)
    assert (tmp_path / "precious").read_text() == "mine"


def test_fewer_than_two_of_each_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 24"):
        draw_catalog(tmp_path / "d", 23, 7)


def test_no_two_types_or_styles_look_alike() -> None:
    pose = Pose(scale=0.9, tilt=0, shift_x=0, shift_y=0, mirrored=False)
    cloth = Cloth((60, 120, 200), (200, 220, 240), (40, 80, 150), "Solid")
    seen = []
    for article in ARTICLES:
        for style in range(STYLES_OF_A_SHAPE):
            brush = Brush(pose, cloth, (255, 255, 255))
            article.draw(brush, style)
            seen.append(np.asarray(brush.finish(), np.float32))
    nearest = min(np.abs(seen[a] - seen[b]).mean() for a in range(len(seen)) for b in range(a))
    assert nearest > 0.5


def test_a_pose_places_points_by_hand_arithmetic() -> None:
    # The paper is 240 x 320; a unit is 108 pixels; a quarter turn takes (1, 0) to (0, 1).
    pose = Pose(scale=0.5, tilt=90, shift_x=0.1, shift_y=0, mirrored=False)
    assert pose.place((1, 0)) == pytest.approx((120 + 10.8, 160 + 54))
    turned = Pose(scale=1, tilt=0, shift_x=0, shift_y=0, mirrored=True)
    assert turned.place((1, 1)) == pytest.approx((12, 268))
