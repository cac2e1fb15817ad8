"""A candidate answers beside the live release: what is let through, what is refused, and why."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from recsys import index as index_room
from recsys import names, release
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.live import read_live
from recsys.artifacts.model import ApprovedModel
from recsys.artifacts.products import ProductTable
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import INDEX_FILE, RELEASE_FILES, VECTORS_FILE, Release
from recsys.artifacts.trial import ShadowedRelease
from recsys.errors import DeployFailed, FileMissing, GateRefused, SettingsInvalid
from recsys.release import history
from recsys.services import apart
from recsys.settings import Settings, load_settings
from recsys.stages import assemble_release, build_index, deploy_release, shadow_release
from recsys.stages.night import Night
from recsys.stages.task import Task
from serving_release import Service, damage, service
from stages.embedded_nights import embed, picture, reach_champion

DATA = Path(__file__).parent / "data"
SHOWN = {str(10_000 + number): picture(number) for number in range(40)}


@dataclass(frozen=True)
class Shop:
    """A shop whose first release answers."""

    settings: Settings
    service: Service

    def night(self, date: str, model: str = "good", shown: dict[str, bytes] = SHOWN) -> Night:
        """A night up to its release."""
        content = (DATA / f"{model}.tflite").read_bytes()
        night = reach_champion(self.settings, date, shown, content)
        embed(night)
        night.receipts["build_index"] = build_index.run(night)
        night.receipts["assemble_release"] = assemble_release.run(night)
        return night

    def answer(self) -> str:
        """The release that answers a shopper now."""
        found: str = self.service.ask(product_id="10001").json()["jsonData"]["release"]
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    state = tmp_path_factory.mktemp("shop") / "state"
    with service(state, serving_workers=1, sample_every=1) as running:
        settings = load_settings(
            state_dir=state, seldon_port=running.port, recall_queries=20, shadow_questions=12
        )
        found = Shop(settings, running)
        night = found.night("2026-01-01")
        night.receipts["shadow_release"] = shadow_release.run(night)
        deploy_release.run(night)
        yield found


@pytest.fixture
def unmoved(shop: Shop) -> Iterator[Shop]:
    """The same release is live afterwards, it answers, and no shadow is left."""
    live = read_live(shop.settings.releases_dir)
    yield shop
    assert read_live(shop.settings.releases_dir) == live == shop.answer()
    assert not shadows()
    assert not list(shop.settings.scratch_dir.glob("shadow/*"))


def shadows() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get("RECSYS_LOCAL_SERVICE") == "shadow"
    ]


def figures(night: Night, receipt: Receipt) -> dict[str, float]:
    return night.open(receipt.ref, ShadowedRelease).artifact.figures


def refused(night: Night) -> str:
    """Why the gate refused tonight's release; the history says so too."""
    with pytest.raises(GateRefused) as refusal:
        shadow_release.run(night)
    assert refusal.value.verdict["suite"] == names.SUITE_SHADOW
    event = history(night.settings.releases_dir)[-1]
    bundle = night.result_of("assemble_release", Release).artifact
    assert (event.event, event.release, event.why) == ("refused", bundle.id, str(refusal.value))
    return str(refusal.value)


def halved(night: Night) -> None:
    """Tonight's release with every other product left out by mistake."""
    settings = night.settings
    bundle = night.result_of("assemble_release", Release)
    home = settings.releases_dir / bundle.artifact.id
    mask = np.arange(bundle.artifact.products) % 2 == 0
    part = settings.scratch_dir / "halved"
    part.mkdir(parents=True, exist_ok=True)
    vectors = np.load(home / VECTORS_FILE)[mask]
    np.save(part / VECTORS_FILE, vectors)
    index_room.save(index_room.build(vectors, "Flat", 1, 0), part / INDEX_FILE)
    rows = {"rows": len(vectors)}
    search = night.result_of("build_index", SearchIndex).artifact
    embeddings = night.open(search.embeddings, EmbeddingSet).artifact
    made = release.assemble(
        settings.releases_dir,
        model=night.open(embeddings.champion, ApprovedModel).artifact,
        embeddings=EmbeddingSet(
            **{
                **vars(embeddings),
                **rows,
                "taken_over": 0,
                "vectors_digest": sha256_file(part / VECTORS_FILE),
            }
        ),
        index=SearchIndex(
            **{**vars(search), **rows, "index_digest": sha256_file(part / INDEX_FILE)}
        ),
        products=ProductTable.load(home).kept(mask),
        embedder=home / "embedder.tflite",
        index_file=part / INDEX_FILE,
        vectors=part / VECTORS_FILE,
        inputs=bundle.artifact.inputs,
        verdicts=bundle.artifact.verdicts,
    )
    inputs = night.store.inspect(bundle.ref).inputs
    folder = settings.releases_dir / made.id
    night.receipts["assemble_release"] = Task(
        night, "assemble_release", inputs, {"halved": True}, rooms=("release",)
    ).publish(made, [(f"/{name}", folder / name) for name in RELEASE_FILES])


