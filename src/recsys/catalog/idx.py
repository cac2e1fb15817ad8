"""IDX files as Fashion-MNIST is delivered: greyscale pictures and class numbers.

The format (Y. LeCun's MNIST page): big-endian int32 magic (2051 for images, 2049 for
labels), count, and for images rows and columns; then one byte a pixel or a label.
"""

from __future__ import annotations

import csv
import gzip
import io
import struct
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image

from recsys.artifacts.catalog import DELIVERY_COLUMNS, ID_COLUMN, LABEL_COLUMN, NAME_COLUMN
from recsys.catalog.delivery import MAX_IMAGES, digest_of_files, refuse_escape
from recsys.errors import DeliveryUnreadable

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_PARTS = ("train", "t10k")
_IMAGES_MAGIC, _LABELS_MAGIC = 2051, 2049
_MAX_SIDE = 4096


@dataclass(frozen=True)
class IdxPart:
    """One pair of files, such as ``train``."""

    name: str
    images: Path
    labels: Path


@dataclass(frozen=True)
class IdxDelivery:
    """IDX pairs; a product's id is its part and position, such as ``train-00001`` (from 0)."""

    root: Path
    parts: tuple[IdxPart, ...]
    max_image_bytes: int
    layout: str = "idx"
    is_delta: bool = False

    @property
    def source_digest(self) -> str:
        """SHA-256 over the files as delivered."""
        paths = [path for part in self.parts for path in (part.images, part.labels)]
        return digest_of_files({path.name: path for path in paths})

    def removed(self) -> tuple[str, ...]:
        """None: IDX files are always the whole catalog."""
        return ()

    def styles_csv(self) -> bytes:
        """A product table made of the labels: the class as article type, the rest ``NA``."""
        text = io.StringIO()
        writer = csv.DictWriter(text, DELIVERY_COLUMNS, restval="NA", lineterminator="\n")
        writer.writeheader()
        for part in self.parts:
            for position, label in enumerate(_labels(part)):
                product, kind = _product_id(part, position), CLASSES[label]
                writer.writerow(
                    {ID_COLUMN: product, LABEL_COLUMN: kind, NAME_COLUMN: f"{kind} {product}"}
                )
        return text.getvalue().encode()

    def images(self, only: Container[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """Every picture, or those of some products, as a greyscale PNG."""
        for part in self.parts:
            for position, (size, pixels) in enumerate(_pictures(part, self.max_image_bytes)):
                product = _product_id(part, position)
                if only is None or product in only:
                    yield f"{product}.png", _png(size, pixels)


def find_idx_parts(root: Path) -> tuple[IdxPart, ...]:
    """The pairs in a folder, ``train`` first; an uncompressed file wins over a ``.gz``.

    Raises
    ------
    DeliveryUnreadable
        Images without labels, or labels without images.
    """
    parts = []
    for name in _PARTS:
        images = _either(root, f"{name}-images-idx3-ubyte")
        labels = _either(root, f"{name}-labels-idx1-ubyte")
        if images is not None and labels is not None:
            parts.append(IdxPart(name, images, labels))
        elif images is not None or labels is not None:
            present = images or labels
            raise DeliveryUnreadable(
                f"{present}: the images or labels that belong to it are missing"
            )
    return tuple(parts)


def _either(root: Path, name: str) -> Path | None:
    for path in (root / name, root / f"{name}.gz"):
        if path.is_file():
            refuse_escape(path, root)
            return path
    return None


def _product_id(part: IdxPart, position: int) -> str:
    return f"{part.name}-{position:05d}"


def _labels(part: IdxPart) -> bytes:
    """One byte a product, 0 to 9."""
    with _opened(part.labels) as stream:
        (count,) = _header(stream, part.labels, _LABELS_MAGIC, 1)
        labels = _exactly(stream, count, part.labels)
        _at_end(stream, part.labels)
    if count and max(labels) >= len(CLASSES):
        raise DeliveryUnreadable(
            f"{part.labels}: label {max(labels)}; Fashion-MNIST has 0 to {len(CLASSES) - 1}"
        )
    with _opened(part.images) as stream:
        pictures = _header(stream, part.images, _IMAGES_MAGIC, 3)[0]
    if pictures != count:
        raise DeliveryUnreadable(f"{part.labels}: {count:,} labels for {pictures:,} images")
    return labels


def _pictures(part: IdxPart, max_image_bytes: int) -> Iterator[tuple[tuple[int, int], bytes]]:
    """((columns, rows), one byte a pixel) of each picture."""
    with _opened(part.images) as stream:
        count, rows, columns = _header(stream, part.images, _IMAGES_MAGIC, 3)
        if not (1 <= rows <= _MAX_SIDE and 1 <= columns <= _MAX_SIDE):
            raise DeliveryUnreadable(
                f"{part.images}: pictures of {columns} x {rows}; 1 to {_MAX_SIDE} are accepted"
            )
        if rows * columns > max_image_bytes:
            raise DeliveryUnreadable(
                f"{part.images}: pictures of {rows * columns:,} bytes;"
                f" at most {max_image_bytes:,} are accepted"
            )
        for _ in range(count):
            yield (columns, rows), _exactly(stream, rows * columns, part.images)
        _at_end(stream, part.images)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield cast(BinaryIO, stream)
    except (OSError, EOFError, zlib.error) as error:
        raise DeliveryUnreadable(f"{path}: cannot be read ({error})") from error


def _header(stream: BinaryIO, path: Path, magic: int, sizes: int) -> tuple[int, ...]:
    """The sizes after the magic number; the first is the count."""
    layout = f">{1 + sizes}i"
    found, *counts = struct.unpack(layout, _exactly(stream, struct.calcsize(layout), path))
    if found != magic:
        raise DeliveryUnreadable(f"{path}: magic number {found}, expected {magic}")
    if not 0 <= counts[0] <= MAX_IMAGES:
        raise DeliveryUnreadable(
            f"{path}: says it holds {counts[0]:,}; at most {MAX_IMAGES:,} are accepted"
        )
    return tuple(counts)


def _exactly(stream: BinaryIO, size: int, path: Path) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise DeliveryUnreadable(f"{path}: cut short; its header promises more")
    return data


def _at_end(stream: BinaryIO, path: Path) -> None:
    if stream.read(1):
        raise DeliveryUnreadable(f"{path}: goes on after what its header promises")


def _png(size: tuple[int, int], pixels: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.frombytes("L", size, pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
