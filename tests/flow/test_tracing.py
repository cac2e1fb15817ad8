"""From one prediction to its picture, labels, checks and code, and back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from flow.nights import NIGHT, Platform
from recsys import names
from recsys.errors import BadInput
from recsys.stages.night import Night
from recsys.stages.trace import Trace, trace

UPSTREAM = {
    "releases",
    "indexes",
    "embeddings",
    "champions",
    "models",
    "evaluations",
    "probe_reports",
    "plans",
    "label_reports",
    "splits",
    "validated",
    "measured",
    "catalog",
    "overrides",
}


@pytest.fixture
def night(platform: Platform) -> Night:
    return Night(platform.settings, NIGHT)


@pytest.fixture
def answer(platform: Platform) -> dict[str, Any]:
    """One prediction, as a shopper's page got it."""
    body: dict[str, Any] = platform.post({"jsonData": {"product_id": "10010", "k": 3}}).json()
    return body


def kinds(found: Trace) -> set[str]:
    return {node.kind for node in found.graph.nodes()}


def picture_of(platform: Platform, product: str) -> str:
    """SHA-256 of the delivered file, read from the delivery itself."""
    (path,) = (platform.settings.state_dir / "drawn").rglob(f"{product}.jpg")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_prediction_is_traced_to_every_origin_of_what_it_showed(
    platform: Platform, night: Night, answer: dict[str, Any]
) -> None:
    found = trace(night, answer["meta"]["puid"])
    assert kinds(found) == UPSTREAM | {"prediction", "product"}
    shown = {"10010", *(item["product_id"] for item in answer["jsonData"]["results"])}
    products = {node.id.removeprefix("product:"): node for node in found.graph.nodes("product")}
    assert set(products) == shown
    for product, node in products.items():
        assert node.facts["sha256"] == picture_of(platform, product)
        assert node.facts["labels"]["articleType"]
        assert node.facts["side"] in ("train", "validation", "test")
        assert [origin.kind for origin in found.graph.origins(node.id)] == ["catalog"]
    assert found.reached.releases == (platform.live,)


def test_every_commit_on_the_way_names_its_night_run_code_and_checks(
    platform: Platform, night: Night
) -> None:
    release = platform.dags["redeploy_service"]["assemble_release"]["receipt"]["ref"]
    found = trace(night, release)
    made = [
        node
        for node in found.graph.nodes()
        if node.kind in UPSTREAM - {"overrides"}  # nobody's overrides are no stage's
    ]
    assert len(made) == len(UPSTREAM) - 1
    assert all(set(node.facts["code"]) >= {"git_commit", "git_dirty"} for node in made)
    assert all(node.facts["run"]["orchestrator"] == "airflow" for node in made)
    gates = {gate["suite"] for node in made for gate in node.facts.get("gates", ())}
    assert gates >= {"delivery", "products", "model", "labels", "index"}
    (model,) = found.graph.nodes("models")
    assert model.facts["mlflow_run_id"]


def test_a_picture_is_traced_to_all_that_it_reached(
    platform: Platform, night: Night, answer: dict[str, Any]
) -> None:
    found = trace(night, picture_of(platform, "10010"))
    assert platform.live in found.reached.releases
    assert found.reached.nights
    assert answer["meta"]["tags"]["model_version"] in found.reached.models
    assert found.reached.predictions.requests >= 1
    assert answer["meta"]["puid"] in found.reached.predictions.samples
    assert any(event.release == platform.live for event in found.reached.live)
    # A product's id leads to the same picture.
    assert trace(night, "10010").subject.id == found.subject.id


def test_a_release_a_model_and_a_commit_are_traced_both_ways(
    platform: Platform, night: Night, answer: dict[str, Any]
) -> None:
    live = str(platform.live)
    release = trace(night, live)
    assert {"catalog", "deployments"} <= kinds(release)
    recommended = trace(night, live, "10010")
    assert recommended.subject.kind == "recommendation"
    assert "product" in kinds(recommended)
    model = trace(night, answer["meta"]["tags"]["model_version"])
    assert live in model.reached.releases
    catalog = trace(night, answer["meta"]["tags"]["catalog_commit"])
    assert live in catalog.reached.releases
    assert names.MODELS in kinds(catalog)


@pytest.mark.parametrize(
    ("subject", "product", "said"),
    [
        ("no-such-thing", "", "no request in the log"),
        ("puid:10010", "", "no request in the log"),
        ("0" * 64, "", "no delivery"),
        ("m-000000000000", "", "no model"),
        ("10010", "10010", "--product goes with a release"),
    ],
)
def test_what_is_not_there_is_said(night: Night, subject: str, product: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        trace(night, subject, product)


def test_the_command_prints_a_tree_json_and_drawings(
    platform: Platform, recsys: Any, answer: dict[str, Any], tmp_path: Path
) -> None:
    puid = answer["meta"]["puid"]
    done = recsys("trace", puid)
    assert done.returncode == 0, done.stderr
    assert "prediction" in done.stdout
    assert str(platform.live) in done.stdout
    data = json.loads(recsys("trace", "10010", "--json").stdout)
    assert platform.live in data["reached"]["releases"]
    for name, start in (("lineage.mmd", "flowchart LR"), ("lineage.dot", "digraph")):
        assert recsys("trace", puid, "--drawing", str(tmp_path / name)).returncode == 0
        assert (tmp_path / name).read_text().startswith(start)
    assert recsys("trace", puid, "--drawing", str(tmp_path / "lineage.png")).returncode == 2
