"""What a delivery gives, and the rules that every layout's files must keep."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from recsys.artifacts.digests import canonical_json, sha256_file
from recsys.errors import DeliveryUnreadable

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp")
MAX_IMAGES: Final = 10_000_000
MAX_STYLES_BYTES: Final = 512_000_000
# A row costs about a kilobyte of memory while it is checked, so two million cost two gigabytes.
MAX_STYLES_LINES: Final = 2_000_000
MAX_LINE_BYTES: Final = 1_000_000
_MAX_NAME_LENGTH = 200
# What the data store's paths must not hold (Pachyderm's rules), and path separators.
_FORBIDDEN = frozenset("*?[]{}!()@+^/\\")
_SHOWN_CHARACTERS = 20
_OVERLONG_LINE = re.compile(rb"[^\r\n]{%d}" % (MAX_LINE_BYTES + 1))


class Delivery(Protocol):
    """One delivery, opened but not yet read; every method may raise `DeliveryUnreadable`."""

    @property
    def layout(self) -> str:
        """``kaggle`` or ``idx``."""

    @property
    def source_digest(self) -> str:
        """SHA-256 (hex) over the names and bytes of all delivered files."""

    @property
    def is_delta(self) -> bool:
        """Whether only what changed is delivered; what is not mentioned stays as it was."""

    def removed(self) -> tuple[str, ...]:
        """The ids that a delta takes out, each once, as listed; empty for a full delivery."""

    def styles_csv(self) -> bytes:
        """The product table as delivered, bounded; whether it is any good is for a gate to say."""

    def images(self, only: Container[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """(``<id>.<suffix>``, bytes) of every picture, each name once, safe in a store path.

        With ``only``, those of these products.
        """


def is_image_name(name: str) -> bool:
    """Whether a file name is a picture's; hidden files (``._1.jpg`` of macOS) are not."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def is_of(name: str, only: Container[str] | None) -> bool:
    """Whether a picture's file is of one of these products; of None, all are."""
    return only is None or PurePosixPath(name).stem in only


def check_image_name(name: str, place: Path) -> None:
    """Refuse a picture's name that the data store could not hold.

    Raises
    ------
    DeliveryUnreadable
        Not printable ASCII, a special character, or too long.
    """
    check_name(name, place, "image name")


def check_name(name: str, place: Path, what: str) -> None:
    """As `check_image_name`, for any name; ``what`` it is stands in the message."""
    bad = sorted({char for char in name if char in _FORBIDDEN or not " " <= char <= "~"})
    if bad:
        raise DeliveryUnreadable(
            f"{place}: the {what} {name[:80]!r} holds {''.join(bad[:_SHOWN_CHARACTERS])!r};"
            f" {what}s are printable ASCII without *?[]{{}}!()@+^/\\. Rename it"
        )
    if len(name) > _MAX_NAME_LENGTH:
        raise DeliveryUnreadable(
            f"{place}: the {what} {name[:40]!r}… has {len(name)} characters;"
            f" at most {_MAX_NAME_LENGTH} are accepted"
        )


def check_styles(data: bytes, place: Path | str) -> bytes:
    """The product table, unless checking its rows would take more memory than we have.

    Raises
    ------
    DeliveryUnreadable
        Too many bytes or lines, or a line too long.
    """
    if len(data) > MAX_STYLES_BYTES:
        raise DeliveryUnreadable(
            f"{place}: {len(data):,} bytes; at most {MAX_STYLES_BYTES:,} are accepted"
        )
    lines = data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
    if lines > MAX_STYLES_LINES:
        raise DeliveryUnreadable(
            f"{place}: {lines:,} lines; at most {MAX_STYLES_LINES:,} are accepted."
            " Split it into catalogs of their own"
        )
    if (overlong := _OVERLONG_LINE.search(data)) is not None:
        raise DeliveryUnreadable(
            f"{place}: the line at byte {overlong.start():,} has more than {MAX_LINE_BYTES:,}"
            " bytes, the most accepted"
        )
    return data


def is_safe_name(text: str) -> bool:
    """Whether a text could be a product's id and so a picture's file name."""
    plain = text.isascii() and text.isprintable() and text == text.strip()
    return plain and 0 < len(text) <= _MAX_NAME_LENGTH and _FORBIDDEN.isdisjoint(text)


def check_image_size(size_bytes: int, max_image_bytes: int, name: str, place: Path) -> None:
    """Refuse a picture's file that is larger than accepted."""
    if size_bytes > max_image_bytes:
        raise DeliveryUnreadable(
            f"{place}: {name} has {size_bytes:,} bytes; at most {max_image_bytes:,} are accepted"
            " (RECSYS_MAX_IMAGE_BYTES)"
        )


def check_image_count(count: int, place: Path) -> None:
    """Refuse a delivery of more pictures than the platform is made for."""
    if count > MAX_IMAGES:
        raise DeliveryUnreadable(f"{place}: more than {MAX_IMAGES:,} images")


def refuse_escape(path: Path, root: Path) -> None:
    """Refuse a link that leads outside the delivery's (resolved) root, or nowhere."""
    try:
        inside = path.resolve().is_relative_to(root)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise DeliveryUnreadable(f"{path}: a link that leads nowhere ({error})") from error
    if not inside:
        raise DeliveryUnreadable(f"{path}: a link that leads outside the delivery")


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """A whole file; a file that grew past ``max_bytes`` (or cannot be read) is refused."""
    try:
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise DeliveryUnreadable(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > max_bytes:
        raise DeliveryUnreadable(f"{path}: larger than {max_bytes:,} bytes, the most accepted")
    return data


def digest_of_files(files: Mapping[str, Path]) -> str:
    """SHA-256 over names and contents; the order does not matter.

    Names and hashes go through canonical JSON, so no two deliveries run together.
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        try:
            digest.update(canonical_json([name, sha256_file(files[name])]))
        except OSError as error:
            raise DeliveryUnreadable(f"{files[name]}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()
