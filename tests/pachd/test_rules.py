"""The double keeps the server's rules: the same tests run on a real one (``PACHD_ADDRESS``)."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, transaction

from pachd.double import Pachd

NOWHERE = "0123456789ab4def0123456789abcdef"
UNKNOWN, NOT_FOUND = grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND
ABORTED = grpc.StatusCode.ABORTED


class Project:
    """A project of its own on a server, with short names for what the tests say."""

    def __init__(self, client: Any) -> None:
        self.client, self.pfs = client, client.pfs
        self.project = pfs.Project(name=f"rules-{secrets.token_hex(8)}")
        self.pfs.create_project(project=self.project)
        for repo in ("catalog", "models", "embeddings"):
            self.pfs.create_repo(repo=self.repo(repo))

    def repo(self, name: str) -> Any:
        return pfs.Repo(name=name, type="user", project=self.project)

    def branch(self, name: str) -> Any:
        repo, _, branch = name.partition("@")
        return pfs.Branch(repo=self.repo(repo), name=branch)

    def commit(self, repo: str, commit_id: str) -> Any:
        return pfs.Commit(repo=self.repo(repo), id=commit_id)

    def start(self, branch: str, parent: Any = None) -> Any:
        return self.pfs.start_commit(branch=self.branch(branch), parent=parent)

    def add(self, commit: Any, *changes: Any) -> None:
        changed = self.pfs.create_file_set(iter(changes))
        self.pfs.add_file_set(commit=commit, file_set_id=changed.file_set_id)

    def finish(self, commit: Any, error: str = "") -> Any:
        self.pfs.finish_commit(commit=commit, error=error)
        return self.pfs.wait_commit(commit)

    def put(self, branch: str, *changes: Any) -> Any:
        commit = self.start(branch)
        self.add(commit, *changes)
        self.finish(commit)
        return commit

    def derive(self, branch: str, *pins: tuple[str, Any]) -> Any:
        """Move the pins and derive the branch from them; returns the commit that this opened."""
        requests = [
            pfs.CreateBranchRequest(branch=self.branch(pin), head=head) for pin, head in pins
        ]
        provenance = [self.branch(pin) for pin, _ in pins]
        requests.append(pfs.CreateBranchRequest(branch=self.branch(branch), provenance=provenance))
        done = self.client.transaction.batch_transaction(
            requests=[transaction.TransactionRequest(create_branch=one) for one in requests]
        )
        return self.commit(branch.partition("@")[0], done.transaction.id)

    def files(self, commit: Any) -> dict[str, bytes]:
        archive = b"".join(
            message.value
            for message in self.pfs.get_file_tar(file=pfs.File(commit=commit, path="/"))
        )
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            return {
                f"/{one.name.lstrip('/')}": tar.extractfile(one).read()  # type: ignore[union-attr]
                for one in tar
                if one.isfile()
            }


def add(path: str, raw: bytes) -> Any:
    return pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=raw))


def delete(path: str) -> Any:
    return pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))


SERVERS = ["double", *(["pachd"] if "PACHD_ADDRESS" in os.environ else [])]


@pytest.fixture(scope="module", params=SERVERS)
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "double":
        with Pachd() as pachd:
            yield Client.from_pachd_address(pachd.address)
    else:
        token = os.environ.get("PACHD_TOKEN", "")
        yield Client.from_pachd_address(os.environ["PACHD_ADDRESS"], auth_token=token)


@pytest.fixture
def server(client: Any) -> Project:
    return Project(client)


def refused(code: grpc.StatusCode, text: str, ask: Callable[[], object]) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        ask()
    assert refusal.value.code() is code
    assert text in refusal.value.details()


# Files


def test_adding_appends_and_deleting_first_replaces(server: Project) -> None:
    server.put("catalog@master", add("/a", b"1"), add("/b", b"1"))
    commit = server.put("catalog@master", add("/a", b"2"), delete("/b"), add("/b", b"2"))
    assert server.files(commit) == {"/a": b"12", "/b": b"2"}


def test_a_folder_is_not_deleted_from_below(server: Project) -> None:
    server.put("catalog@master", add("/d/a", b"1"))
    for folder in ("/d", "/d/"):
        commit = server.put("catalog@master", delete(folder))
        assert server.files(commit) == {"/d/a": b"1"}


def test_modify_file_deletes_a_folder_by_its_slash_alone(server: Project) -> None:
    server.put("catalog@master", add("/d/a", b"1"))
    commit = server.start("catalog@master")
    for folder, left in (("/d", {"/d/a": b"1"}), ("/d/", {})):
        server.pfs.modify_file(
            iter([pfs.ModifyFileRequest(set_commit=commit), delete(folder), add("/b", b"")])
        )
        assert {path: data for path, data in server.files(commit).items() if data} == left


def test_an_open_head_shows_what_has_come(server: Project) -> None:
    commit = server.start("catalog@master")
    server.add(commit, add("/a", b"1"))
    assert server.files(commit) == {"/a": b"1"}


def test_paths_have_rules(server: Project) -> None:
    for path, text in (
        ("/a*b", "globbing character (*)"),
        ("/ä", "only printable ASCII"),
        ("/a/../b", "relative file paths"),
    ):
        refused(UNKNOWN, text, lambda path=path: server.put("catalog@one", add(path, b"1")))
        server.finish(server.pfs.inspect_branch(branch=server.branch("catalog@one")).head, "no")


def test_what_cannot_be_read(server: Project) -> None:
    commit = server.put("catalog@master", add("/d/a", b"1"), add('/\\"', b"2"))

    def get(path: str) -> bytes:
        file = pfs.File(commit=commit, path=path)
        return b"".join(message.value for message in server.pfs.get_file(file=file))

    assert get("/d/a") == b"1"
    refused(NOT_FOUND, "file /none not found", lambda: get("/none"))
    refused(UNKNOWN, "cannot get directory or non-regular file", lambda: get("/d"))
    refused(NOT_FOUND, "not found", lambda: get('/\\"'))  # a backslash escapes


def test_a_file_set_must_be_there(server: Project) -> None:
    commit = server.start("catalog@master")
    with pytest.raises(grpc.RpcError):
        server.pfs.add_file_set(commit=commit, file_set_id=NOWHERE)


# Commits


def test_commits_follow_each_other(server: Project) -> None:
    first = server.start("catalog@master")
    refused(UNKNOWN, "has not been finished", lambda: server.start("catalog@master"))
    server.finish(first)
    for ask in (
        lambda: server.finish(first),
        lambda: server.add(first, add("/a", b"1")),
    ):
        refused(UNKNOWN, "has already finished", ask)
    second = server.put("catalog@master", add("/a", b"1"))
    assert server.pfs.inspect_commit(commit=second).parent_commit.id == first.id


def test_a_commit_that_finished_with_an_error_is_not_inherited(server: Project) -> None:
    server.put("catalog@master", add("/a", b"1"))
    broken = server.start("catalog@master")
    server.add(broken, add("/b", b"1"))
    assert server.finish(broken, "abandoned").error == "abandoned"
    assert server.files(server.put("catalog@master", add("/c", b"1"))) == {"/a": b"1", "/c": b"1"}


def test_a_child_is_not_finished_before_its_base(server: Project) -> None:
    pin = ("catalog@pin", server.put("catalog@master", add("/a", b"1")))
    base = server.derive("embeddings@master", pin)
    server.pfs.create_branch(branch=server.branch(pin[0]), head=pin[1])
    child = server.pfs.inspect_branch(branch=server.branch("embeddings@master")).head
    assert child.id != base.id
    server.pfs.finish_commit(commit=child)
    info = server.pfs.inspect_commit(commit=child)
    assert (info.finishing.year > 1970, info.finished.year) == (True, 1970)
    server.finish(base, "abandoned")
    assert server.pfs.wait_commit(child).finished.year > 1970


def test_what_is_not_there_is_not_found(server: Project) -> None:
    inspect = server.pfs.inspect_commit
    for commit in (server.commit("catalog", NOWHERE), server.commit("none", NOWHERE)):
        refused(NOT_FOUND, "not found", lambda commit=commit: inspect(commit=commit))
    refused(ABORTED, "panic", lambda: inspect(commit=server.commit("catalog", "0" * 32)))
    for ask in (
        lambda: server.pfs.inspect_repo(repo=server.repo("none")),
        lambda: list(server.pfs.list_commit(repo=server.repo("none"))),
        lambda: server.pfs.inspect_branch(branch=server.branch("catalog@none")),
        lambda: server.pfs.inspect_branch(branch=server.branch("none@none")),
        lambda: server.start("none@master"),
    ):
        refused(NOT_FOUND, "not found", ask)
    taken = lambda: server.pfs.create_repo(repo=server.repo("catalog"))  # noqa: E731
    refused(grpc.StatusCode.ALREADY_EXISTS, "already exists", taken)


# Provenance


def test_moved_pins_open_one_commit_made_of_their_heads(server: Project) -> None:
    catalog = server.put("catalog@master", add("/a", b"1"))
    models = server.put("models@master", add("/m", b"1"))
    opened = server.derive("embeddings@master", ("catalog@pin", catalog), ("models@pin", models))
    info = server.pfs.inspect_commit(commit=opened)
    assert {one.id for one in info.direct_provenance} == {catalog.id, models.id}
    assert info.finishing.year == 1970
    listed = server.pfs.list_commit(repo=server.repo("embeddings"))
    assert [one.commit.id for one in listed] == [opened.id]


def test_an_id_of_another_repo_names_its_input(server: Project) -> None:
    catalog = server.put("catalog@master", add("/a", b"1"))
    opened = server.derive("embeddings@master", ("catalog@pin", catalog))
    alias = server.pfs.inspect_commit(commit=server.commit("catalog", opened.id))
    assert alias.commit.id == catalog.id


def test_which_inputs_are_refused(server: Project) -> None:
    first, second = (server.put("catalog@master", add("/a", b"1")) for _ in range(2))
    pins = ("catalog@one", first), ("catalog@two", second)
    text = "multiple branches from the same repo"
    refused(UNKNOWN, text, lambda: server.derive("embeddings@master", *pins))
    text = "cannot be in the provenance of its own branch"
    refused(UNKNOWN, text, lambda: server.derive("catalog@derived", pins[0]))
    with pytest.raises(grpc.RpcError):  # nothing of a transaction that was refused is left
        server.pfs.inspect_branch(branch=server.branch("catalog@one"))


def test_no_commit_is_started_on_a_derived_branch_until_it_is_a_source(server: Project) -> None:
    catalog = server.put("catalog@master", add("/a", b"1"))
    server.finish(server.derive("embeddings@master", ("catalog@pin", catalog)))
    start = lambda: server.start("embeddings@master")  # noqa: E731
    refused(UNKNOWN, "cannot start a commit on an output branch", start)
    server.pfs.create_branch(branch=server.branch("embeddings@master"), provenance=[])
    server.finish(start())


# Taking commits away


def test_commits_with_children_are_squashed_and_others_dropped(server: Project) -> None:
    squash, drop = server.pfs.squash_commit, server.pfs.drop_commit
    first = server.put("catalog@master", add("/a", b"1"))
    second = server.put("catalog@master", add("/b", b"1"))
    third = server.put("catalog@master", add("/c", b"1"))
    refused(UNKNOWN, "no children", lambda: squash(commit=third))
    refused(UNKNOWN, "has children", lambda: drop(commit=second))
    squash(commit=second)
    assert server.pfs.inspect_commit(commit=third).parent_commit.id == first.id
    assert server.files(third) == {"/a": b"1", "/b": b"1", "/c": b"1"}
    drop(commit=third)
    assert server.pfs.inspect_branch(branch=server.branch("catalog@master")).head.id == first.id


def test_what_others_were_made_of_goes_only_with_them(server: Project) -> None:
    catalog = server.put("catalog@master", add("/a", b"1"))
    made = server.derive("embeddings@master", ("catalog@pin", catalog))
    server.finish(made)
    server.put("catalog@master", add("/a", b"2"))
    squash = lambda: server.pfs.squash_commit(commit=catalog)  # noqa: E731
    refused(UNKNOWN, "with subvenance without recursive", squash)
    server.pfs.drop_commit(commit=made)
    # A derived branch that lost its last commit has an empty one, made of the same.
    refused(UNKNOWN, "with subvenance without recursive", squash)
