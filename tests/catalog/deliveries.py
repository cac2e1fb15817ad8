"""Small deliveries for the tests of catalog/, written by hand in each layout."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path

from recsys.catalog import Delivery, open_delivery

CSV = b"id,gender\n1,Men\n2,Women\n"


def opened(source: Path, max_image_bytes: int = 1_000) -> Delivery:
    return open_delivery(source, max_image_bytes=max_image_bytes)


def kaggle_folder(root: Path, images: dict[str, bytes]) -> Path:
    (root / "images").mkdir(parents=True)
    (root / "styles.csv").write_bytes(CSV)
    for name, data in images.items():
        (root / "images" / name).write_bytes(data)
    return root


def member(
    name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    info.linkname = "elsewhere"
    return info, data


def kaggle_tars(root: Path, *tars: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "styles.csv").write_bytes(CSV)
    for number, members in enumerate(tars):
        with tarfile.open(root / f"images-{number}.tar", "w") as tar:
            for info, data in members:
                tar.addfile(info, io.BytesIO(data) if info.size else None)
    return root


def idx_files(
    root: Path,
    pictures: list[bytes],
    labels: bytes,
    *,
    part: str = "train",
    rows: int = 2,
    columns: int = 3,
    images_header: bytes | None = None,
) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">4i", 2051, len(pictures), rows, columns)
    packed = gzip.compress((images_header or header) + b"".join(pictures))
    (root / f"{part}-images-idx3-ubyte.gz").write_bytes(packed)
    head = struct.pack(">2i", 2049, len(labels))
    (root / f"{part}-labels-idx1-ubyte").write_bytes(head + labels)
    return root
