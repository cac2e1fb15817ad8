"""Tell a delivery's layout and open it."""

from __future__ import annotations

from pathlib import Path

from recsys.catalog.delivery import Delivery
from recsys.catalog.idx import IdxDelivery, find_idx_parts
from recsys.catalog.kaggle import STYLES, FolderDelivery, TarDelivery, list_images, list_tars
from recsys.errors import DeliveryUnreadable

_KNOWN = f"""A delivery is a folder that holds one of:
  {STYLES} and images/<id>.jpg, .jpeg, .png or .webp  (the Kaggle layout)
  {STYLES} and *.tar with members <id>.jpg             (the same, packed)
  train-images-idx3-ubyte[.gz] and train-labels-idx1-ubyte[.gz], t10k-… (IDX)"""


def open_delivery(source: Path, *, max_image_bytes: int) -> Delivery:
    """Open the delivery in a folder; nothing large is read yet.

    Raises
    ------
    DeliveryUnreadable
        No such folder, no known layout, or unsafe files: links that lead outside, odd
        names, files too large. A CSV or picture that is merely broken is handed on.
    """
    if not source.is_dir():
        raise DeliveryUnreadable(f"{source}: no such folder.\n{_KNOWN}")
    root = source.resolve()
    if (root / STYLES).exists():
        return _open_kaggle(root, max_image_bytes)
    parts = find_idx_parts(root)
    if not parts:
        raise DeliveryUnreadable(f"{source}: neither {STYLES} nor IDX files.\n{_KNOWN}")
    return IdxDelivery(root, parts, max_image_bytes)


def _open_kaggle(root: Path, max_image_bytes: int) -> Delivery:
    tars = list_tars(root)
    has_folder = (root / "images").is_dir()
    if tars and has_folder:
        raise DeliveryUnreadable(
            f"{root}: both images/ and {tars[0].name}; keep one, as they may disagree"
        )
    if tars:
        return TarDelivery(root, tuple(tars), max_image_bytes)
    if has_folder:
        return FolderDelivery(root, list_images(root, max_image_bytes), max_image_bytes)
    raise DeliveryUnreadable(f"{root}: {STYLES} without images/ and without a tar.\n{_KNOWN}")
