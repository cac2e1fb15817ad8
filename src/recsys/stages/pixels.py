"""The pixels of a validated catalog, decoded once a night and mapped into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import images, names
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.stages import frames
from recsys.stages.night import Night, Opened

KEPT = "/kept/"
_DELIVERED = "/images/"
# Above this share of a catalog its whole map is made, which later stages read too.
_MOST: Final = 0.5


def products_of(night: Night, validated: Opened[ValidatedCatalog]) -> pd.DataFrame:
    """The good products, in the order of pixels and vectors."""
    return frames.read_frame(night, validated.ref, frames.PRODUCTS)


def pixels_of(
    night: Night,
    validated: Opened[ValidatedCatalog],
    products: pd.DataFrame,
    size: tuple[int, int] | None = None,
) -> npt.NDArray[np.uint8]:
    """[n_products, height, width, 3] uint8, mapped from the scratch folder.

    ``size`` is (width, height), by default that of the settings; a model that was trained
    on another size says its own. Decoded by the first stage that asks; other pixels in the
    folder are dropped then.
    """
    width, height = size or (night.settings.image_width, night.settings.image_height)
    path = _place(night, validated, (width, height))
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in path.parent.glob("pixels-*.npy"):
            other.unlink(missing_ok=True)
        _decode(night, validated, products, path, (width, height))
    pixels: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return pixels


def pixels_of_rows(
    night: Night,
    validated: Opened[ValidatedCatalog],
    products: pd.DataFrame,
    rows: Sequence[int],
    wanted: int,
    size: tuple[int, int],
) -> npt.NDArray[np.uint8]:
    """[rows, height, width, 3] uint8 of some products, by their place in the table.

    ``wanted`` is of how many products pixels are asked for in all. The night's map is read
    where it is, and made when most are wanted; otherwise only these rows are decoded.
    """
    path = _place(night, validated, size)
    if path.is_file() or wanted > len(products) * _MOST:
        found: npt.NDArray[np.uint8] = pixels_of(night, validated, products, size)[rows]
        return found
    chosen = products.iloc[list(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="decode-") as folder:
        decoded = images.load_all(
            _contents(night, validated, chosen),
            len(chosen),
            Path(folder) / path.name,
            *size,
            night.image_limits,
        )
        return np.array(decoded)


def _place(night: Night, validated: Opened[ValidatedCatalog], size: tuple[int, int]) -> Path:
    width, height = size
    commit = names.parse_ref(validated.ref)[1]
    return night.settings.scratch_dir / f"pixels-{commit}-{width}x{height}.npy"


def _decode(
    night: Night,
    validated: Opened[ValidatedCatalog],
    products: pd.DataFrame,
    path: Path,
    size: tuple[int, int],
) -> None:
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix="decode-") as folder,
        night.progress("decoding images", len(products)) as advance,
    ):
        part = Path(folder) / path.name
        images.load_all(
            _contents(night, validated, products),
            len(products),
            part,
            *size,
            night.image_limits,
            on_progress=advance,
        )
        part.replace(path)


def picture_place(validated: Opened[ValidatedCatalog], image: str, kept: bool) -> tuple[str, str]:
    """Commit and path of a product's picture: tonight's delivery, or kept from before."""
    if kept:
        return validated.ref, f"{KEPT}{image}"
    return validated.artifact.catalog, f"{_DELIVERED}{image}"


def _contents(
    night: Night, validated: Opened[ValidatedCatalog], products: pd.DataFrame
) -> Iterator[bytes]:
    for image, kept in zip(products["image"], products["kept"], strict=True):
        yield night.read(*picture_place(validated, image, kept))
