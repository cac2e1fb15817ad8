"""One piece of work with its memory: the same inputs give the same commit.

A task is known by its stage, input commits, parameters and the digest of the code that
does the work. When a commit with that key exists, the work is not done again, so a night
that was cut short resumes where it stopped and an unchanged catalog costs seconds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import recsys
from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE, Artifact
from recsys.artifacts.digests import canonical_json, sha256_bytes, sha256_file
from recsys.artifacts.receipt import Receipt
from recsys.errors import ContentRemoved
from recsys.stages.night import REPO_OF_STAGE, Night
from recsys.stages.record import (
    code_facts,
    commit_record,
    host_facts,
    library_versions,
    outcome_of,
    recorded_settings,
)

_SOURCE = Path(recsys.__file__).parent


@dataclass(frozen=True)
class Task:
    """Work of one stage on given inputs.

    ``inputs`` are commit refs; ``parameters`` JSON-ready; ``rooms`` the packages and modules
    under ``recsys`` whose code decides the result. ``context`` is recorded beside them but
    is no part of the key: what the night was compared with. Nor are ``witnesses``, inputs
    whose say is among the parameters already.
    """

    night: Night
    stage: str
    inputs: Sequence[str]
    parameters: Mapping[str, Any]
    rooms: Sequence[str]
    context: Mapping[str, Any] = field(default_factory=dict)
    witnesses: Sequence[str] = ()
    started: float = field(default_factory=time.monotonic)
    cpu_started: float = field(default_factory=time.process_time)

    @property
    def repo(self) -> str:
        """Where the result is committed."""
        return REPO_OF_STAGE[self.stage]

    @property
    def code(self) -> str:
        """SHA-256 over the sources that decide the result."""
        return code_digest((f"stages/{self.stage}.py", *self.rooms))

    @property
    def key(self) -> str:
        """SHA-256 over everything that the result depends on."""
        return sha256_bytes(
            canonical_json(
                {
                    "stage": self.stage,
                    "inputs": sorted(self.inputs),
                    "parameters": self.parameters,
                    "code": self.code,
                }
            )
        )

    def remembered(self) -> Receipt | None:
        """The receipt of an earlier commit with the same key, or None.

        One whose content was collected since is passed over: the work is done again.
        """
        self.night.store.ensure_repo(self.repo)
        for commit in self.night.store.commits(self.repo):
            record = commit_record(commit.message)
            if record.get("key") == self.key and self._is_kept(commit.ref):
                return Receipt(
                    str(record["artifact"]), commit.ref, str(record["artifact_digest"]), fresh=False
                )
        return None

    def _is_kept(self, ref: str) -> bool:
        try:
            self.night.store.open(ref, ARTIFACT_FILE).close()
        except ContentRemoved:
            return False
        return True

    def publish(
        self,
        artifact: Artifact,
        files: Iterable[tuple[str, bytes | Path]] = (),
        *,
        replace: bool = True,
        branch: str = "master",
    ) -> Receipt:
        """Commit the artefact and its files with inputs and the record of how it was made.

        Commits that have other input repos than those on ``master`` go on a branch of their own.
        """
        self.night.store.ensure_repo(self.repo)
        with self.night.store.commit(
            self.repo,
            inputs=[*self.inputs, *self.witnesses],
            message=self._record(artifact),
            branch=branch,
            replace=replace,
        ) as writer:
            writer.put(ARTIFACT_FILE, artifact.to_json())
            for path, content in files:
                writer.put(path, content)
        return Receipt(artifact.kind, writer.ref, artifact.digest, fresh=True)

    def _record(self, artifact: Artifact) -> str:
        record = {
            "stage": self.stage,
            "key": self.key,
            **outcome_of(artifact),
            "parameters": dict(self.parameters),
            "settings": recorded_settings(self.night.settings),
            "context": dict(self.context),
            "code_digest": self.code,
            "rooms": list(self.rooms),
            "code": code_facts(),
            "libraries": library_versions(),
            "host": host_facts(),
            "night": self.night.date,
            "run": dict(self.night.run),
            "wall_seconds": round(time.monotonic() - self.started, 3),
            "cpu_seconds": round(time.process_time() - self.cpu_started, 3),
        }
        return canonical_json(record).decode()


@lru_cache
def code_digest(places: Sequence[str]) -> str:
    """SHA-256 over the Python sources at these places under ``recsys``.

    Raises
    ------
    FileNotFoundError
        There is nothing at a place: its changes would go unseen.
    """
    parts = {}
    for place in places:
        path = _SOURCE / place
        sources = [path] if path.is_file() else sorted(path.rglob("*.py"))
        if not sources:
            raise FileNotFoundError(f"no source at {place}, which decides a stage's result")
        for source in sources:
            parts[str(source.relative_to(_SOURCE))] = sha256_file(source)
    return sha256_bytes(canonical_json(parts))


def suite_digest(night: Night, *suites: str) -> dict[str, str]:
    """Suites as task parameters: a changed suite judges again."""
    return {
        f"suite_{suite}": sha256_file(night.settings.expectations_dir / f"{suite}.json")
        for suite in suites
    }


@contextmanager
def scratch_folder(night: Night) -> Iterator[Path]:
    """A folder for this piece of work; it goes when the work ends."""
    night.settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=night.settings.scratch_dir, prefix="task-") as folder:
        yield Path(folder)


def refs_by_repo(refs: Iterable[str]) -> dict[str, str]:
    """Commit refs by their repo."""
    return {names.parse_ref(ref)[0]: ref for ref in refs}
