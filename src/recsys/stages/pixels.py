"""The pixels of a validated catalog, decoded once a night and mapped into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import images, names
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.stages import frames
from recsys.stages.night import Night, Opened

KEPT = "/kept/"
_DELIVERED = "/images/"


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
    commit = names.parse_ref(validated.ref)[1]
    path = night.settings.scratch_dir / f"pixels-{commit}-{width}x{height}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in path.parent.glob("pixels-*.npy"):
            other.unlink(missing_ok=True)
        _decode(night, validated, products, path, (width, height))
    pixels: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return pixels


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
