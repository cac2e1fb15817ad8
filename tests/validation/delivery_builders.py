"""Small deliveries: rows of CSV and drawn pictures."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from recsys.artifacts.catalog import DELIVERY_COLUMNS
from recsys.images import ImageLimits
from recsys.validation import ParsedRows, SortedCatalog, measure_images, parse_rows, sort_out

LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000)
HEADER = ",".join(DELIVERY_COLUMNS)


def row(product_id: str, kind: str = "Shirts", name: str = "A shirt") -> str:
    """One CSV row."""
    return f"{product_id},Men,Apparel,Topwear,{kind},Blue,Summer,2012,Casual,{name}"


def styles(*rows: str, header: str = HEADER) -> bytes:
    """A ``styles.csv``."""
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


def picture(
    seed: int = 0, width: int = 60, height: int = 80, file_format: str = "PNG", mode: str = "RGB"
) -> bytes:
    """A picture of coarse noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 6, 3), dtype=np.uint8))
    return encoded(coarse.resize((width, height)).convert(mode), file_format)


def flat(colour: tuple[int, int, int], width: int = 60, height: int = 80) -> bytes:
    """A picture of one colour."""
    return encoded(Image.new("RGB", (width, height), colour), "PNG")


def encoded(image: Image.Image, file_format: str) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


def measured(images: dict[str, bytes]) -> pd.DataFrame:
    """Measures of these files."""
    return measure_images(images.items(), LIMITS)


def delivery(
    csv: bytes, images: dict[str, bytes]
) -> tuple[ParsedRows, pd.DataFrame, SortedCatalog]:
    """Everything that validation makes of a delivery."""
    rows, measures = parse_rows(csv), measured(images)
    return rows, measures, sort_out(rows, measures)
