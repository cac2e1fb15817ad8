"""What a Pachyderm server keeps and refuses, in memory: the rules that our adapter meets.

Written after the server's own source (2.12): its codes, its texts and its order of checks.
Most refusals carry no code there, so they are UNKNOWN here. It is not built over our own
store, because that cannot have an open head, a finished error, or a commit taken out.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc

UNKNOWN, NOT_FOUND = grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND
ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_UUID4 = re.compile(r"[\da-f]{12}4[\da-f]{19}")
_REFUSED_IN_PATHS = re.compile(r"[*?\[\]{}!()@+^]")


class Refusal(Exception):
    """What the server answers instead; the wire turns it into a status."""

    def __init__(self, text: str, code: grpc.StatusCode = UNKNOWN) -> None:
        super().__init__(text)
        self.code = code


class FileSet:
    """Changes in the order in which they came: paths deleted, then bytes appended."""

    def __init__(self) -> None:
        self.deleted: set[str] = set()
        self.added: dict[str, list[bytes]] = {}
        self.expires = 0.0

    def add(self, path: str, data: bytes) -> None:
        """Append; what is there is not replaced."""
        self.added.setdefault(check_path(path), []).append(data)

    def delete(self, path: str, parent: Iterable[str] = ()) -> None:
        """A folder only with its slash, and then only the files that this set can see."""
        if check_path(path).endswith("/"):
            for one in [*parent, *self.added]:
                if one.startswith(path):
                    self.delete(one)
            return
        self.added.pop(path, None)
        self.deleted.add(path)

    def laid_over(self, below: dict[str, bytes]) -> dict[str, bytes]:
        """The files below with these changes."""
        files = {path: data for path, data in below.items() if path not in self.deleted}
        for path, parts in self.added.items():
            files[path] = b"".join([files.get(path, b""), *parts])
        return files


@dataclass(eq=False)
class Commit:
    """One commit; ``sets`` are its own changes, ``total`` its files once it is finished."""

    repo: str
    branch: str
    id: str
    started: datetime
    automatic: bool
    parent: Commit | None = None
    provenance: list[Commit] = field(default_factory=list)
    description: str = ""
    error: str = ""
    finishing: datetime | None = None
    finished: datetime | None = None
    sets: list[FileSet] = field(default_factory=list)
    total: dict[str, bytes] | None = None

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"

    @property
    def base(self) -> Commit | None:
        """The commit whose files it lies on: those with errors are passed over."""
        below = self.parent
        while below is not None and below.error:
            below = below.parent
        return below


@dataclass(eq=False)
class Branch:
    """A branch's head, and the branches that it is derived from, as (repo, name)."""

    head: Commit
    provenance: list[tuple[str, str]]


@dataclass(eq=False)
class Repo:
    """``name`` is ``project/repo``."""

    name: str
    description: str
    branches: dict[str, Branch] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)


