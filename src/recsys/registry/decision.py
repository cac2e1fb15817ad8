"""The last section of a version's description: what was decided about it."""

from __future__ import annotations

from collections.abc import Mapping

from recsys.registry.port import (
    TAG_DECIDED,
    TAG_DECISION,
    TAG_REASONS,
    TAG_REPLACED_BY,
    TAG_REPLACES,
)

_HEADING = "## Decision"


def with_decision(description: str, tags: Mapping[str, str]) -> str:
    """The description (Markdown) with its section on the decision written anew from the tags."""
    text = description.partition(_HEADING)[0].strip()
    if TAG_DECISION not in tags:
        return text
    return "\n\n".join(part for part in (text, _HEADING, *_sentences(tags)) if part)


def _sentences(tags: Mapping[str, str]) -> list[str]:
    said = [f"{tags[TAG_DECISION].capitalize()} at {tags[TAG_DECIDED]}."]
    if reasons := tags.get(TAG_REASONS):
        said.append(reasons)
    if TAG_REPLACES in tags:
        said.append(f"It replaced version {tags[TAG_REPLACES]}.")
    if TAG_REPLACED_BY in tags:
        said.append(f"Version {tags[TAG_REPLACED_BY]} replaced it.")
    return said
