"""Plant faults of known kinds into a delivery, with a seed, and remember where.

Every kind costs other products, so that what is caught can be counted kind by kind, and
all the rest is clean.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from recsys.artifacts.catalog import DELIVERY_COLUMNS, LABEL_COLUMN, NAME_COLUMN

Row = dict[str, str]
_Pixels = npt.NDArray[np.uint8]
_PRICES = ("Rs. 499", "$19.99", "₹1,299", "499/-", "50% off", "INR 799", "MRP: 1299", "EUR 20")
_JUNK = (
    "<b>{}</b>",
    "{} &amp; more &nbsp;",
    "test product 12",
    "asdfghjkl",
    "12345678",
    "undefined",
    "{} - buy now!",
    "IMG_2041.jpg",
    "https://shop.example/item",
    "{} ####!!!!",
    "lorem ipsum dolor",
    "{{product.name}}",
)
_ACCENTED = " Café Crème"


@dataclass(frozen=True)
class Shop:
    """A delivery in hand: lines of ``styles.csv`` by id, and image files by name."""

    rows: Mapping[str, Row]
    images: Mapping[str, bytes]
    extra_lines: tuple[bytes, ...] = ()
    lines: Mapping[str, bytes] | None = None

    def styles_csv(self) -> bytes:
        """The table as bytes; `lines` stand in for the rows of their ids."""
        damaged = self.lines or {}
        body = [damaged.get(product) or line_of(row) for product, row in self.rows.items()]
        return b"".join([_line(DELIVERY_COLUMNS), *body, *self.extra_lines])


@dataclass(frozen=True)
class Planted:
    """A delivery with faults: ids by kind, and all that have none."""

    shop: Shop
    ids: Mapping[str, frozenset[str]]

    @property
    def clean(self) -> frozenset[str]:
        return frozenset(self.shop.rows) - frozenset[str]().union(*self.ids.values())


def line_of(row: Row) -> bytes:
    """A row as a line of UTF-8 CSV."""
    return _line([row[column] for column in DELIVERY_COLUMNS])


def _line(fields: Sequence[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(fields)
    return buffer.getvalue().encode()


# Faults of one image: bytes and randomness in, bytes out.


def _truncated(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(len(data) * rng.uniform(0.1, 0.95))]


def _zero_byte(data: bytes, rng: np.random.Generator) -> bytes:
    return b""


def _wrong_format(data: bytes, rng: np.random.Generator) -> bytes:
    kind = str(rng.choice(["GIF", "BMP", "TIFF", "text"]))
    if kind == "text":
        return b"<html><body>404 Not Found</body></html>"
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def _noise(data: bytes, rng: np.random.Generator) -> bytes:
    return _jpeg(rng.integers(0, 256, _pixels(data).shape, dtype=np.uint8), rng)


def _scrambled(data: bytes, rng: np.random.Generator) -> bytes:
    pixels = _pixels(data)
    return _jpeg(rng.permutation(pixels.reshape(-1, 3)).reshape(pixels.shape), rng)


def _black(data: bytes, rng: np.random.Generator) -> bytes:
    return _flat(data, np.full(3, rng.uniform(0, 8)), rng)


def _white(data: bytes, rng: np.random.Generator) -> bytes:
    return _flat(data, np.full(3, rng.uniform(248, 255)), rng)


def _blank(data: bytes, rng: np.random.Generator) -> bytes:
    return _flat(data, rng.uniform(0, 255, 3), rng)


def _blurred(data: bytes, rng: np.random.Generator) -> bytes:
    """A Gaussian blur whose sigma is 5 to 10 % of the width."""
    image = Image.fromarray(_pixels(data))
    blur = ImageFilter.GaussianBlur(image.width * rng.uniform(0.05, 0.10))
    return _jpeg(np.asarray(image.filter(blur)), rng)


def _upscaled_smooth(data: bytes, rng: np.random.Generator) -> bytes:
    smooth = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    return _upscaled(data, smooth[int(rng.integers(3))], rng)


def _upscaled_blocks(data: bytes, rng: np.random.Generator) -> bytes:
    return _upscaled(data, Image.Resampling.NEAREST, rng)


def _shifted_channel(data: bytes, rng: np.random.Generator) -> bytes:
    """One colour channel moved by 5 to 20 % of the width."""
    pixels = _pixels(data).copy()
    channel, axis = int(rng.integers(3)), int(rng.integers(2))
    distance = max(2, int(pixels.shape[1] * rng.uniform(0.05, 0.2)))
    pixels[..., channel] = np.roll(pixels[..., channel], distance, axis=axis)
    return _jpeg(pixels, rng)


IMAGE_FAULTS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "truncated": _truncated,
    "zero_byte": _zero_byte,
    "wrong_format": _wrong_format,
    "noise": _noise,
    "scrambled": _scrambled,
    "black": _black,
    "white": _white,
    "blank": _blank,
    "blurred": _blurred,
    "upscaled_smooth": _upscaled_smooth,
    "upscaled_blocks": _upscaled_blocks,
    "shifted_channel": _shifted_channel,
}
NAME_FAULTS = ("prices_in_names", "junk_names", "mojibake")
OTHER_FAULTS = ("wrong_encoding", "duplicated_rows", "swapped_labels", "shuffled_ids")
KINDS = (*IMAGE_FAULTS, *NAME_FAULTS, *OTHER_FAULTS)


def _flat(data: bytes, colour: npt.NDArray[np.float64], rng: np.random.Generator) -> bytes:
    """One colour with a sensor's noise."""
    noisy = colour + rng.normal(0, rng.uniform(0, 3), _pixels(data).shape)
    return _jpeg(np.clip(noisy, 0, 255).round().astype(np.uint8), rng)


