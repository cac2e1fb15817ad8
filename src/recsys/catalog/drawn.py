"""The drawn sample: a catalog that we make ourselves, with a few planted faults.

A new user without a catalog gets a night that runs for real; tests get a delivery of any
size. The same number of products and seed give the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from recsys.artifacts.catalog import DELIVERY_COLUMNS
from recsys.artifacts.digests import canonical_json, sha256_file
from recsys.artifacts.files import write_atomically
from recsys.catalog.drawing import (
    HEIGHT,
    PATTERNS,
    WIDTH,
    Brush,
    Cloth,
    Colour,
    Pose,
    darker,
    shade,
)
from recsys.catalog.kaggle import IMAGES, STYLES
from recsys.catalog.shapes import ARTICLES, STYLES_OF_A_SHAPE, Article
from recsys.errors import DeliveryUnreadable

MIN_PRODUCTS = 24
NOTE = "drawn.json"
_FIRST_ID = 10_001
# One fault that costs a product for so many products: well below the quarantine budget.
_PRODUCTS_PER_FAULT = 120
_JPEG_QUALITY = 90
_WHITE: Colour = (255, 255, 255)

_COLOURS: dict[str, Colour] = {
    "Black": (44, 44, 48),
    "White": (244, 243, 240),
    "Grey": (142, 146, 152),
    "Navy Blue": (34, 48, 96),
    "Blue": (58, 118, 204),
    "Red": (204, 46, 48),
    "Green": (52, 140, 84),
    "Yellow": (238, 200, 62),
    "Pink": (236, 130, 168),
    "Purple": (124, 76, 164),
    "Brown": (122, 82, 52),
    "Orange": (236, 130, 50),
}
_BRANDS = (
    "Northlane",
    "Juniper & Co",
    "Tidewater",
    "Alder",
    "Mosaic",
    "Fernway",
    "Kestrel",
    "Ostra",
)
_SEASONS = ("Summer", "Fall", "Winter", "Spring")
_YEARS = tuple(str(year) for year in range(2019, 2026))


@dataclass(frozen=True)
class PlantedFaults:
    """Product ids by fault. The first three cost the product (None: too few products for one).

    ``duplicates`` are two products with the same picture, ``greyscale`` has a one-channel
    JPEG, ``without_row`` is a picture that no row names.
    """

    corrupt_image: str | None
    empty_article_type: str | None
    blank_image: str | None
    duplicates: tuple[str, str]
    greyscale: str
    without_row: str

    @property
    def costly(self) -> tuple[str, ...]:
        """The products that validation has to set aside."""
        faults = (self.corrupt_image, self.empty_article_type, self.blank_image)
        return tuple(fault for fault in faults if fault is not None)


def planted_faults(products: int) -> PlantedFaults:
    """What is wrong in a drawn sample of so many products, whatever its seed."""
    costly = min(3, products // _PRODUCTS_PER_FAULT)
    return PlantedFaults(
        corrupt_image=_id(products // 3) if costly > 0 else None,
        empty_article_type=_id(2 * products // 3) if costly > 1 else None,
        blank_image=_id(products // 2) if costly > 2 else None,
        duplicates=(_id(2), _id(2 + len(ARTICLES))),
        greyscale=_id(5),
        without_row=_id(products),
    )


def draw_catalog(dest: Path, products: int, seed: int) -> Path:
    """Draw a catalog in the Kaggle folder layout at ``dest``; returns ``dest``.

    The folder appears whole or not at all. One that was drawn with the same parameters by
    the same code is kept; one drawn otherwise is replaced.

    Raises
    ------
    ValueError
        Fewer than 24 products: two of each article type are needed.
    DeliveryUnreadable
        ``dest`` holds something that was not drawn by us.
    """
    if products < MIN_PRODUCTS:
        raise ValueError(f"a drawn catalog has at least {MIN_PRODUCTS} products, not {products}")
    parameters = _parameters(products, seed)
    if _noted_parameters(dest) == parameters:
        return dest
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=f".{dest.name}-") as scratch:
        fresh = Path(scratch) / "new"
        _draw(fresh, products, seed)
        note = {"parameters": parameters, "planted_faults": asdict(planted_faults(products))}
        write_atomically(fresh / NOTE, canonical_json(note))
        if dest.exists():
            dest.rename(Path(scratch) / "old")
        fresh.rename(dest)
    return dest


def _parameters(products: int, seed: int) -> dict[str, object]:
    """All that the bytes depend on, the drawing code and Pillow included."""
    sources = [Path(__file__).with_name(f"{name}.py") for name in ("drawing", "shapes", "drawn")]
    return {
        "products": products,
        "seed": seed,
        "code": [sha256_file(source) for source in sources],
        "pillow": PIL.__version__,
    }


def _noted_parameters(dest: Path) -> object:
    """The parameters of the catalog that is there, or None; anything else there is refused."""
    note = dest / NOTE
    if note.is_file():
        try:
            return json.loads(note.read_bytes())["parameters"]
        except (ValueError, KeyError, TypeError):
            return None
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise DeliveryUnreadable(
            f"{dest}: not a catalog that was drawn here, so it is not replaced; move it away"
        )
    return None


def _draw(folder: Path, products: int, seed: int) -> None:
    (folder / IMAGES).mkdir(parents=True)
    faults = planted_faults(products)
    table = io.StringIO()
    writer = csv.DictWriter(table, DELIVERY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for position in range(products):
        product = _product(position, seed, faults)
        (folder / IMAGES / f"{product.row['id']}.jpg").write_bytes(_photo(product, faults))
        writer.writerow(product.row)
    stray = _product(products, seed, faults)
    (folder / IMAGES / f"{faults.without_row}.jpg").write_bytes(_photo(stray, faults))
    (folder / STYLES).write_text(table.getvalue())


@dataclass(frozen=True)
class _Product:
    """A row of the CSV and what the camera sees."""

    row: dict[str, str]
    article: Article
    style: int
    cloth: Cloth
    pose: Pose
    paper: Colour


def _product(position: int, seed: int, faults: PlantedFaults) -> _Product:
    """The product at a position; the article types take turns."""
    first, second = (int(product) - _FIRST_ID for product in faults.duplicates)
    look = np.random.default_rng([seed, first if position == second else position, 0])
    words = np.random.default_rng([seed, position, 1])
    article = ARTICLES[position % len(ARTICLES)]
    colour = _pick(look, tuple(_COLOURS))
    pattern = _pick(look, ("Solid", *PATTERNS))
    row = _row(_id(position), article, colour, pattern, words)
    if row["id"] == faults.empty_article_type:
        row["articleType"] = ""
    return _Product(
        row, article, int(look.integers(STYLES_OF_A_SHAPE)), _cloth(look, colour, pattern),
        _pose(look), shade(_WHITE, (226, 230, 236), float(look.uniform(0, 0.7))),
    )  # fmt: skip


def _row(
    product_id: str, article: Article, colour: str, pattern: str, words: np.random.Generator
) -> dict[str, str]:
    gender = _pick(words, article.genders)
    told = [
        _pick(words, _BRANDS),
        gender,
        "" if pattern == "Solid" else pattern,
        colour,
        article.noun,
    ]
    return {
        "id": product_id,
        "gender": gender,
        "masterCategory": article.master_category,
        "subCategory": article.sub_category,
        "articleType": article.article_type,
        "baseColour": colour,
        "season": _pick(words, _SEASONS),
        "year": _pick(words, _YEARS),
        "usage": _pick(words, article.usages),
        "productDisplayName": " ".join(word for word in told if word),
    }


def _cloth(look: np.random.Generator, colour: str, pattern: str) -> Cloth:
    """Cloth of a colour; lights, dyes and trims vary a little."""
    base = shade(_COLOURS[colour], _WHITE, float(look.uniform(0, 0.14)))
    light = sum(base) > 3 * 150
    second = darker(base, 0.5) if light else shade(base, _WHITE, 0.7)
    trim = darker(base, 0.25) if look.random() < 0.5 else second
    return Cloth(base, second, trim, pattern)


def _pose(look: np.random.Generator) -> Pose:
    return Pose(
        scale=float(look.uniform(0.78, 1.0)),
        tilt=float(look.uniform(-12, 12)),
        shift_x=float(look.uniform(-0.07, 0.07)),
        shift_y=float(look.uniform(-0.09, 0.09)),
        mirrored=bool(look.random() < 0.5),
    )


def _photo(product: _Product, faults: PlantedFaults) -> bytes:
    """The JPEG of a product, with the fault that is planted in it."""
    product_id = product.row["id"]
    if product_id == faults.blank_image:
        return _jpeg(Image.new("RGB", (WIDTH, HEIGHT), _WHITE))
    brush = Brush(product.pose, product.cloth, product.paper)
    product.article.draw(brush, product.style)
    picture = brush.finish()
    if product_id == faults.greyscale:
        picture = picture.convert("L")
    data = _jpeg(picture)
    return data[: len(data) // 2] if product_id == faults.corrupt_image else data


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _id(position: int) -> str:
    return str(_FIRST_ID + position)


def _pick(generator: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(generator.integers(len(choices)))]
