"""What every artefact is: a frozen record, checked when built, with one JSON form."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from recsys.artifacts.digests import canonical_json, sha256_bytes
from recsys.errors import ArtifactInvalid

ARTIFACT_FILE = "/artifact.json"


@dataclass(frozen=True)
class Artifact:
    """Base of the artefacts; subclasses set ``kind`` and bump ``schema_version`` on change."""

    kind: ClassVar[str]
    schema_version: ClassVar[int] = 1

    def to_data(self) -> dict[str, Any]:
        """JSON-ready data with kind and schema version."""
        return {
            "kind": self.kind,
            "schema_version": self.schema_version,
            **dataclasses.asdict(self),
        }

    def to_json(self) -> bytes:
        """Canonical JSON; the same artefact gives the same bytes."""
        return canonical_json(self.to_data())

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return sha256_bytes(self.to_json())

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse and check.

        Raises
        ------
        ArtifactInvalid
            Not JSON, another kind, another schema version, or other fields.
        """
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ArtifactInvalid(f"{cls.kind}: not JSON ({error})") from error
        return cls.from_data(fields)

    @classmethod
    def from_data(cls, fields: Any) -> Self:
        """As `from_json`, from parsed data."""
        if not isinstance(fields, dict):
            raise ArtifactInvalid(f"{cls.kind}: expected an object, found {type(fields).__name__}")
        found = (fields.get("kind"), fields.get("schema_version"))
        if found != (cls.kind, cls.schema_version):
            raise ArtifactInvalid(
                f"expected {cls.kind} of schema {cls.schema_version},"
                f" found {found[0]} of schema {found[1]}"
            )
        rest = {
            name: value for name, value in fields.items() if name not in ("kind", "schema_version")
        }
        expected = {field.name for field in dataclasses.fields(cls)}
        if set(rest) != expected:
            odd = sorted(set(rest) ^ expected)
            raise ArtifactInvalid(f"{cls.kind}: fields missing or unknown: {', '.join(odd)}")
        return cls(**cls._revive(rest))

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Turn JSON's lists and objects back into the field types; override where needed."""
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }


def require(condition: bool, message: str) -> None:
    """Raise `ArtifactInvalid` unless the condition holds."""
    if not condition:
        raise ArtifactInvalid(message)


_CHANGES = "changes_through"


def without_zero_changes(data: dict[str, Any]) -> dict[str, Any]:
    """Data of an artefact without ``changes_through`` where it is 0.

    Nights without changes then write the very bytes that they wrote before there were any.
    """
    return {name: value for name, value in data.items() if name != _CHANGES or value}


def with_zero_changes(data: Any) -> Any:
    """The data with a ``changes_through`` of 0 where there is none."""
    return {_CHANGES: 0, **data} if isinstance(data, dict) else data