def _upscaled(data: bytes, how: Image.Resampling, rng: np.random.Generator) -> bytes:
    """Enlarged from 13 to 27 % of the width, 8 to 16 pixels of 60."""
    image = Image.fromarray(_pixels(data))
    share = rng.uniform(0.13, 0.27)
    tiny = image.resize(
        (max(2, round(image.width * share)), max(2, round(image.height * share))),
        Image.Resampling.BOX,
    )
    return _jpeg(np.asarray(tiny.resize(image.size, how)), rng)


def _pixels(data: bytes) -> _Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _jpeg(pixels: _Pixels, rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(75, 96)))
    return buffer.getvalue()


def plant(shop: Shop, per_kind: int, seed: int, kinds: Sequence[str] = KINDS) -> Planted:
    """So many products of each kind get its fault; the same seed, the same faults.

    Products need one image each, named ``<id>.<suffix>``.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(sorted(shop.rows), per_kind * len(kinds), replace=False).tolist()
    ids = {
        kind: [str(product) for product in chosen[place * per_kind : (place + 1) * per_kind]]
        for place, kind in enumerate(kinds)
    }
    rows = {product: dict(row) for product, row in shop.rows.items()}
    files = {name.rpartition(".")[0]: name for name in shop.images}
    images = dict(shop.images)
    lines: dict[str, bytes] = {}
    extra: list[bytes] = []
    for kind, products in ids.items():
        for product in products if kind in IMAGE_FAULTS else ():
            images[files[product]] = IMAGE_FAULTS[kind](images[files[product]], rng)
        for product in products if kind in NAME_FAULTS else ():
            rows[product][NAME_COLUMN] = _bad_name(kind, rows[product][NAME_COLUMN], rng)
        if kind == "wrong_encoding":
            lines |= {product: _latin1(rows[product]) for product in products}
        elif kind == "duplicated_rows":
            extra += [line_of(rows[product]) for product in products]
        elif kind == "swapped_labels":
            _rotate_labels(rows, products)
        elif kind == "shuffled_ids":
            taken = [images[files[product]] for product in products]
            for product, data in zip(products, [*taken[1:], taken[0]], strict=True):
                images[files[product]] = data
    planted = {kind: frozenset(products) for kind, products in ids.items()}
    return Planted(Shop(rows, images, tuple(extra), lines), planted)


def _bad_name(kind: str, name: str, rng: np.random.Generator) -> str:
    if kind == "prices_in_names":
        return f"{name} {_PRICES[int(rng.integers(len(_PRICES)))]}"
    if kind == "mojibake":
        return f"{name}{_ACCENTED}".encode().decode("latin-1")
    junk = _JUNK[int(rng.integers(len(_JUNK)))]
    return junk.replace("{}", name)


def _latin1(row: Row) -> bytes:
    return line_of({**row, NAME_COLUMN: row[NAME_COLUMN] + _ACCENTED}).decode().encode("latin-1")


def _rotate_labels(rows: dict[str, Row], products: Sequence[str]) -> None:
    """Each of these products gets the article type of the next that has another one."""
    labels = [rows[product][LABEL_COLUMN] for product in products]
    for place, product in enumerate(products):
        others = [*labels[place + 1 :], *labels[:place]]
        rows[product][LABEL_COLUMN] = next(
            label for label in others if label != rows[product][LABEL_COLUMN]
        )


def without_type(shop: Shop, article_type: str) -> Shop:
    """The delivery less every product of one article type, pictures included."""
    rows = {key: row for key, row in shop.rows.items() if row[LABEL_COLUMN] != article_type}
    kept = {name: data for name, data in shop.images.items() if name.rpartition(".")[0] in rows}
    return Shop(rows, kept)
