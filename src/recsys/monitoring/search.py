"""Find requests again: one by its puid, or all that a product or a release was part of."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from recsys import names

_SAMPLES: Final = 5


@dataclass(frozen=True)
class LoggedRequest:
    """One answered request.

    ``changes`` is the number of the last change between nights that it was answered with.
    ``asked`` holds product ids, or ``sha256:`` and a picture's digest; ``answers`` the first
    ten product ids of each answer, in the order of ``asked``.
    """

    puid: str
    time: str
    release: str
    changes: int
    asked: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]

    @property
    def products(self) -> frozenset[str]:
        """Every product asked about or recommended."""
        return frozenset(self.asked).union(*self.answers)


@dataclass(frozen=True)
class Reach:
    """How many requests something was part of; ``samples`` are puids of the newest."""

    requests: int
    first: str
    last: str
    samples: tuple[str, ...]


def find_request(requests_dir: Path, puid: str) -> LoggedRequest | None:
    """The newest answered request with this id, or None; deployment probes are found too."""
    found = [request for request in _lines(requests_dir, (puid,)) if request.puid == puid]
    return max(found, key=lambda request: request.time, default=None)


def requests_with(
    requests_dir: Path, releases: Collection[str], product: str | None = None
) -> Reach:
    """The requests that these releases answered, without deployment probes.

    With a ``product``, only those that asked about it or recommended it. The log keeps the
    first ten recommendations of an answer, so a product further down is not counted.
    """
    wanted = tuple(releases) if product is None else (product,)
    found = sorted(
        (
            request
            for request in _lines(requests_dir, wanted)
            if request.release in releases
            and not request.puid.startswith(names.PROBE_PUID)
            and (product is None or product in request.products)
        ),
        key=lambda request: request.time,
    )
    if not found:
        return Reach(0, "", "", ())
    samples = tuple(request.puid for request in found[: -_SAMPLES - 1 : -1])
    return Reach(len(found), found[0].time, found[-1].time, samples)


def _lines(requests_dir: Path, texts: Collection[str]) -> Iterator[LoggedRequest]:
    """The log's answered requests that hold one of the texts; torn lines are passed over."""
    needles = [json.dumps(text, ensure_ascii=False).encode() for text in texts]
    for path in sorted(requests_dir.rglob("*.jsonl")):
        with path.open("rb") as stream:
            for raw in stream:
                if any(needle in raw for needle in needles):
                    request = _parse(raw)
                    if request is not None:
                        yield request


def _parse(raw: bytes) -> LoggedRequest | None:
    try:
        line: dict[str, Any] = json.loads(raw)
        if line["status_code"] != HTTPStatus.OK:
            return None
        datetime.fromisoformat(line["time"])
        return LoggedRequest(
            puid=str(line["puid"]),
            time=str(line["time"]),
            release=str(line["release"]),
            changes=int(line.get("changes", 0)),
            asked=tuple(line["asked"]),
            answers=tuple(tuple(answer) for answer in line["answers"]),
        )
    except (ValueError, TypeError, KeyError):
        return None
