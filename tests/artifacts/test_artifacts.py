"""Artefacts: frozen, checked when built, one JSON form."""

import json
from dataclasses import replace

import pytest

from recsys import names
from recsys.artifacts.base import Artifact
from recsys.artifacts.catalog import CatalogSnapshot, CatalogSplit, ValidatedCatalog
from recsys.artifacts.index import SearchIndex
from recsys.artifacts.model import ApprovedModel
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.verdict import Failure, Verdict
from recsys.errors import ArtifactInvalid

COMMIT = "a" * 32
DIGEST = "b" * 64
WARNING = Failure("expect_x", "gender", "warning", "3", "because")
CRITICAL = replace(WARNING, severity="critical")
PASSED = Verdict("model", DIGEST, "models@" + COMMIT, 3, (WARNING,), "2026-01-01/model.html")
REFUSED = replace(PASSED, failures=(CRITICAL,))


def approved(verdict: Verdict = PASSED) -> ApprovedModel:
    return ApprovedModel(
        names.commit_ref(names.MODELS, COMMIT), DIGEST, 8, 60, 80, "1", (PASSED, verdict)
    )


def searchable(verdict: Verdict = PASSED) -> SearchIndex:
    return SearchIndex(
        names.commit_ref(names.EMBEDDINGS, COMMIT),
        DIGEST,
        DIGEST,
        "Flat",
        1,
        9,
        8,
        1.0,
        9,
        {"1_percent": 0.999},
        verdict,
    )


def validated(verdict: Verdict = PASSED) -> ValidatedCatalog:
    catalog, measured = (names.commit_ref(repo, COMMIT) for repo in (names.CATALOG, names.MEASURED))
    return ValidatedCatalog(catalog, measured, 9, 0, 1, {"added": 9}, (verdict,))


@pytest.mark.parametrize(
    "artifact",
    [
        CatalogSnapshot("drawn", DIGEST),
        validated(),
        approved(),
        searchable(),
        PASSED,
        Receipt("release", names.commit_ref(names.RELEASES, COMMIT), DIGEST, fresh=True),
    ],
    ids=lambda artifact: artifact.kind,
)
def test_an_artefact_survives_its_json_and_keeps_its_digest(artifact: Artifact) -> None:
    again = type(artifact).from_json(artifact.to_json())
    assert again == artifact
    assert again.digest == artifact.digest


@pytest.mark.parametrize("build", [approved, searchable, validated])
def test_nothing_is_built_on_a_gate_that_refused(build) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ArtifactInvalid, match="refused"):
        build(REFUSED)


def test_a_model_approved_before_there_were_more_gates_is_still_read() -> None:
    new = json.loads(approved().to_json())
    label_verdict, verdict = new.pop("verdicts")
    old = {**new, "schema_version": 1, "verdict": verdict, "label_verdict": label_verdict}
    assert ApprovedModel.from_data(old) == approved()


def test_an_index_from_before_filters_were_measured_is_still_read() -> None:
    old = json.loads(searchable().to_json())
    del old["filtered_recall_at_10"]
    assert SearchIndex.from_data({**old, "schema_version": 1}) == replace(
        searchable(), filtered_recall_at_10={}
    )


def test_a_model_that_no_gate_judged_is_not_approved() -> None:
    with pytest.raises(ArtifactInvalid, match="needs its gates"):
        replace(approved(), verdicts=())


def test_a_verdict_that_evaluated_nothing_is_no_verdict() -> None:
    with pytest.raises(ArtifactInvalid, match="ran no expectation"):
        replace(PASSED, evaluated=0, failures=())


def test_only_critical_failures_refuse() -> None:
    assert PASSED.passed
    assert not REFUSED.passed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "release"}, "expected catalog_snapshot"),
        ({"schema_version": 99}, "schema 99"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_another_kind_schema_or_field_is_refused(change: dict[str, object], said: str) -> None:
    data = json.loads(CatalogSnapshot("drawn", DIGEST).to_json()) | change
    with pytest.raises(ArtifactInvalid, match=said):
        CatalogSnapshot.from_data(data)


def test_the_json_form_is_golden() -> None:
    assert CatalogSnapshot("drawn", "0").to_json() == (
        b'{"kind":"catalog_snapshot","layout":"drawn","schema_version":1,"source_digest":"0"}\n'
    )


def test_a_split_with_an_empty_side_is_refused() -> None:
    with pytest.raises(ArtifactInvalid, match="empty"):
        CatalogSplit(names.commit_ref(names.VALIDATED, COMMIT), 8, 1, 0, 0, 0, 0)


def test_a_commit_of_another_repo_is_refused() -> None:
    with pytest.raises(ArtifactInvalid, match="not a model commit"):
        replace(approved(), model=names.commit_ref(names.CATALOG, COMMIT))