class Transaction:
    """One transaction: its id names the commits it makes; moved branches are carried on last."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.now = datetime.now(UTC)
        self.moved: list[tuple[str, str]] = []


class Rules:
    """The server's state and verbs; every verb is one transaction."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.projects = {"default"}
        self.repos: dict[str, Repo] = {}
        self.file_sets: dict[str, FileSet] = {}
        self.compacting_seconds = 0.01  # on the server some 0.2 s
        self.file_set_seconds = 600.0

    # Repos and projects

    def create_project(self, project: str) -> None:
        if project in self.projects:
            raise Refusal(f"project {project} already exists", ALREADY_EXISTS)
        self.projects.add(project)

    def inspect_project(self, project: str) -> None:
        if project not in self.projects:
            raise Refusal(f'project "{project}" not found', NOT_FOUND)

    def create_repo(self, repo: str, description: str) -> None:
        project, name = repo.split("/")
        check_name(name)
        if project not in self.projects:
            raise Refusal(f'cannot find project "{project}": not found', NOT_FOUND)
        if repo in self.repos:
            raise Refusal(f"repo {repo} already exists", ALREADY_EXISTS)
        self.repos[repo] = Repo(repo, description)

    def repo(self, repo: str) -> Repo:
        if repo not in self.repos:
            raise Refusal(f"repo {repo} not found", NOT_FOUND)
        return self.repos[repo]

    def branch(self, repo: str, branch: str) -> Branch:
        if branch not in self.repo(repo).branches:
            raise Refusal(f'branch "{branch}" not found in repo {repo}', NOT_FOUND)
        return self.repos[repo].branches[branch]

    # Commits

    def pick(self, repo: str, commit_id: str, branch: str | None = None) -> Commit:
        """A commit by its id or its branch, or an input of the commits of that id."""
        handle = f"{repo}@{commit_id or branch}"
        missing = f"pick commit tx: commit {handle} not found"
        if not commit_id and not branch:
            raise Refusal("pick commit tx: cannot pick commit with no ID or branch")
        if repo not in self.repos:
            raise Refusal(f"{missing}\nrepo {repo} not found", NOT_FOUND)
        if not _UUID4.fullmatch(commit_id):  # then it is taken for a branch
            name = commit_id or branch or ""
            if name in self.repos[repo].branches:
                return self.repos[repo].branches[name].head
            if branch is None:
                text = "panic: runtime error: invalid memory address or nil pointer dereference"
                raise Refusal(text, grpc.StatusCode.ABORTED)
            raise Refusal(f'{missing}\nbranch "{name}" not found in repo {repo}', NOT_FOUND)
        for commit in self.repos[repo].commits:
            if commit.id == commit_id:
                return commit
        for commit in self._commits():
            if commit.id == commit_id:
                for one in self.upstream(commit):
                    if one.repo == repo:
                        return one
        raise Refusal(f"{missing}\ncommit {handle} not found", NOT_FOUND)

    def pick_exactly(self, repo: str, commit_id: str) -> Commit:
        """A commit by its id, and no other in its place."""
        for commit in self.repos[repo].commits if repo in self.repos else ():
            if commit.id == commit_id:
                return commit
        raise Refusal(f"commit (commit_id={repo}.user@{commit_id}) not found", NOT_FOUND)

    def start_commit(
        self, work: Transaction, repo: str, branch: str, parent: Commit | None, description: str
    ) -> Commit:
        self.repo(repo)
        check_name(branch)
        there = self.repos[repo].branches.get(branch)
        parent = parent or (there.head if there else None)
        if parent is not None and parent.finishing is None:
            raise Refusal(f"create commit: parent commit {parent} has not been finished")
        provenance = there.provenance if there else []
        if provenance:
            raise Refusal(f"cannot start a commit on an output branch: {repo}@{branch}")
        commit = self._new(work, repo, branch, parent, [], automatic=False)
        commit.description = description
        self._set_head(repo, branch, commit, [])
        work.moved.append((repo, branch))
        return commit

    def finish_commit(self, commit: Commit, description: str, error: str) -> None:
        if commit.finishing is not None:
            raise Refusal(f"commit {commit} has already finished")
        commit.description = description or commit.description
        commit.error = error
        commit.finishing = datetime.now(UTC)
        self.changed.notify_all()

    def settle(self) -> None:
        """What the server does by itself: commits that are finishing are worked up."""
        now = datetime.now(UTC)
        for commit in self._commits():
            waiting = commit.finishing is not None and commit.finished is None
            if not waiting or (now - commit.finishing).total_seconds() < self.compacting_seconds:
                continue
            if not commit.error:
                if commit.base is not None and commit.base.finished is None:
                    continue  # no child is finished before its base
                commit.total = self._laid(commit)
            commit.finished = datetime.now(UTC)
            self.changed.notify_all()

    def wait_until(self, done: Callable[[], bool]) -> None:
        """Let the server work until it is so."""
        while True:
            self.settle()
            if done():
                return
            self.changed.wait(0.005)

    def files(self, commit: Commit) -> dict[str, bytes]:
        """What a reader sees; of an open commit, what has come so far."""
        if commit.finishing is not None:
            self.wait_until(lambda: commit.finished is not None)
        if commit.total is not None and not commit.error:
            return commit.total
        return self._laid(commit)

    def _laid(self, commit: Commit) -> dict[str, bytes]:
        base = commit.base
        if base is not None and base.finished is None:
            raise Refusal(f"base commit {base} for commit {commit} unfinished")
        files = {} if base is None else dict(base.total or {})
        for changes in commit.sets:
            files = changes.laid_over(files)
        return files

    # File sets

    def new_file_set(self, changes: FileSet) -> str:
        changes.expires = time.monotonic() + self.file_set_seconds
        file_set_id = uuid.uuid4().hex
        self.file_sets[file_set_id] = changes
        return file_set_id

    def file_set(self, file_set_id: str) -> FileSet:
        changes = self.file_sets.get(file_set_id)
        if changes is None or changes.expires < time.monotonic():
            raise Refusal("add file set: path does not exist")
        return changes

    def add_file_set(self, commit: Commit, file_set_id: str) -> None:
        if commit.finishing is not None:
            raise Refusal(f"commit {commit} has already finished")
        commit.sets.append(self.file_set(file_set_id))

    # Branches and provenance

    def create_branch(
        self,
        work: Transaction,
        repo: str,
        branch: str,
        head: Commit | None,
        provenance: list[tuple[str, str]],
    ) -> None:
        for name in (branch, *(name for _, name in provenance)):
            check_name(name)
        self.repo(repo)
        for in_repo, name in provenance:
            if name not in self.repo(in_repo).branches:
                empty = self._new_empty(work, in_repo, name, None, [])
                self._set_head(in_repo, name, empty, [])
        if any(in_repo == repo for in_repo, _ in provenance):
            raise Refusal(f"repo {repo} cannot be in the provenance of its own branch")
        there = self.repos[repo].branches.get(branch)
        before = there.provenance if there else []
        new_head = head or (there.head if there else None)
        provenance = sorted(set(provenance))
        if new_head is None or (provenance and provenance != sorted(before)):
            new_head = self._new_empty(work, repo, branch, new_head, provenance)
        self._set_head(repo, branch, new_head, provenance)
        work.moved.append((repo, branch))

    def carry_on(self, work: Transaction) -> None:
        """The end of a transaction: check the graph, then open what moved branches call for."""
        for moved in work.moved:
            self._check_graph(moved)
        for derived in sorted({one for moved in work.moved for one in self._derived(moved)}):
            branch = self.branch(*derived)
            if branch.head.id != work.id:
                heads = [self.branch(*one).head for one in branch.provenance]
                commit = self._new(work, *derived, branch.head, heads, automatic=True)
                branch.head = commit
        self.changed.notify_all()

    def upstream(self, commit: Commit) -> list[Commit]:
        """What it was made of, nearest first."""
        return _nearest_first(commit, lambda one: one.provenance)

    def downstream(self, commit: Commit) -> list[Commit]:
        """What was made of it, nearest first."""
        every = list(self._commits())
        return _nearest_first(commit, lambda one: [c for c in every if one in c.provenance])

    def children(self, commit: Commit) -> list[Commit]:
        """The commits right after it."""
        return [one for one in self.repos[commit.repo].commits if one.parent is commit]

    # Taking commits away

    def squash(self, work: Transaction, commit: Commit, recursive: bool) -> None:
        doomed = self._doomed(commit, recursive, "squash")
        for one in doomed:
            if not self.children(one):
                raise Refusal(
                    "cannot squash a commit that has no children as that would cause data loss,"
                    f" use the drop operation instead: {one}"
                )
        for one in doomed:
            self._delete(work, one)

    def drop(self, work: Transaction, commit: Commit, recursive: bool) -> None:
        doomed = self._doomed(commit, recursive, "drop")
        for one in doomed:
            if self.children(one):
                raise Refusal(f"cannot drop a commit that has children: {one}")
        for one in doomed:
            self._delete(work, one)

    def _doomed(self, commit: Commit, recursive: bool, verb: str) -> list[Commit]:
        doomed = [commit, *self.downstream(commit)]
        if len(doomed) > 1 and not recursive:
            raise Refusal(f"cannot {verb} commit ({commit}) with subvenance without recursive")
        return doomed

    def _delete(self, work: Transaction, commit: Commit) -> None:
        children = self.children(commit)
        for child in children:
            if child.finished is None:
                raise Refusal(f"cannot squash until child commit {child} is finished")
        repo = self.repos[commit.repo]
        new_head = commit.parent
        for name, branch in sorted(repo.branches.items()):
            if branch.head is commit:
                if new_head is None:  # one empty commit for all branches that lost their last
                    new_head = self._new_empty(work, commit.repo, name, None, branch.provenance)
                branch.head = new_head
        for child in children:
            child.parent = commit.parent
        repo.commits.remove(commit)

    # Parts

    def _commits(self) -> Iterator[Commit]:
        return (commit for repo in self.repos.values() for commit in list(repo.commits))

    def _new(
        self,
        work: Transaction,
        repo: str,
        branch: str,
        parent: Commit | None,
        provenance: list[Commit],
        *,
        automatic: bool,
    ) -> Commit:
        if any(one.id == work.id for one in self.repos[repo].commits):
            raise Refusal(
                f"inconsistent dependencies: cannot create commit from {repo}@{work.id};"
                f" repo ({repo}) already has a commit in this transaction"
            )
        commit = Commit(repo, branch, work.id, work.now, automatic, parent, provenance)
        self.repos[repo].commits.append(commit)
        return commit

    def _new_empty(
        self,
        work: Transaction,
        repo: str,
        branch: str,
        parent: Commit | None,
        provenance: list[tuple[str, str]],
    ) -> Commit:
        """A source's is finished at once, a derived branch's is left open."""
        heads = [self.branch(*one).head for one in provenance]
        commit = self._new(work, repo, branch, parent, heads, automatic=True)
        if not provenance:
            commit.finishing = commit.finished = work.now
            commit.total = {}
        return commit

    def _set_head(
        self, repo: str, branch: str, head: Commit, provenance: list[tuple[str, str]]
    ) -> None:
        self.repos[repo].branches[branch] = Branch(head, provenance)

    def _neighbours(self, one: tuple[str, str]) -> list[tuple[str, str]]:
        return [*self.branch(*one).provenance, *self._derived(one)]

    def _derived(self, one: tuple[str, str]) -> list[tuple[str, str]]:
        return [
            (repo.name, name)
            for repo in self.repos.values()
            for name, branch in repo.branches.items()
            if one in branch.provenance
        ]

    def _check_graph(self, start: tuple[str, str]) -> None:
        graph = [start, *_nearest_first(start, self._neighbours)]
        repos = [repo for repo, _ in graph]
        for repo in repos:
            if repos.count(repo) > 1:
                raise Refusal(
                    f'multiple branches from the same repo, "{repo}", cannot participate in a DAG'
                )


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Refusal(
            f"name ({name}) invalid: only alphanumeric characters, underscores, and dashes"
            " are allowed"
        )
    return name


