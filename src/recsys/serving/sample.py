"""A sample of recent real requests: what a candidate release is asked before shoppers see it.

::

    requests/sample/0042.json   a request body without its puid, so that nobody knows whose it was

Each request that is kept replaces a file drawn at random, so the workers need not know of one
another, and the sample forgets at the same rate whoever writes. Number and size of the files
are bounded, and so is the whole. It lies among the requests because a cluster's pods keep
those, and nothing else, in the claim.
"""

from __future__ import annotations

import base64
import logging
import os
import random
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from recsys import names
from recsys.artifacts.digests import sha256_bytes
from recsys.serving.request_log import REQUESTS

_LOG = logging.getLogger(__name__)
SAMPLE: Final = "sample"
_PAYLOADS: Final = ("jsonData", "binData")
_MODE: Final = 0o600  # shoppers' pictures


class RequestSample:
    """Keeps one in ``every`` accepted requests, at most ``requests`` files and ``total_bytes``.

    A worker writes at most once in ``pause_seconds``, so that under load, where it matters, the
    writing costs a request next to nothing. A body above its share of the bytes is left out.
    Nothing that goes wrong here reaches the request; ``lost`` counts the requests that could
    not be written.
    """

    def __init__(
        self,
        serving_dir: Path,
        every: int,
        requests: int,
        total_bytes: int,
        pause_seconds: float = 1.0,
    ) -> None:
        self.lost = 0
        self._folder = serving_dir / REQUESTS / SAMPLE
        self._share = 1 / every
        self._files = requests
        self._most_bytes = total_bytes // requests if requests else 0
        self._pause_seconds = pause_seconds
        self._next = 0.0

    def offer(self, puid: str, message: Any) -> None:
        """Keep the parsed message of an accepted request, or most often not."""
        if not self._files or random.random() >= self._share:  # noqa: S311 - no secret
            return
        now = time.monotonic()
        if now < self._next or puid.startswith(names.PROBE_PUID):
            return
        self._next = now + self._pause_seconds
        try:
            self._keep(message)
        except (OSError, TypeError, ValueError) as error:
            self.lost += 1
            if self.lost.bit_count() == 1:  # the 1st, 2nd, 4th …: told, without a flood
                _LOG.error("the sample lost %d requests so far: %s", self.lost, error)

    def _keep(self, message: dict[str, Any]) -> None:
        kept = {key: message[key] for key in _PAYLOADS if message.get(key) is not None}
        body = orjson.dumps(kept, default=_as_text)
        if len(body) > self._most_bytes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{os.getpid()}"
        part.touch(_MODE)
        part.write_bytes(body)
        place = random.randrange(self._files)  # noqa: S311
        part.replace(self._folder / f"{place:04d}.json")


def recent_requests(serving_dir: Path) -> list[dict[str, Any]]:
    """The bodies of the sample, newest first; what cannot be read is passed over."""
    found = sorted(_files(serving_dir), key=_age)
    return [body for path in found if (body := _body(path)) is not None]


def forget_old(serving_dir: Path, days: float) -> int:
    """Remove what is older than ``days``; returns how many files went."""
    return sum(_remove(path) for path in _files(serving_dir, "*") if _age(path) > days * 86_400)


def forget_purged(serving_dir: Path, products: Collection[str], pictures: Collection[str]) -> int:
    """Remove the requests that name one of the products or show one of the pictures (SHA-256).

    What cannot be read may be of them, and goes as well. Returns how many files went.
    """
    purged = {*products, *pictures}
    return sum(
        _remove(path)
        for path in _files(serving_dir)
        if (body := _body(path)) is None or not purged.isdisjoint(_said(body))
    )


def _said(value: Any) -> Iterator[str]:
    """Every text in a request, and the SHA-256 of the bytes that it is base64 of."""
    if isinstance(value, str):
        yield value
        with suppress(ValueError):
            yield sha256_bytes(base64.b64decode(value, validate=True))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _said(item)
    elif isinstance(value, list):
        for item in value:
            yield from _said(item)


def _files(serving_dir: Path, pattern: str = "*.json") -> Iterator[Path]:
    """The sample's files; pods of a cluster have a folder each."""
    for folder in (serving_dir / REQUESTS).rglob(SAMPLE):
        yield from (path for path in folder.glob(pattern) if path.is_file())


def _body(path: Path) -> dict[str, Any] | None:
    try:
        body = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def _age(path: Path) -> float:
    """Seconds since the file was written; none of one that is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(path: Path) -> bool:
    path.unlink(missing_ok=True)
    return True


def _as_text(value: Any) -> str:
    """Base64 that Seldon handed on as bytes."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    raise TypeError(f"{type(value).__name__} is not JSON")
