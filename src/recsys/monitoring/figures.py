"""What the request log says about a window of time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import numpy as np

from recsys import names

_DAY: Final = timedelta(days=1)


def service_figures(requests_dir: Path, since: datetime, until: datetime) -> dict[str, float]:
    """Figures of the requests in [since, until), without deployment probes.

    Parameters
    ----------
    requests_dir
        Folder of ``<UTC date>-<pid>.jsonl`` files; it need not exist.
    since, until
        Aware times.

    Returns
    -------
    dict
        ``requests``; ``error_share`` (5xx) and ``rejected_share`` (4xx) of them;
        ``empty_share``, the share of answers without a result; ``p50_ms`` and ``p99_ms`` of
        answered requests (interpolated percentiles); ``releases``, how many answered;
        ``torn_lines`` that could not be read. A share or percentile of nothing is 0.
    """
    lines, torn = _read(requests_dir, since, until)
    statuses = np.array([line["status_code"] for line in lines], dtype=np.int64)
    answered = [line for line in lines if line["status_code"] == HTTPStatus.OK]
    counts = [count for line in answered for count in line["results"]]
    took = [line["milliseconds"] for line in answered] or [0.0]
    return {
        "requests": len(lines),
        "error_share": _share(statuses >= HTTPStatus.INTERNAL_SERVER_ERROR),
        "rejected_share": _share((statuses >= HTTPStatus.BAD_REQUEST) & (statuses < 500)),
        "empty_share": _share(np.array(counts) == 0),
        "p50_ms": round(float(np.percentile(took, 50)), 3),
        "p99_ms": round(float(np.percentile(took, 99)), 3),
        "releases": len({line["release"] for line in answered}),
        "torn_lines": torn,
    }


def _read(requests_dir: Path, since: datetime, until: datetime) -> tuple[list[dict[str, Any]], int]:
    kept, torn = [], 0
    for path in _files(requests_dir, since, until):
        for raw in path.read_bytes().splitlines():
            if not raw:
                continue
            line = _parse(raw)
            if line is None:
                torn += 1
            elif since <= line["at"] < until and not line["puid"].startswith(names.PROBE_PUID):
                kept.append(line)
    return kept, torn


def _files(requests_dir: Path, since: datetime, until: datetime) -> Iterator[Path]:
    day = since.astimezone(UTC).date()
    while day <= until.astimezone(UTC).date():
        # Pods of a cluster have a folder each; their processes' numbers are all alike.
        yield from sorted(requests_dir.rglob(f"{day.isoformat()}-*.jsonl"))
        day += _DAY


def _parse(raw: bytes) -> dict[str, Any] | None:
    """A line as written by `recsys.serving.request_log`, or None for a torn one."""
    try:
        line: dict[str, Any] = json.loads(raw)
        return {
            "at": datetime.fromisoformat(line["time"]),
            "puid": str(line["puid"]),
            "release": line["release"],
            "status_code": int(line["status_code"]),
            "kind": str(line.get("kind", "")),
            "results": [int(count) for count in line["results"]],
            "underfilled": int(line.get("underfilled", 0)),  # older lines lack it
            "milliseconds": float(line["milliseconds"]),
        }
    except (ValueError, TypeError, KeyError):
        return None


class LogReader:
    """Reads the lines of a log that grows, each of them once; those of probes are left out."""

    def __init__(self, requests_dir: Path) -> None:
        self._folder = requests_dir
        self._read: dict[Path, int] = {}

    def new_lines(self, since: datetime, until: datetime) -> list[dict[str, Any]]:
        """What was written since the last look about requests in [since, until)."""
        found = []
        for path in _files(self._folder, since, until):
            with path.open("rb") as stream:
                stream.seek(self._read.get(path, 0))
                data = stream.read()
            whole = data[: data.rfind(b"\n") + 1]  # the rest is being written
            self._read[path] = self._read.get(path, 0) + len(whole)
            found += [line for raw in whole.splitlines() if (line := _shoppers(raw, since, until))]
        return found


def _shoppers(raw: bytes, since: datetime, until: datetime) -> dict[str, Any] | None:
    """The line, if it is whole, of this time and no probe's."""
    line = _parse(raw)
    if line is None or line["puid"].startswith(names.PROBE_PUID):
        return None
    return line if since <= line["at"] < until else None


def _share(hits: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    return round(float(hits.mean()), 6) if hits.size else 0.0