def check_path(path: str) -> str:
    if not re.fullmatch(r"[ -~]+", path):
        raise Refusal(f"path ({path}) invalid: only printable ASCII characters allowed")
    glob = _REFUSED_IN_PATHS.search(path)
    if glob:
        raise Refusal(f"path ({path}) invalid: globbing character ({glob[0]}) not allowed in path")
    if {".", ".."} & set(path.split("/")):
        raise Refusal(f"path ({path}) invalid: relative file paths are not allowed")
    return path


def matching(files: dict[str, bytes], glob: str) -> dict[str, bytes]:
    """What a glob names: files, folders (with a slash) and all that is in them, sorted.

    As on the server, what stands before the first special character must be there as it is,
    although a backslash, which is not special in that sense, hides the next character.
    """
    start = re.split(r"[*?\[\]{}!()@+^]", glob)[0]
    tokens = re.findall(r"\\.|.", glob)
    wanted = re.compile("".join("[^/]" if one == "?" else re.escape(one[-1]) for one in tokens))
    found: dict[str, bytes] = {}
    for path, data in files.items():
        folders = [path[: at + 1] for at, character in enumerate(path) if character == "/"]
        hits = [one for one in folders if wanted.fullmatch(one.rstrip("/") or "/")]
        if path.startswith(start) and (hits or wanted.fullmatch(path)):
            found.update((one, b"") for one in folders if hits and one.startswith(hits[0]))
            found[path] = data
    return dict(sorted(found.items()))


def _nearest_first(start: object, steps: Callable[..., Iterable]) -> list:
    order, seen = [start], {start}
    for at in order:
        for one in steps(at):
            if one not in seen:
                seen.add(one)
                order.append(one)
    return order[1:]
