"""Suites as plain JSON files: expectations as data, each with a severity and a reason.

.. code-block:: json

    {
      "name": "model",
      "owner": "recommendations",
      "description": "…",
      "expectations": [
        {
          "type": "expect_column_values_to_be_between",
          "kwargs": {"column": "accuracy", "min_value": 0.5},
          "severity": "critical",
          "reason": "…"
        }
      ]
    }

Each entry of a suite that judges rows one by one also has a ``code``, such as
``blurred_image``: the reason for which a row that fails it is set aside.

A value in ``kwargs`` may be ``{"$setting": "quarantine_budget"}``; the caller gives it.
Great Expectations drops what it cannot read from a suite and calls an empty suite a
success, so everything it could trip over is refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from recsys.artifacts.base import require
from recsys.artifacts.digests import sha256_bytes
from recsys.artifacts.verdict import Severity
from recsys.errors import ArtifactInvalid

_MAX_BYTES = 1_000_000
_SUITE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SUITE_KEYS = {"name", "owner", "description", "expectations"}
_ENTRY_KEYS = {"type", "kwargs", "severity", "reason"}
_CODE_KEY = "code"
_CODE = re.compile(r"[a-z][a-z0-9_]{0,62}")
# They would change how an expectation is run, not what is expected.
_FORBIDDEN_KWARGS = {"batch_id", "catch_exceptions", "meta", "result_format", "severity"}
# No row is mostly right.
_FORBIDDEN_FOR_ROWS = {"mostly"}
_SETTING = "$setting"
# Arguments that name columns of the table.
_COLUMN_KWARGS = ("column", "column_A", "column_B", "column_list")


@dataclass(frozen=True)
class Entry:
    """One expectation of a suite file, its settings put in.

    ``code`` is the reason code of rows that fail; empty in a suite that judges the table.
    """

    type: str
    kwargs: dict[str, Any]
    severity: Severity
    reason: str
    code: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the expectation judges; none for one on the whole table."""
        named = [self.kwargs[key] for key in _COLUMN_KWARGS if key in self.kwargs]
        return tuple(
            column for item in named for column in (item if isinstance(item, list) else [item])
        )

    @property
    def allowed(self) -> str:
        """The bounds in short: the arguments that do not name columns."""
        bounds = {key: value for key, value in self.kwargs.items() if key not in _COLUMN_KWARGS}
        text = ", ".join(f"{key} {json.dumps(value)}" for key, value in bounds.items())
        return text if len(text) <= 200 else f"{text[:200]}…"


@dataclass(frozen=True)
class SuiteFile:
    """A suite as its file says; ``digest`` is the SHA-256 of the file's bytes."""

    name: str
    owner: str
    description: str
    entries: tuple[Entry, ...]
    digest: str


def read_suite(
    folder: Path, name: str, replacements: Mapping[str, float], *, rowwise: bool = False
) -> SuiteFile:
    """Read ``folder/<name>.json`` and put the replacements in.

    ``rowwise`` says that the suite has to judge rows one by one.

    Raises
    ------
    ArtifactInvalid
        The file is missing, too large, not JSON, empty of expectations, has an unknown,
        missing or doubled key, or its ``$setting`` values are not exactly the
        replacements. Says which and where.
    """
    require(_SUITE_NAME.fullmatch(name) is not None, f"{name!r} is no suite name, such as 'model'")
    path = folder / f"{name}.json"
    content = _read(path)
    data = _parse(path.name, content)
    _require_keys(path.name, data, _SUITE_KEYS)
    require(data["name"] == name, f"{path.name}: names itself {data['name']!r}, expected {name!r}")
    for key in ("owner", "description"):
        _require_text(path.name, data, key)
    items = data["expectations"]
    require(
        isinstance(items, list) and len(items) > 0,
        f"{path.name}: holds no expectations; a suite that asks nothing proves nothing",
    )
    used: set[str] = set()
    entries = tuple(
        _entry(f"{path.name}, expectation {number}", item, replacements, used, rowwise)
        for number, item in enumerate(items, 1)
    )
    unused = sorted(set(replacements) - used)
    require(not unused, f"{path.name}: uses no $setting {', '.join(unused)}, which the caller gave")
    return SuiteFile(name, data["owner"], data["description"], entries, sha256_bytes(content))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ArtifactInvalid(f"suite {path}: cannot be read ({error.strerror})") from error
    require(len(content) <= _MAX_BYTES, f"{path.name}: larger than {_MAX_BYTES} bytes")
    return content


def _parse(where: str, content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except ValueError as error:
        raise ArtifactInvalid(f"{where}: not the JSON of a suite ({error})") from error
    require(isinstance(data, dict), f"{where}: expected an object, found {type(data).__name__}")
    return dict(data)


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError(f"a key stands twice among {[key for key, _ in pairs]}")
    return data


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a bound")


def _entry(
    where: str, item: Any, replacements: Mapping[str, float], used: set[str], rowwise: bool
) -> Entry:
    require(isinstance(item, dict), f"{where}: expected an object, found {type(item).__name__}")
    _require_keys(where, item, _ENTRY_KEYS | {_CODE_KEY} if rowwise else _ENTRY_KEYS)
    for key in ("type", "reason"):
        _require_text(where, item, key)
    where = f"{where} ({item['type']})"
    severities = get_args(Severity)
    require(
        item["severity"] in severities,
        f"{where}: severity {item['severity']!r}; allowed: {', '.join(severities)}",
    )
    require(isinstance(item["kwargs"], dict), f"{where}: kwargs is not an object")
    forbidden = _FORBIDDEN_KWARGS | _FORBIDDEN_FOR_ROWS if rowwise else _FORBIDDEN_KWARGS
    odd = sorted(forbidden & set(item["kwargs"]))
    require(not odd, f"{where}: kwargs may not hold {', '.join(odd)}")
    kwargs = _put_in(where, item["kwargs"], replacements, used)
    code = item.get(_CODE_KEY, "")
    require(
        not rowwise or (isinstance(code, str) and _CODE.fullmatch(code) is not None),
        f"{where}: {code!r} is no reason code, such as 'blurred_image'",
    )
    return Entry(item["type"], kwargs, item["severity"], item["reason"], code)


def _put_in(where: str, value: Any, replacements: Mapping[str, float], used: set[str]) -> Any:
    if isinstance(value, list):
        return [_put_in(where, item, replacements, used) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_SETTING}:
        name = value[_SETTING]
        require(
            isinstance(name, str) and name in replacements,
            f"{where}: $setting {name!r} was not given; given: {', '.join(replacements) or 'none'}",
        )
        used.add(name)
        return replacements[name]
    odd = sorted(key for key in value if key.startswith("$"))
    require(not odd, f"{where}: {', '.join(odd)} is not understood; only {_SETTING} is")
    return {key: _put_in(where, item, replacements, used) for key, item in value.items()}


def _require_keys(where: str, data: dict[str, Any], expected: set[str]) -> None:
    odd = sorted(set(data) ^ expected)
    require(not odd, f"{where}: keys missing or unknown: {', '.join(odd)}")


def _require_text(where: str, data: dict[str, Any], key: str) -> None:
    text = data[key]
    require(isinstance(text, str) and bool(text.strip()), f"{where}: {key} is not a text")
