"""A release on trial: asked beside the live one before it goes live, watched afterwards."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from recsys import names
from recsys.artifacts.live import read_live
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import Release
from recsys.artifacts.trial import ShadowedRelease, WatchedRelease
from recsys.errors import (
    BadInput,
    DeployFailed,
    FileMissing,
    GateRefused,
    ReleaseTakenBack,
    SettingsInvalid,
)
from recsys.release import Event, history
from recsys.services import apart
from recsys.settings import load_settings
from recsys.stages import (
    deploy_release,
    shadow_release,
    watch_release,
)
from recsys.stages.night import Night
from recsys.stages.roll_back import roll_back
from serving_release import damage, service
from stages.embedded_nights import picture
from stages.trial_shop import SHOWN, Shop, halved


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
        found.deployed.append(deploy_release.run(night))
        yield found


@pytest.fixture
def unmoved(shop: Shop) -> Iterator[Shop]:
    """The same release is live afterwards, it answers, and no shadow is left."""
    live = read_live(shop.settings.releases_dir)
    yield shop
    assert read_live(shop.settings.releases_dir) == live == shop.answer()
    assert not shadows(shop)
    assert not list(shop.settings.scratch_dir.glob("shadow/*"))


def shadows(shop: Shop) -> list[int]:
    """The processes of shadows of this shop."""
    scratch = str(shop.settings.scratch_dir)
    return [
        process.pid
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get("RECSYS_STATE_DIR", "").startswith(scratch)
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
    shop.deployed.append(deploy_release.run(night))
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
    monkeypatch.setattr(apart, "SERVING_PYTHON", Path("/nowhere/python"))
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


@pytest.fixture
def promoted(shop: Shop) -> Event:
    """The deployment of the second release, which is watched."""
    event = [item for item in history(shop.settings.releases_dir) if item.event == "deployed"][-1]
    assert event.previous
    return event


def watching(shop: Shop, **settings: Any) -> Night:
    """A night that watches the live release; what serves is what the registry crowned."""
    quick = {"watch_every_seconds": 0.1, **settings}
    night = Night(load_settings(**{**shop.settings.model_dump(), **quick}), "2026-01-04")
    night.__dict__["registry"] = SimpleNamespace(champion=lambda: SimpleNamespace(version="1"))
    return night


def log(shop: Shop, release: str | None, at: datetime, count: int, **fields: Any) -> None:
    """So many requests that a release answered at that time."""
    line = {
        "time": at.isoformat(timespec="milliseconds"),
        "puid": "shopper",
        "release": release,
        "status_code": 200,
        "kind": "id",
        "results": [10],
        "underfilled": 0,
        "milliseconds": 2.0,
        **fields,
    }
    path = shop.service.serving_dir / "requests" / f"{line['time'][:10]}-4711.jsonl"
    with path.open("a") as stream:
        stream.write(f"{json.dumps(line)}\n" * count)


def outcome(night: Night) -> str:
    return night.open(watch_release.run(night).ref, WatchedRelease).artifact.outcome


def test_a_watch_with_too_few_requests_says_so(shop: Shop, promoted: Event) -> None:
    assert outcome(watching(shop, watch_seconds=0.5)) == "too few requests"


def test_a_release_that_does_as_well_is_kept(shop: Shop, promoted: Event) -> None:
    since = datetime.fromisoformat(promoted.when)
    log(shop, promoted.previous, since - timedelta(hours=1), 400)
    log(shop, promoted.previous, since - timedelta(hours=1), 4, status_code=404, results=[])
    log(shop, promoted.release, since, 200)
    log(shop, promoted.release, since, 3, status_code=404, results=[])
    night = watching(shop, watch_seconds=1)
    assert outcome(night) == "kept"
    assert not watch_release.run(night).fresh


def test_a_release_that_lacks_products_is_taken_back_at_once_and_the_figures_say_why(
    shop: Shop, promoted: Event
) -> None:
    since = datetime.fromisoformat(promoted.when) + timedelta(seconds=2)
    log(shop, promoted.release, since, 150)
    log(shop, promoted.release, since, 150, status_code=404, results=[])
    with pytest.raises(ReleaseTakenBack, match=r"unknown products: 153 of .* before 4 of 4"):
        watch_release.run(watching(shop, watch_seconds=3_600))
    assert read_live(shop.settings.releases_dir) == promoted.previous == shop.answer()
    event = history(shop.settings.releases_dir)[-1]
    assert (event.event, event.release, event.who) == (
        "rolled_back",
        promoted.previous,
        "the watch",
    )
    night = watching(shop)
    commit = night.store.head(names.DEPLOYMENTS, "rollbacks")
    assert commit is not None
    assert json.loads(commit.message)["event"]["why"] == event.why


def test_a_watch_ends_when_another_release_is_live(shop: Shop, promoted: Event) -> None:
    night = watching(shop)
    night.receipts["deploy_release"] = shop.deployed[-1]
    assert outcome(night) == "superseded"
    with pytest.raises(BadInput, match=f"{promoted.previous} is live now"):
        roll_back(night, "", "the watch", "late", instead_of=promoted.release)


def test_what_a_rollback_made_live_is_not_watched(shop: Shop, promoted: Event) -> None:
    assert outcome(watching(shop)) == "nothing before"
