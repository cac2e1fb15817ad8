"""What differs between two releases: products, data, code, settings, figures, gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from recsys import comparison, names
from recsys.artifacts.catalog import (
    ATTRIBUTES,
    ID_COLUMN,
    LABEL_COLUMN,
    NAME_COLUMN,
    LabelReport,
)
from recsys.artifacts.index import SearchIndex
from recsys.artifacts.model import ModelReport, ProbeReport
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import Release, read_manifest
from recsys.comparison import FieldDifference
from recsys.errors import ArtifactInvalid, ReleaseUnknown, StoreError
from recsys.stages import frames
from recsys.stages.find_release import find_release
from recsys.stages.night import Night
from recsys.stages.release_commits import RecordedCommit, commits_of_release

_PICTURE: Final = "sha256_bytes"
_SUITE: Final = "suite_"
_LAST_STAGE: Final = "assemble_release"
# Of the record of how the release's own commit was made.
_CODE_FACTS: Final = ("code", "libraries", "host")
_DIGITS: Final = 12
_VERSIONS: Final = (
    "model_version",
    "index_version",
    "factory",
    "breadth",
    "dimension",
    "image_width",
    "image_height",
)


@dataclass(frozen=True)
class ProductDifference:
    """Ids of the products that differ, sorted.

    ``pictures`` and ``attributes`` are of products in both; of ``pictures`` None says that
    only the product tables were left to compare, which hold none. ``labels`` are (id, old
    label, new label).
    """

    old: int
    new: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    pictures: tuple[str, ...] | None
    attributes: tuple[str, ...]
    labels: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class ReleaseDifference:
    """Two releases beside each other.

    ``fields`` are what differs by topic: versions, data (the commits, by repo), code,
    settings, parameters (by stage), figures and gates. ``incomplete`` says in words what
    could not be compared.
    """

    old: str
    new: str
    products: ProductDifference
    fields: dict[str, list[FieldDifference]]
    incomplete: tuple[str, ...]


@dataclass(frozen=True)
class _Known:
    """What is known of one release; the stages' commits are empty when no store holds it."""

    release: Release
    stages: Mapping[str, RecordedCommit]
    data: Mapping[str, str]


def compare_releases(night: Night, old: str, new: str) -> ReleaseDifference:
    """Compare two releases by their ids.

    One that the store does not hold is taken from its folder, as far as that goes.

    Raises
    ------
    ReleaseUnknown
        Neither the store nor the releases folder holds it.
    """
    both = (_known(night, old), _known(night, new))
    products, incomplete = _products(night, *both)
    topics = {
        "versions": _versions,
        "data": lambda known: dict(known.data),
        "code": _code,
        "settings": _settings,
        "parameters": _parameters,
        "figures": lambda known: _figures(night, known),
        "gates": _gates,
    }
    fields = {
        topic: comparison.compare_fields(*(facts(known) for known in both))
        for topic, facts in topics.items()
    }
    missing = [
        f"{known.release.id} is in its folder only: no records of how it was made"
        for known in both
        if not known.stages
    ]
    return ReleaseDifference(old, new, products, fields, (*missing, *incomplete))


def _known(night: Night, release_id: str) -> _Known:
    try:
        release = find_release(night, release_id)
    except ReleaseUnknown as unknown:
        if not names.is_release_id(release_id):
            raise
        try:
            manifest = read_manifest(night.settings.releases_dir / release_id)
        except ArtifactInvalid:
            raise unknown from None
        return _Known(manifest, {}, manifest.inputs)
    commits = (night.store.inspect(release.ref), *night.store.upstream(release.ref))
    data = {names.parse_ref(commit.ref)[0]: commit.ref for commit in reversed(commits)}
    return _Known(release.artifact, commits_of_release(night, release), data)


