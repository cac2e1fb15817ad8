"""The pixels of a validated catalog, decoded when a stage asks for them, mapped into memory.

A training reads all of them, in a map of the whole catalog that later stages read too. On a
night that keeps the champion nobody asks for all: duplicates are confirmed among pictures with
a close hash, a model is judged on the held-out ones, and only new ones are embedded, so that
only those are decoded. Pixels kept from night to night, by picture, would spare these as well:
a sixth of a CPU second a thousand pictures, for nearly five times the disk that their files take.
"""

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
    """[n_products, height, width, 3] uint8 of all of them, mapped from the scratch folder.

    ``size`` is (width, height), by default that of the settings; a model that was trained
    on another size says its own. Decoded by the first stage that asks. Who needs some
    products only asks `pixels_of_rows`.
    """
    width, height = size or settings_size(night)
    path = _place(night, validated, (width, height))
    if not path.is_file():
        _drop_others(path)
        # It appears whole: another stage may look for it at the same time.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="decode-") as folder:
            part = Path(folder) / path.name
            _decoded(night, validated, products, part, (width, height))
            part.replace(path)
    pixels: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return pixels


def pixels_of_rows(
    night: Night,
    validated: Opened[ValidatedCatalog],
    products: pd.DataFrame,
    rows: Sequence[int] | npt.NDArray[np.int64],
    size: tuple[int, int],
    *,
    wanted: int | None = None,
) -> npt.NDArray[np.uint8]:
    """[rows, height, width, 3] uint8 of some products, by their place in the table.

    The night's map is read where it is, and made when most are wanted; otherwise only these
    rows are decoded, into a file that is gone with the map of it that is returned. Maps of
    other nights and sizes are dropped from the folder whenever something is decoded.

    Parameters
    ----------
    size
        (width, height).
    wanted
        Of how many products pixels are asked for in all, when they are asked for in parts.
    """
    path = _place(night, validated, size)
    if path.is_file() or (wanted or len(rows)) > len(products) * _MOST:
        found: npt.NDArray[np.uint8] = pixels_of(night, validated, products, size)[rows]
        return found
    _drop_others(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="decode-") as folder:
        part = Path(folder) / path.name
        return _decoded(night, validated, products.iloc[np.asarray(rows)], part, size)


def settings_size(night: Night) -> tuple[int, int]:
    """(width, height) of the pictures that tonight's model is to see."""
    return night.settings.image_width, night.settings.image_height


def _place(night: Night, validated: Opened[ValidatedCatalog], size: tuple[int, int]) -> Path:
    width, height = size
    commit = names.parse_ref(validated.ref)[1]
    return night.settings.scratch_dir / f"pixels-{commit}-{width}x{height}.npy"


def _drop_others(path: Path) -> None:
    """Make room; a stage that still reads another map keeps it until it is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in path.parent.glob("pixels-*.npy"):
        other.unlink(missing_ok=True)


def _decoded(
    night: Night,
    validated: Opened[ValidatedCatalog],
    products: pd.DataFrame,
    path: Path,
    size: tuple[int, int],
) -> npt.NDArray[np.uint8]:
    """[products, height, width, 3] uint8, mapped from ``path``."""
    with night.progress("decoding images", len(products)) as advance:
        return images.load_all(
            _contents(night, validated, products),
            len(products),
            path,
            *size,
            night.image_limits,
            on_progress=advance,
        )


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
