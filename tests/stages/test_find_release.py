"""A release's commit is found by the release's id."""

from pathlib import Path

import pytest

from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.live import write_live
from recsys.artifacts.release import Release
from recsys.errors import ReleaseUnknown
from recsys.settings import load_settings
from recsys.stages.find_release import find_live_release, find_release
from recsys.stages.night import Night
from recsys.stages.task import Task
from serving_release import make_release


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(load_settings(state_dir=tmp_path), "2026-01-01")


def published(night: Night, seed: int) -> tuple[Release, str]:
    release = make_release(night.settings.releases_dir, seed=seed)
    receipt = Task(night, "assemble_release", (), {"seed": seed}, rooms=("release",)).publish(
        release
    )
    return release, receipt.ref


def test_a_release_is_found_by_its_id_among_others(night: Night) -> None:
    made = [published(night, seed) for seed in range(3)]
    for release, ref in made:
        found = find_release(night, release.id)
        assert (found.artifact, found.ref) == (release, ref)


def test_other_commits_are_not_opened_on_the_way(night: Night) -> None:
    release, ref = published(night, 0)
    with night.store.commit(names.RELEASES, message="unreadable") as writer:
        writer.put(ARTIFACT_FILE, b"not a release")
    assert find_release(night, release.id).ref == ref


def test_a_release_is_found_on_another_branch(night: Night) -> None:
    release, ref = published(night, 0)
    with night.store.commit(
        names.RELEASES, message=night.store.inspect(ref).message, branch="repaired"
    ) as writer:
        writer.put(ARTIFACT_FILE, release.to_json())
    assert find_release(night, release.id).ref == writer.ref


def test_the_live_release_is_the_one_that_the_pointer_names(night: Night) -> None:
    with pytest.raises(ReleaseUnknown, match="no release is live yet"):
        find_live_release(night)
    release, ref = published(night, 0)
    published(night, 1)
    write_live(night.settings.releases_dir, release.id)
    assert find_live_release(night).ref == ref


@pytest.mark.parametrize(
    ("text", "said"),
    [("r-0123456789abcdef", "is in no commit of releases"), ("yesterday", "is no release id")],
)
@pytest.mark.parametrize("nights", [0, 1])
def test_a_release_that_is_not_there_is_said_to_be_unknown(
    night: Night, text: str, said: str, nights: int
) -> None:
    for seed in range(nights):
        published(night, seed)
    with pytest.raises(ReleaseUnknown, match=said):
        find_release(night, text)
