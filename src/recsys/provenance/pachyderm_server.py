"""One Pachyderm server and project: its messages, and its refusals as our errors.

The SDK is used for its messages, its channel and its authentication, and nowhere else: its
conveniences send a call a file, publish commits that failed, and read timestamps that were
never set as 1970.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs

from recsys.errors import (
    BranchBusy,
    CommitClosed,
    InvalidInputs,
    RepoNotFound,
    SettingsInvalid,
    StoreError,
    StoreUnavailable,
)
from recsys.provenance.addresses import check_name

_PROJECT = re.compile(r"[A-Za-z0-9_-]{1,51}")
_ADDRESS = re.compile(r"grpcs?://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(\d{1,5})/?")

# Most of the server's refusals carry no code (UNKNOWN), so their texts tell them apart.
_REFUSALS: tuple[tuple[str, type[StoreError]], ...] = (
    ("has already finished", CommitClosed),
    ("has not been finished", BranchBusy),
    ("unfinished", BranchBusy),
    ("not finished", BranchBusy),
    ("output branch", InvalidInputs),
    ("in the provenance of its own branch", InvalidInputs),
    ("multiple branches from the same repo", InvalidInputs),
)
_UNREACHABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)
_STRANGER = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class Server:
    """A connection to each process that uses it; a forked child opens its own."""

    def __init__(self, address: str, project: str, token: str, root_certs: Path | None) -> None:
        self.address = check_address(address)
        self.project = pfs.Project(name=check_project(project))
        self._token = token
        self._root_certs = _certificates(root_certs) if address.startswith("grpcs") else None
        self._clients: dict[int, Any] = {}
        self._ensure_project()

    @property
    def client(self) -> Any:
        """The SDK's client of this process."""
        process = os.getpid()
        if process not in self._clients:
            self._clients[process] = Client.from_pachd_address(
                self.address, auth_token=self._token, root_certs=self._root_certs
            )
        return self._clients[process]

    @property
    def pfs(self) -> Any:
        """The calls of the file system."""
        return self.client.pfs

    @property
    def place(self) -> str:
        """A short name for this server and project."""
        where = f"{self.address}/{self.project.name}"
        return hashlib.sha256(where.encode()).hexdigest()[:16]

    def repos(self) -> list[str]:
        """The names of the project's repos, sorted."""
        with server_errors():
            listed = list(self.pfs.list_repo(type="user", projects=[self.project]))
        return sorted(str(info.repo.name) for info in listed)

    def repo(self, repo: str) -> Any:
        """The message that names a repo."""
        return pfs.Repo(name=check_name("repo", repo), type="user", project=self.project)

    def branch(self, repo: str, branch: str) -> Any:
        """The message that names a branch."""
        return pfs.Branch(repo=self.repo(repo), name=check_name("branch", branch))

    def commit(self, repo: str, commit_id: str) -> Any:
        """The message that names a commit."""
        return pfs.Commit(repo=self.repo(repo), id=commit_id)

    def file(self, repo: str, commit_id: str, path: str) -> Any:
        """The message that names a file of a commit."""
        return pfs.File(commit=self.commit(repo, commit_id), path=path)

    def picker(self, repo: str, commit_id: str) -> Any:
        """A commit as the walks through provenance want it named."""
        name = pfs.RepoPickerRepoName(
            name=repo, type="user", project=pfs.ProjectPicker(name=self.project.name)
        )
        repo_picker = pfs.RepoPicker(name=name)
        return pfs.CommitPicker(id=pfs.CommitPickerCommitByGlobalId(repo=repo_picker, id=commit_id))

    def check_repo(self, repo: str) -> None:
        """Raise `RepoNotFound` unless the repo is there."""
        with server_errors(RepoNotFound(f"no repo {repo!r}; ensure_repo makes it")):
            self.pfs.inspect_repo(repo=self.repo(repo))

    def _ensure_project(self) -> None:
        try:
            with server_errors():
                self.pfs.inspect_project(project=self.project)
        except StoreError as error:
            if not is_missing(error.__cause__):
                raise
            with server_errors(), already_there():
                self.pfs.create_project(project=self.project, description="recsys")


def check_address(address: str) -> str:
    """Return ``grpc[s]://host:port``, or raise `SettingsInvalid`."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[2]) < 65_536:
        raise SettingsInvalid(
            f"RECSYS_PACHD_ADDRESS is {address[:80]!r}; expected grpc://host:port,"
            " or grpcs://host:port with TLS"
        )
    return address.rstrip("/")


def check_project(project: str) -> str:
    """Return the name of a project, or raise `SettingsInvalid`."""
    if _PROJECT.fullmatch(project) is None:
        raise SettingsInvalid(
            f"RECSYS_PACHD_PROJECT is {project[:80]!r}; allowed are 1 to 51 of A-Z a-z 0-9 _ -"
        )
    return project


def _certificates(path: Path | None) -> bytes | None:
    """The PEM file given, else the system's; None leaves the choice to the SDK (certifi)."""
    if path is not None:
        try:
            return path.read_bytes()
        except OSError as error:
            raise SettingsInvalid(f"RECSYS_PACHD_ROOT_CERTS cannot be read: {error}") from error
    system = ssl.get_default_verify_paths().cafile
    return Path(system).read_bytes() if system else None


@contextmanager
def server_errors(missing: StoreError | None = None) -> Iterator[None]:
    """Turn the server's refusals into ours; ``missing`` is raised for what is not found."""
    try:
        yield
    except grpc.RpcError as error:
        raise _translated(error, missing) from error
    except ConnectionError as error:
        raise StoreUnavailable(
            "Pachyderm does not answer at RECSYS_PACHD_ADDRESS; is it running and reachable?"
        ) from error


@contextmanager
def already_there() -> Iterator[None]:
    """Pass over the refusal to make what is there."""
    try:
        yield
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise


def is_missing(error: BaseException | None) -> bool:
    """Whether the server says that something is not there."""
    if not isinstance(error, grpc.RpcError):
        return False
    unknown = error.code() is grpc.StatusCode.UNKNOWN and "not found" in error.details()
    return unknown or error.code() is grpc.StatusCode.NOT_FOUND


def _translated(error: Any, missing: StoreError | None) -> StoreError:
    code, text = error.code(), str(error.details())[:500]
    if missing is not None and is_missing(error):
        return missing
    for part, refusal in _REFUSALS:
        if part in text:
            return refusal(f"Pachyderm refused: {text}")
    if code in _UNREACHABLE:
        return StoreUnavailable(f"Pachyderm does not answer ({code.name}): {text}")
    if code in _STRANGER:
        return StoreUnavailable(f"Pachyderm knows no such user; set RECSYS_PACHD_TOKEN: {text}")
    return StoreError(f"Pachyderm refused ({code.name}): {text}")


def moment(value: datetime) -> datetime | None:
    """A timestamp in UTC; None for one that was never set, which the SDK reads as 1970."""
    return None if value.year <= 1970 else value.astimezone(UTC)


class Download(io.RawIOBase):
    """A stream of byte messages as a file to read once, from front to back."""

    def __init__(self, messages: Iterator[Any], missing: StoreError) -> None:
        self._messages = messages
        self._missing = missing
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill as much of the buffer as the next message allows."""
        while not self._rest:
            with server_errors(self._missing):
                message = next(self._messages, None)
            if message is None:
                return 0
            self._rest = memoryview(message.value)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