def _products(night: Night, old: _Known, new: _Known) -> tuple[ProductDifference, list[str]]:
    before, after = _product_frame(night, old), _product_frame(night, new)
    shared = [name for name in before.columns if name in after.columns]
    found = comparison.compare_tables(before[shared], after[shared], ID_COLUMN)
    changed = {} if found is None else found.changed
    label_of = [
        dict(zip(table[ID_COLUMN], table[LABEL_COLUMN], strict=True)) for table in (before, after)
    ]
    attributes = {key for name in (*ATTRIBUTES, NAME_COLUMN) for key in changed.get(name, ())}
    with_pictures = _PICTURE in shared
    difference = ProductDifference(
        old=len(before),
        new=len(after),
        added=() if found is None else found.added,
        removed=() if found is None else found.removed,
        pictures=changed.get(_PICTURE, ()) if with_pictures else None,
        attributes=tuple(sorted(attributes)),
        labels=tuple(
            (key, label_of[0][key], label_of[1][key]) for key in changed.get(LABEL_COLUMN, ())
        ),
    )
    told = "pictures: only the product tables are left to compare, and they hold none"
    return difference, [] if with_pictures else [told]


def _product_frame(night: Night, known: _Known) -> pd.DataFrame:
    """Ids, names and attributes; with the pictures' digests if the validated catalog is there."""
    columns = [ID_COLUMN, *ATTRIBUTES, NAME_COLUMN]
    folder = night.settings.releases_dir / known.release.id
    validated = known.release.inputs.get(names.VALIDATED)
    try:
        if validated is not None:
            whole = frames.read_frame(night, validated, frames.PRODUCTS)
            return whole[[*columns, _PICTURE]]
    except StoreError:
        if not folder.is_dir():
            raise
    table = ProductTable.load(folder)
    shown = [table.describe(row) for row in range(len(table))]
    rows = [
        {ID_COLUMN: item["product_id"], NAME_COLUMN: item["name"], **item["attributes"]}
        for item in shown
    ]
    return pd.DataFrame(rows, columns=columns)


def _versions(known: _Known) -> dict[str, Any]:
    return {name: getattr(known.release, name) for name in _VERSIONS}


def _code(known: _Known) -> dict[str, Any]:
    """How the release's own commit was made, and the digest of each stage's code."""
    last = known.stages.get(_LAST_STAGE)
    facts = {} if last is None else {name: last.record.get(name, {}) for name in _CODE_FACTS}
    digests = {
        stage: str(made.record["code_digest"])[:_DIGITS]
        for stage, made in known.stages.items()
        if "code_digest" in made.record
    }
    return {**facts, "stages": digests}


def _settings(known: _Known) -> dict[str, Any]:
    last = known.stages.get(_LAST_STAGE)
    return {} if last is None else dict(last.record.get("settings", {}))


def _parameters(known: _Known) -> dict[str, Any]:
    """What each stage's result depended on beside its inputs; suites are told as gates."""
    return {
        stage: {
            name: value
            for name, value in made.record.get("parameters", {}).items()
            if not name.startswith(_SUITE)
        }
        for stage, made in known.stages.items()
    }


def _figures(night: Night, known: _Known) -> dict[str, Any]:
    """What was measured of model, labels and index."""
    figures: dict[str, Any] = {}
    if made := known.stages.get("evaluate_model"):
        figures["model"] = night.open(made.ref, ModelReport).artifact.figures
    if made := known.stages.get("probe_model"):
        figures["probes"] = night.open(made.ref, ProbeReport).artifact.figures
    if made := known.stages.get("check_labels"):
        report = night.open(made.ref, LabelReport).artifact
        noise = report.overall_noise_share
        figures["labels"] = {"issues": report.issues, "overall_noise_share": noise}
    if made := known.stages.get("build_index"):
        built = night.open(made.ref, SearchIndex).artifact
        figures["index"] = {
            "recall_at_10": built.recall_at_10,
            **{f"recall_at_10_of_{name}": at for name, at in built.filtered_recall_at_10.items()},
        }
    return figures


def _gates(known: _Known) -> dict[str, Any]:
    return {
        verdict.suite: {
            "suite_digest": verdict.suite_digest[:_DIGITS],
            "expectations": verdict.evaluated,
            "passed": verdict.passed,
            "told": "; ".join(
                f"{failure.expectation} on {failure.column}: {failure.observed}"
                for failure in verdict.failures
            ),
        }
        for verdict in known.release.verdicts
    }
