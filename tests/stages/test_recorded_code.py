"""A release is made again by its own code where that can be had, and that is said."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsys.provenance import CommitInfo
from recsys.stages.recorded_code import choose_code
from recsys.stages.release_commits import RecordedCommit
from recsys.stages.task import code_digest

ROOMS = ("release",)
TODAY = code_digest(("stages/assemble_release.py", *ROOMS))
SOURCE = "src/recsys/stages/replay_release.py"


def made(code: str, git_commit: str = "", *, dirty: bool = False) -> dict[str, RecordedCommit]:
    now = datetime.now(UTC)
    record = {
        "stage": "assemble_release",
        "code_digest": code,
        "rooms": list(ROOMS),
        "code": {"git_commit": git_commit, "git_dirty": dirty},
    }
    commit = CommitInfo(f"releases@{'0' * 32}", "master", None, (), "", now, now)
    return {"assemble_release": RecordedCommit(commit, record)}


def git(repository: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", "-C", str(repository), *identity, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository whose first commit can replay, and whose second cannot."""
    root = tmp_path / "repository"
    source = root / SOURCE
    source.parent.mkdir(parents=True)
    source.write_text("then\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "then")
    source.unlink()
    git(root, "commit", "-qam", "later")
    return root


def test_the_same_code_runs_in_this_process(repository: Path, tmp_path: Path) -> None:
    code = choose_code(made(TODAY), repository, tmp_path / "code")
    assert (code.tree, code.as_recorded) == (None, True)


def test_other_code_is_taken_from_git(repository: Path, tmp_path: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD~1")
    code = choose_code(made("other", commit), repository, tmp_path / "code")
    assert code.as_recorded
    assert code.tree is not None
    assert (code.tree / SOURCE).read_text() == "then\n"
    assert commit[:12] in code.said
    assert git(repository, "worktree", "list").count("\n") == 0


@pytest.mark.parametrize(
    ("revision", "dirty", "said"),
    [
        ("HEAD~1", True, "was not committed to git"),
        ("HEAD", False, "has no commit"),
        ("", False, "was in no git repository"),
    ],
)
def test_where_the_code_cannot_be_had_todays_runs_and_that_is_said(
    repository: Path, tmp_path: Path, revision: str, dirty: bool, said: str
) -> None:
    commit = git(repository, "rev-parse", revision) if revision else ""
    code = choose_code(made("other", commit, dirty=dirty), repository, tmp_path / "code")
    assert (code.tree, code.as_recorded) == (None, False)
    assert "assemble_release is not the recorded one" in code.said
    assert said in code.said
