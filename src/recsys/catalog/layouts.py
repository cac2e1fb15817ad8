"""Tell a delivery's layout and open it."""

from __future__ import annotations

from pathlib import Path

from recsys.catalog.delivery import Delivery
from recsys.catalog.idx import IdxDelivery, find_idx_parts
from recsys.catalog.kaggle import (
    IMAGES,
    REMOVED,
    STYLES,
    FolderDelivery,
    TarDelivery,
    find_removed,
    list_images,
    list_tars,
)
from recsys.errors import DeliveryUnreadable

_KNOWN = f"""A delivery is a folder that holds one of:
  {STYLES} and images/<id>.jpg, .jpeg, .png or .webp  (the Kaggle layout)
  {STYLES} and *.tar with members <id>.jpg             (the same, packed)
  train-images-idx3-ubyte[.gz] and train-labels-idx1-ubyte[.gz], t10k-… (IDX)
With {REMOVED} (a header "id", then the ids to take out) beside {STYLES} it is a delta: only
what is new or changed; images may then be absent."""


def open_delivery(source: Path, *, max_image_bytes: int) -> Delivery:
    """Open the delivery in a folder; nothing large is read yet.

    Raises
    ------
    DeliveryUnreadable
        No such folder, no known layout, or unsafe files: links that lead outside, odd
        names, files too large. A CSV or picture that is merely broken is handed on.
    """
    try:
        return _open(source, max_image_bytes)
    except OSError as error:  # no right to look, a name too long, a disk that fails
        raise DeliveryUnreadable(f"{source}: cannot be read ({error})") from error


def _open(source: Path, max_image_bytes: int) -> Delivery:
    if not source.is_dir():
        raise DeliveryUnreadable(f"{source}: no such folder.\n{_KNOWN}")
    root = source.resolve()
    is_delta = find_removed(root)
    if (root / STYLES).exists():
        return _open_kaggle(root, max_image_bytes, is_delta)
    if is_delta:
        raise DeliveryUnreadable(
            f"{source}: {REMOVED} without {STYLES}; a delta that changes no row has its header"
        )
    parts = find_idx_parts(root)
    if not parts:
        raise DeliveryUnreadable(f"{source}: neither {STYLES} nor IDX files.\n{_KNOWN}")
    return IdxDelivery(root, parts, max_image_bytes)


def _open_kaggle(root: Path, max_image_bytes: int, is_delta: bool) -> Delivery:
    tars = list_tars(root)
    folder = root / IMAGES
    if tars and folder.is_dir():
        raise DeliveryUnreadable(
            f"{root}: both {IMAGES}/ and {tars[0].name}; keep one, as they may disagree"
        )
    if tars:
        return TarDelivery(root, tuple(tars), max_image_bytes, is_delta=is_delta)
    if folder.is_dir():
        names = list_images(root, max_image_bytes)
        return FolderDelivery(root, names, max_image_bytes, is_delta=is_delta)
    if is_delta and not (folder.exists() or folder.is_symlink()):
        return FolderDelivery(root, (), max_image_bytes, is_delta=True)
    raise DeliveryUnreadable(f"{root}: {STYLES} without {IMAGES}/ and without a tar.\n{_KNOWN}")
