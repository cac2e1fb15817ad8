"""The double on the wire: gRPC on a real port, with the SDK's own messages.

``with Pachd() as pachd`` serves until the block ends; ``python -m pachd.double`` serves
until it is killed and prints its address.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import grpc
from betterproto import BytesValue
from betterproto.lib.google.protobuf import Empty
from pachyderm_sdk.api import pfs, transaction

from pachd.rules import (
    NOT_FOUND,
    Commit,
    FileSet,
    Refusal,
    Repo,
    Rules,
    Transaction,
    matching,
)

_CHUNK_BYTES = 1 << 20
_WORKERS = 16


class Pachd(Rules):
    """A server of its own on 127.0.0.1.

    ``token`` is asked of every call; ``tls`` is a (key, certificate) pair of PEM files.
    """

    def __init__(self, token: str = "", tls: tuple[Path, Path] | None = None) -> None:
        super().__init__()
        self.token = token
        self.calls: list[str] = []
        self._server = grpc.server(
            ThreadPoolExecutor(_WORKERS), options=[("grpc.max_receive_message_length", 4 << 20)]
        )
        self._server.add_generic_rpc_handlers([_Calls(self)])
        if tls is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            pair = (tls[0].read_bytes(), tls[1].read_bytes())
            port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        self.address = (
            f"{'grpcs' if tls else 'grpc'}://{'localhost' if tls else '127.0.0.1'}:{port}"
        )

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def in_transaction(self, do: Callable[[Transaction], Any]) -> Any:
        """All of it or nothing."""
        before = {
            name: (dict(repo.branches), list(repo.commits)) for name, repo in self.repos.items()
        }
        heads = {
            id(branch): branch.head
            for repo in self.repos.values()
            for branch in repo.branches.values()
        }
        work = Transaction()
        try:
            result = do(work)
            self.carry_on(work)
        except Refusal:
            for name, (branches, commits) in before.items():
                self.repos[name].branches, self.repos[name].commits = branches, commits
                for branch in branches.values():
                    branch.head = heads[id(branch)]
            raise
        return result


class _Calls(grpc.GenericRpcHandler):
    """Which method answers which call."""

    def __init__(self, pachd: Pachd) -> None:
        self._pachd = pachd
        wire = _Wire(pachd)
        self._answers = {
            "CreateProject": (wire.create_project, pfs.CreateProjectRequest),
            "InspectProject": (wire.inspect_project, pfs.InspectProjectRequest),
            "CreateRepo": (wire.create_repo, pfs.CreateRepoRequest),
            "InspectRepo": (wire.inspect_repo, pfs.InspectRepoRequest),
            "StartCommit": (wire.start_commit, pfs.StartCommitRequest),
            "FinishCommit": (wire.finish_commit, pfs.FinishCommitRequest),
            "InspectCommit": (wire.inspect_commit, pfs.InspectCommitRequest),
            "SquashCommit": (wire.squash_commit, pfs.SquashCommitRequest),
            "DropCommit": (wire.drop_commit, pfs.DropCommitRequest),
            "CreateBranch": (wire.create_branch, pfs.CreateBranchRequest),
            "InspectBranch": (wire.inspect_branch, pfs.InspectBranchRequest),
            "AddFileSet": (wire.add_file_set, pfs.AddFileSetRequest),
            "BatchTransaction": (wire.batch, transaction.BatchTransactionRequest),
        }
        self._streams = {
            "ListRepo": (wire.list_repo, pfs.ListRepoRequest),
            "ListCommit": (wire.list_commit, pfs.ListCommitRequest),
            "WalkCommitProvenance": (wire.walk_up, pfs.WalkCommitProvenanceRequest),
            "WalkCommitSubvenance": (wire.walk_down, pfs.WalkCommitSubvenanceRequest),
            "GetFile": (wire.get_file, pfs.GetFileRequest),
            "GetFileTAR": (wire.get_file_tar, pfs.GetFileRequest),
        }
        self._uploads = {
            "ModifyFile": (wire.modify_file, pfs.ModifyFileRequest),
            "CreateFileSet": (wire.create_file_set, pfs.ModifyFileRequest),
        }

    def service(self, details: Any) -> Any:
        service, _, call = details.method.rpartition("/")
        if service not in ("/pfs_v2.API", "/transaction_v2.API"):
            return None
        for calls, guarded, make in (
            (self._answers, self._answer, grpc.unary_unary_rpc_method_handler),
            (self._streams, self._answer_all, grpc.unary_stream_rpc_method_handler),
            (self._uploads, self._answer, grpc.stream_unary_rpc_method_handler),
        ):
            if call in calls:
                method, request = calls[call]
                token = dict(details.invocation_metadata).get("authn-token", "")
                return make(
                    partial(guarded, method, call, token),
                    request_deserializer=request.FromString,
                    response_serializer=bytes,
                )
        return None

    def _answer(
        self, method: Callable, call: str, token: str, message: Any, context: grpc.ServicerContext
    ) -> Any:
        self._admit(call, token, context)
        try:
            return method(message)
        except Refusal as refusal:
            context.abort(refusal.code, str(refusal))

    def _answer_all(
        self, method: Callable, call: str, token: str, message: Any, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        self._admit(call, token, context)
        try:
            yield from method(message)
        except Refusal as refusal:
            context.abort(refusal.code, str(refusal))

    def _admit(self, call: str, token: str, context: grpc.ServicerContext) -> None:
        self._pachd.calls.append(call)
        if self._pachd.token and token != self._pachd.token:
            text = "provided auth token is corrupted or has expired (try logging in again)"
            context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                text if token else "no authentication token (try logging in)",
            )


class _Wire:
    """Messages in, rules asked, messages out."""

    def __init__(self, pachd: Pachd) -> None:
        self._pachd = pachd

    def create_project(self, request: Any) -> Empty:
        with self._pachd.changed:
            self._pachd.create_project(request.project.name)
        return Empty()

    def inspect_project(self, request: Any) -> Any:
        self._pachd.inspect_project(request.project.name)
        return pfs.ProjectInfo(project=request.project)

    def create_repo(self, request: Any) -> Empty:
        with self._pachd.changed:
            self._pachd.create_repo(_key(request.repo), request.description)
        return Empty()

    def inspect_repo(self, request: Any) -> Any:
        return _repo_info(self._pachd.repo(_key(request.repo)))

    def list_repo(self, request: Any) -> Iterator[Any]:
        projects = {project.name for project in request.projects}
        for _, repo in sorted(self._pachd.repos.items()):
            if not projects or repo.name.split("/")[0] in projects:
                yield _repo_info(repo)

    def start_commit(self, request: Any) -> Any:
        repo, branch = _key(request.branch.repo), request.branch.name
        with self._pachd.changed:
            parent = self._pick(request.parent) if request.parent.id else None
            commit = self._pachd.in_transaction(
                lambda work: self._pachd.start_commit(
                    work, repo, branch, parent, request.description
                )
            )
        return _commit(commit)

    def finish_commit(self, request: Any) -> Empty:
        with self._pachd.changed:
            commit = self._pick(request.commit)
            self._pachd.finish_commit(commit, request.description, request.error)
        return Empty()

    def inspect_commit(self, request: Any) -> Any:
        with self._pachd.changed:
            self._pachd.settle()
            commit = self._pick(request.commit)
            if request.wait == pfs.CommitState.FINISHED:
                self._pachd.wait_until(lambda: commit.finished is not None)
            return self._commit_info(commit)

    def list_commit(self, request: Any) -> Iterator[Any]:
        with self._pachd.changed:
            self._pachd.settle()
            repo = self._pachd.repo(_key(request.repo))
            listed = [self._commit_info(commit) for commit in reversed(repo.commits)]
        yield from listed[: request.number or None]

    def squash_commit(self, request: Any) -> Any:
        with self._pachd.changed:
            commit = self._pick(request.commit)
            self._pachd.in_transaction(
                lambda work: self._pachd.squash(work, commit, request.recursive)
            )
        return pfs.SquashCommitResponse()

    def drop_commit(self, request: Any) -> Any:
        with self._pachd.changed:
            commit = self._pick(request.commit)
            self._pachd.in_transaction(
                lambda work: self._pachd.drop(work, commit, request.recursive)
            )
        return pfs.DropCommitResponse()

    def walk_up(self, request: Any) -> Iterator[Any]:
        return self._walk(request, self._pachd.upstream)

    def walk_down(self, request: Any) -> Iterator[Any]:
        return self._walk(request, self._pachd.downstream)

    def create_branch(self, request: Any) -> Empty:
        with self._pachd.changed:
            self._pachd.in_transaction(lambda work: self._create_branch(work, request))
        return Empty()

    def batch(self, request: Any) -> Any:
        """Of all requests of a transaction only CreateBranch is known here."""

        def run(work: Transaction) -> str:
            for one in request.requests:
                self._create_branch(work, one.create_branch)
            return work.id

        with self._pachd.changed:
            done = self._pachd.in_transaction(run)
        return transaction.TransactionInfo(transaction=transaction.Transaction(id=done))

    def inspect_branch(self, request: Any) -> Any:
        with self._pachd.changed:
            branch = self._pachd.branch(_key(request.branch.repo), request.branch.name)
            derived_from = [
                pfs.Branch(repo=_repo(repo), name=name) for repo, name in branch.provenance
            ]
            return pfs.BranchInfo(
                branch=request.branch,
                head=_commit(branch.head),
                direct_provenance=derived_from,
                provenance=derived_from,
            )

    def add_file_set(self, request: Any) -> Empty:
        with self._pachd.changed:
            self._pachd.add_file_set(self._pick(request.commit), request.file_set_id)
        return Empty()

    def create_file_set(self, requests: Iterator[Any]) -> Any:
        changes = FileSet()
        for request in requests:
            _modify(changes, request)
        with self._pachd.changed:
            return pfs.CreateFileSetResponse(file_set_id=self._pachd.new_file_set(changes))

    def modify_file(self, requests: Iterator[Any]) -> Empty:
        changes = FileSet()
        with self._pachd.changed:
            commit = self._pick(next(requests).set_commit)
            if commit.finishing is not None:
                raise Refusal(f"commit {commit} has already finished")
            parent = self._pachd.files(commit)
        for request in requests:
            _modify(changes, request, parent)
        with self._pachd.changed:
            commit.sets.append(changes)
        return Empty()

    def get_file(self, request: Any) -> Iterator[Any]:
        files = self._matched(request)
        if len(files) > 1 or next(iter(files)).endswith("/"):
            raise Refusal("cannot get directory or non-regular file. Use GetFileTAR instead")
        (data,) = files.values()
        yield from _chunks(data[request.offset :])

    def get_file_tar(self, request: Any) -> Iterator[Any]:
        archive = io.BytesIO()
        for path, data in self._matched(request).items():
            archive.write(_tar_header(path, len(data)))
            archive.write(data)
            archive.write(b"\0" * (-len(data) % tarfile.BLOCKSIZE))
            if archive.tell() >= _CHUNK_BYTES:
                yield from _chunks(archive.getvalue())
                archive = io.BytesIO()
        archive.write(b"\0" * (2 * tarfile.BLOCKSIZE))
        yield from _chunks(archive.getvalue())

    def _matched(self, request: Any) -> dict[str, bytes]:
        """The files and folders that the path names, and what is in those folders, sorted."""
        commit, glob = request.file.commit, request.file.path
        with self._pachd.changed:
            files = self._pachd.files(self._pick(commit))
        found = matching(files, f"/{glob.strip('/')}")
        if not found:
            text = f"file {glob} not found in repo {_key(commit.repo)} at commit {commit.id}"
            raise Refusal(text, NOT_FOUND)
        return found

    def _walk(self, request: Any, walk: Callable) -> Iterator[Any]:
        with self._pachd.changed:
            self._pachd.settle()
            picked = request.start[0].id
            name = picked.repo.name
            start = self._pachd.pick_exactly(f"{name.project.name}/{name.name}", picked.id)
            found = [self._commit_info(commit) for commit in walk(start)]
        yield from found[: request.max_commits or 10_000]

    def _create_branch(self, work: Transaction, request: Any) -> None:
        self._pachd.create_branch(
            work,
            _key(request.branch.repo),
            request.branch.name,
            self._pick(request.head) if request.head.id else None,
            [(_key(one.repo), one.name) for one in request.provenance],
        )

    def _pick(self, commit: Any) -> Commit:
        # Whether the branch is there at all can be told by its repo.
        branch = commit.branch if commit.branch.repo.name else None
        return self._pachd.pick(_key(commit.repo), commit.id, branch.name if branch else None)

    def _commit_info(self, commit: Commit) -> Any:
        kind = pfs.OriginKind.AUTO if commit.automatic else pfs.OriginKind.USER
        info = pfs.CommitInfo(
            commit=_commit(commit),
            origin=pfs.CommitOrigin(kind=kind),
            description=commit.description,
            child_commits=[_commit(child) for child in self._pachd.children(commit)],
            started=commit.started,
            direct_provenance=[_commit(one) for one in commit.provenance],
            error=commit.error,
        )
        if commit.parent is not None:
            info.parent_commit = _commit(commit.parent)
        for name in ("finishing", "finished"):
            moment: datetime | None = getattr(commit, name)
            if moment is not None:
                setattr(info, name, moment)
        return info


def _key(repo: Any) -> str:
    return f"{repo.project.name or 'default'}/{repo.name}"


def _repo(key: str) -> Any:
    project, name = key.split("/")
    return pfs.Repo(name=name, type="user", project=pfs.Project(name=project))


def _repo_info(repo: Repo) -> Any:
    message = _repo(repo.name)
    branches = [pfs.Branch(repo=message, name=name) for name in repo.branches]
    return pfs.RepoInfo(repo=message, description=repo.description, branches=branches)


def _commit(commit: Commit) -> Any:
    """Without the branch's name, as the server leaves it."""
    repo = _repo(commit.repo)
    return pfs.Commit(repo=repo, id=commit.id, branch=pfs.Branch(repo=repo))


def _modify(changes: FileSet, request: Any, parent: Any = ()) -> None:
    if request.add_file.path:
        changes.add(request.add_file.path, request.add_file.raw or b"")
    elif request.delete_file.path:
        changes.delete(request.delete_file.path, parent)
    else:
        raise Refusal("cannot set commit")


def _tar_header(path: str, size: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.size = size
    if path.endswith("/"):
        member.type = tarfile.DIRTYPE
    return member.tobuf(tarfile.PAX_FORMAT)


def _chunks(data: bytes) -> Iterator[Any]:
    for at in range(0, len(data), _CHUNK_BYTES):
        yield BytesValue(value=data[at : at + _CHUNK_BYTES])


if __name__ == "__main__":
    with Pachd() as pachd:
        print(pachd.address, flush=True)  # noqa: T201 - the caller reads it
        while True:
            time.sleep(3600)
