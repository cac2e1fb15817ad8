"""Which commit holds a release: found by its id, on any branch, without opening the others."""

from __future__ import annotations

from recsys import names
from recsys.artifacts.live import read_live
from recsys.artifacts.release import Release
from recsys.errors import ReleaseUnknown
from recsys.stages.night import Night, Opened
from recsys.stages.record import commit_record


def find_release(night: Night, release_id: str) -> Opened[Release]:
    """The release with this id; see `release_ref`.

    Raises
    ------
    ReleaseUnknown
        The text is no release id, or no commit holds that release.
    """
    return night.open(release_ref(night, release_id), Release)


def release_ref(night: Night, release_id: str) -> str:
    """The newest commit of the release with this id, ``r-`` and 16 hex digits.

    Only the records in the commits' messages are read, so it is found when its content was
    collected, too.

    Raises
    ------
    ReleaseUnknown
        The text is no release id, or no commit holds that release.
    """
    if not names.is_release_id(release_id):
        raise ReleaseUnknown(
            f"{release_id[:80]!r} is no release id: r- and 16 hex digits;"
            " `recsys releases` lists those here"
        )
    for commit in night.commits(names.RELEASES):
        digest = str(commit_record(commit.message).get("artifact_digest", ""))
        if names.release_id(digest) == release_id:
            return commit.ref
    raise ReleaseUnknown(
        f"release {release_id} is in no commit of {names.RELEASES};"
        " `recsys releases` lists those here"
    )


def find_live_release(night: Night) -> Opened[Release]:
    """The commit of the release that the live pointer names.

    Raises
    ------
    ReleaseUnknown
        No release is live, or no commit holds it.
    """
    live = read_live(night.settings.releases_dir)
    if live is None:
        raise ReleaseUnknown("no release is live yet: run a night first (`recsys nightly`)")
    return find_release(night, live)
