"""One line for every prediction request: the raw material of monitoring."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Final

import orjson

_LOG = logging.getLogger(__name__)
REQUESTS: Final = "requests"
_MAX_QUERIES: Final = 32
_MAX_PRODUCTS: Final = 10
_MAX_ID_CHARACTERS: Final = 80


@dataclass(frozen=True)
class RequestLine:
    """What one request was and how it went.

    ``time`` is UTC in ISO 8601; ``release`` None when none is live, ``changes`` the number of
    the last change that was answered with. Of the queries: ``kind``
    ``id``, ``image``, ``mixed`` or empty when the request could not be read, ``k`` the
    largest, ``filtered`` whether any had conditions. Of each of the first 32 queries:
    ``asked`` its product id, or ``sha256:`` and the digest of its picture's bytes,
    ``results`` how many it got, ``answers`` the first 10 product ids of its answer;
    ``underfilled`` is how many of all answers held fewer than were asked for.
    """

    time: str
    puid: str
    release: str | None
    changes: int
    kind: str
    queries: int
    k: int
    filtered: bool
    asked: tuple[str, ...]
    results: tuple[int, ...]
    underfilled: int
    answers: tuple[tuple[str, ...], ...]
    status_code: int
    milliseconds: float


class RequestLog:
    """Appends to ``requests/<UTC date>-<pid>.jsonl``; one file a day and process.

    Nothing that goes wrong here reaches the request; ``lost`` counts the lines that
    could not be written.
    """

    def __init__(self, serving_dir: Path) -> None:
        self.lost = 0
        self._folder = serving_dir / REQUESTS
        self._day: tuple[str, int] | None = None
        self._handle = -1
        self._torn = False
        self._one_at_a_time = Lock()

    def write(self, line: RequestLine) -> None:
        """Append one line with a single system call, so that lines never mix."""
        with self._one_at_a_time:
            try:
                self._append(line)
            except (OSError, TypeError, ValueError) as error:
                self.lost += 1
                if self.lost.bit_count() == 1:  # the 1st, 2nd, 4th …: told, without a flood
                    _LOG.error("the request log lost %d lines so far: %s", self.lost, error)

    def _append(self, line: RequestLine) -> None:
        data = orjson.dumps(_bounded(line)) + b"\n"
        handle = self._open(line.time[:10])
        if self._torn:  # end the line that a full disk tore, so that this one stands alone
            data = b"\n" + data
        written = os.write(handle, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError(f"only {written} of {len(data)} bytes fitted")

    def close(self) -> None:
        """Close the day's file."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._day = -1, None

    def _open(self, date: str) -> int:
        day = (date, os.getpid())
        if day != self._day:
            self.close()
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{date}-{os.getpid()}.jsonl"
            self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self._day = day
        return self._handle


def utc_now() -> str:
    """The time of a line: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _bounded(line: RequestLine) -> dict[str, object]:
    return {
        **vars(line),
        "asked": [item[:_MAX_ID_CHARACTERS] for item in line.asked[:_MAX_QUERIES]],
        "results": line.results[:_MAX_QUERIES],
        "answers": [
            [product[:_MAX_ID_CHARACTERS] for product in answer[:_MAX_PRODUCTS]]
            for answer in line.answers[:_MAX_QUERIES]
        ],
    }
