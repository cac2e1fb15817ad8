"""A person takes a release back, and the nights respect it until it is beaten or lifted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flow.nights import JUDGING, Platform, only_telling, run_night
from recsys import names
from recsys.errors import BadInput, GateRefused, ReleaseUnknown
from recsys.release import history, standing_rollback
from recsys.stages.night import Night
from recsys.stages.roll_back import lift_rollback, roll_back

WHY = "hats are shown for shoes"


@pytest.fixture
def first(platform: Platform) -> Iterator[str]:
    """The release that is live before; afterwards no rollback stands."""
    yield str(platform.live)
    if standing_rollback(history(platform.settings.releases_dir)):
        lift_rollback(night_of(platform), "test", "over")
    run_night(platform.settings)


def night_of(platform: Platform) -> Night:
    return Night(platform.settings, "2026-01-03")


def deploy_another(platform: Platform, factory: str = "HNSW24") -> str:
    run_night(platform.with_settings(index_factory=factory))
    return str(platform.live)


def test_the_release_before_is_live_again_in_seconds_and_the_event_says_who_and_why(
    platform: Platform, first: str, recsys: Any
) -> None:
    second = deploy_another(platform)
    assert second != first
    started = time.monotonic()
    done = recsys("rollback", "--why", WHY)
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert first in done.stdout
    assert platform.live == first
    assert platform.answer("10010")["release"] == first
    assert seconds < 60  # the command with its start; the change itself takes about one
    event = history(platform.settings.releases_dir)[-1]
    assert (event.event, event.release, event.previous, event.why) == (
        "rolled_back",
        first,
        second,
        WHY,
    )
    assert event.who
    commit = night_of(platform).store.head(names.DEPLOYMENTS, "rollbacks")
    assert commit is not None
    assert json.loads(commit.message)["event"]["why"] == WHY


def test_the_next_night_does_not_undo_it(platform: Platform, first: str) -> None:
    deploy_another(platform)
    roll_back(night_of(platform), "", "ada", WHY)
    with pytest.raises(GateRefused, match="rolled_back_from") as refusal:
        deploy_another(platform)
    assert refusal.value.verdict["suite"] == "rollback"
    assert platform.live == first
    with pytest.raises(GateRefused, match="precision_at_10_gain"):
        deploy_another(platform, "SQfp16")  # the same model: not better
    assert platform.live == first
    assert platform.answer("10010")["release"] == first
    run_night(platform.settings)  # a night that makes the very release that is live may pass
    assert standing_rollback(history(platform.settings.releases_dir)) is not None


def test_a_lifted_rollback_lets_the_next_night_deploy(
    platform: Platform, first: str, recsys: Any
) -> None:
    second = deploy_another(platform)
    roll_back(night_of(platform), first, "ada", WHY)
    done = recsys("rollback", "--lift", "--why", "the supplier mended the photos")
    assert done.returncode == 0, done.stderr
    assert deploy_another(platform) == second
    assert recsys("rollback", "--lift", "--why", "again").returncode == 2


def test_a_night_whose_model_is_better_ends_the_rollback(
    platform: Platform, first: str, tmp_path: Path
) -> None:
    suites = only_telling(tmp_path, *JUDGING)
    run_night(platform.with_settings(expectations_dir=suites, epochs=1, learning_rate=0))
    weak = str(platform.live)
    run_night(platform.settings)
    assert platform.live != weak
    roll_back(night_of(platform), weak, "ada", "an experiment")
    assert platform.live == weak
    better = deploy_another(platform)
    assert better != weak
    assert standing_rollback(history(platform.settings.releases_dir)) is None


def test_the_registrys_champion_is_what_serves(platform: Platform, first: str) -> None:
    deploy_another(platform)
    night = night_of(platform)
    roll_back(night, "", "ada", WHY)
    champion = night.registry.champion()
    assert champion is not None
    assert champion.tags["model_digest"].startswith(
        platform.answer_tags()["model_version"].removeprefix("m-")
    )


def test_a_rollback_needs_a_reason_and_a_release(platform: Platform, first: str) -> None:
    night = night_of(platform)
    with pytest.raises(BadInput, match="--why"):
        roll_back(night, "", "ada", " ")
    with pytest.raises(BadInput, match="live already"):
        roll_back(night, first, "ada", WHY)
    with pytest.raises(ReleaseUnknown, match="recsys releases"):
        roll_back(night, "r-" + "0" * 16, "ada", WHY)
    assert platform.live == first
