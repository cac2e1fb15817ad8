"""The code that made a release: whether it is today's, and if not, a copy of it from git."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recsys.stages.release_commits import RecordedCommit
from recsys.stages.task import code_digest

# A tree without it cannot replay anything by itself.
_REPLAY_SOURCE = "src/recsys/stages/replay_release.py"
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True)
class Code:
    """Which code replays: that of ``tree``, or this process's where it is None.

    ``as_recorded`` says whether it is the code that made the release, ``said`` why or why
    not, in words.
    """

    tree: Path | None
    as_recorded: bool
    said: str


def changed_stages(recorded: Mapping[str, RecordedCommit]) -> list[str]:
    """The stages whose code today is other than recorded (or whose record does not say)."""
    return [
        stage for stage, made in recorded.items() if made.record.get("code_digest") != today(made)
    ]


def today(made: RecordedCommit) -> str | None:
    """The digest of today's code of the stage that made a commit; None if it cannot be told."""
    rooms = made.record.get("rooms")
    if rooms is None:
        return None
    return code_digest((f"stages/{made.record['stage']}.py", *rooms))


def choose_code(recorded: Mapping[str, RecordedCommit], repository: Path, folder: Path) -> Code:
    """Today's code if it is the recorded one, else the recorded one out of git, else today's.

    Parameters
    ----------
    recorded
        The commits to replay, by stage; the last one's git commit is taken for all.
    repository
        The project's root, where git may know the recorded commit.
    folder
        Where the recorded code is unpacked.
    """
    changed = changed_stages(recorded)
    if not changed:
        return Code(None, True, "the code of every stage is the recorded one")
    facts = list(recorded.values())[-1].record.get("code", {})
    commit = str(facts.get("git_commit", ""))
    others = f"the code of {', '.join(changed)} is not the recorded one"
    if not _COMMIT.fullmatch(commit) or facts.get("git_dirty", True):
        why = "was not committed to git" if commit else "was in no git repository"
        return Code(None, False, f"{others}, which {why}: today's was run instead")
    if not _unpack(repository, commit, folder):
        return Code(
            None,
            False,
            f"{others}, and git here has no commit {commit[:12]}… that can replay:"
            " today's was run instead",
        )
    return Code(folder, True, f"{others}; that of git commit {commit[:12]}… was run")


def _unpack(repository: Path, commit: str, folder: Path) -> bool:
    """Whether git has the commit, with a replay in it; then its files are in ``folder``."""
    git = shutil.which("git")
    if git is None:
        return False
    held = [git, "-C", str(repository), "cat-file", "-e", f"{commit}:{_REPLAY_SOURCE}"]
    if subprocess.run(held, capture_output=True, check=False).returncode != 0:
        return False
    archive = [git, "-C", str(repository), "archive", "--format=tar", commit]
    done = subprocess.run(archive, capture_output=True, check=True)
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    return True