def test_a_good_release_passes_on_recent_requests_and_is_deployed_by_that_alone(
    shop: Shop,
) -> None:
    for product in ("10001", "10002", "10003"):
        shop.service.ask(product_id=product)
        shop.service.ask(image=base64.b64encode(SHOWN[product]).decode())
    night = shop.night("2026-01-02", shown={**SHOWN, "10003": picture(99)})
    receipt = shadow_release.run(night)
    found = figures(night, receipt)
    assert found["recent"] >= 1
    assert found["same_model_overlap_at_10"] > 0.9
    assert found["own_picture_share"] == 1
    assert not shadow_release.run(night).fresh
    night.receipts["shadow_release"] = receipt
    deploy_release.run(night)
    assert shop.answer() == night.result_of("assemble_release", Release).artifact.id
    (verdict,) = list((shop.settings.data_docs_dir / "2026-01-02").glob("shadow-*.html"))
    assert "held" in verdict.read_text()
    assert "shadow" in (verdict.parent / "index.html").read_text()


def test_nothing_is_deployed_that_was_not_tried(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="run the stage shadow_release first"):
        deploy_release.run(Night(load_settings(state_dir=tmp_path), "2026-01-01"))


def test_a_slow_encoder_is_refused(unmoved: Shop) -> None:
    why = refused(unmoved.night("2026-01-03", model="slow"))
    assert "image_p50_slowdown" in why
    assert "id_p50_slowdown" not in why


def test_shifted_scores_are_refused(unmoved: Shop) -> None:
    assert "contrast_ratio" in refused(unmoved.night("2026-01-03", model="shifted"))


def test_a_release_without_half_the_catalog_is_refused(unmoved: Shop) -> None:
    night = unmoved.night("2026-01-03", shown={**SHOWN, "10005": picture(98)})
    halved(night)
    assert "lost_share" in refused(night)


def test_a_release_that_cannot_be_opened_is_refused_before_anything_is_asked(
    unmoved: Shop,
) -> None:
    night = unmoved.night("2026-01-03", shown={**SHOWN, "10006": picture(97)})
    bundle = night.result_of("assemble_release", Release).artifact
    damage(unmoved.settings.releases_dir / bundle.id)
    with pytest.raises(DeployFailed, match=r"cannot be served: .*vectors\.npy"):
        shadow_release.run(night)
    assert history(unmoved.settings.releases_dir)[-1].release == bundle.id


def test_without_a_serving_environment_the_message_says_what_to_do(
    unmoved: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_PYTHON", Path("/nowhere/python"))
    night = unmoved.night("2026-01-03", shown={**SHOWN, "10007": picture(96)})
    with pytest.raises(SettingsInvalid, match="RECSYS_SHADOW=false"):
        shadow_release.run(night)


def test_untried_releases_go_live_only_where_the_settings_say_so(unmoved: Shop) -> None:
    settings = load_settings(**{**unmoved.settings.model_dump(), "shadow": False})
    untried = Shop(settings, unmoved.service)
    night = untried.night("2026-01-03", shown={**SHOWN, "10008": picture(95)})
    receipt = shadow_release.run(night)
    assert night.open(receipt.ref, ShadowedRelease).artifact.verdict is None
    record = json.loads(night.store.inspect(receipt.ref).message)
    assert record["settings"]["shadow"] is False
