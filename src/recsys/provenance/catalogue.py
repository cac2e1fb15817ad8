"""The catalogue: which repos, commits, inputs, files and blobs there are, in SQLite.

Each method is one short transaction. ``database.py`` has the tables and the connections,
``publishing.py`` what a commit adds, ``docs/store-format.md`` the description.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from recsys.errors import CommitNotFound, RepoNotFound, StoreDamaged
from recsys.provenance import database
from recsys.provenance.addresses import check_name, split_ref
from recsys.provenance.packs import Blob
from recsys.provenance.port import CommitInfo
from recsys.provenance.publishing import Branch, Publication, head_of, insert, microseconds, publish
from recsys.provenance.retention import unneeded

CATALOGUE_FILE = "catalogue.db"

_ASKED_OFTEN = 1_000
_HELD_MOST = 1_000_000

_COMMITS = """
SELECT c.seq, r.name || '@' || c.id, b.name, r.name || '@' || p.id,
       (SELECT group_concat(ir.name || '@' || ic.id) FROM inputs i
        JOIN commits ic ON ic.seq = i.input JOIN repos ir ON ir.id = ic.repo
        WHERE i.made = c.seq),
       c.message, c.started, c.finished
FROM commits c JOIN repos r ON r.id = c.repo JOIN branches b ON b.id = c.branch
LEFT JOIN commits p ON p.seq = c.parent
"""

# A commit's rows lie on those of its parents, down to one that inherits nothing.
_LAYERS = """
WITH RECURSIVE layers (seq) AS (
    VALUES (?)
    UNION ALL
    SELECT c.parent FROM layers l JOIN commits c ON c.seq = l.seq WHERE c.inherits
)
SELECT f.path, b.sha256, b.size, ifnull(b.pack, 0), ifnull(b.offset, 0)
FROM layers l JOIN files f ON f.made = l.seq LEFT JOIN blobs b ON b.id = f.blob
"""
_MANIFEST = _LAYERS + "ORDER BY l.seq"
_FILE = _LAYERS + "WHERE f.path = ? ORDER BY l.seq DESC LIMIT 1"

_REACHED = """
WITH RECURSIVE reached (seq) AS (
    VALUES (?)
    UNION
    SELECT i.{to} FROM reached r JOIN inputs i ON i.{at} = r.seq
)
SELECT i.{at}, i.{to} FROM reached r JOIN inputs i ON i.{at} = r.seq ORDER BY i.{to} DESC
"""
# A row is a file of its commit, and of the commits that inherit it from there on, until one
# of them has a row of its own for the path.
_HOLDING = """
WITH RECURSIVE held (seq, path) AS (
    SELECT f.made, f.path FROM blobs b JOIN files f ON f.blob = b.id
    JOIN commits c ON c.seq = f.made WHERE b.sha256 = ? AND c.repo = ?
    UNION
    SELECT c.seq, h.path FROM held h JOIN commits c ON c.parent = h.seq
    WHERE c.inherits AND NOT EXISTS (
        SELECT 1 FROM files f WHERE f.made = c.seq AND f.path = h.path
    )
)
SELECT seq, path FROM held ORDER BY seq DESC, path
"""
_UPSTREAM = _REACHED.format(at="made", to="input")
_DOWNSTREAM = _REACHED.format(at="input", to="made")


class Removal(NamedTuple):
    """Why and since when (UTC) content is not in the store any more."""

    why: str
    when: datetime


@dataclass(frozen=True)
class Rearrangement:
    """Blobs that go (``removed``, by SHA-256), and ``why``; files that took the place of others.

    ``packs`` maps a new file's name to the offset of each blob in it, by SHA-256; ``retired``
    are the numbers of files that no blob is in any more.
    """

    removed: Collection[bytes]
    why: str
    packs: Mapping[str, Mapping[bytes, int]]
    retired: Collection[int]


class StoredBlobs:
    """Which SHA-256s are on disk, asked with ``in``, until it is closed.

    Who asks often is answered from memory, which then may miss what others write meanwhile:
    that is written twice, and the second copy is nobody's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = ExitStack()
        self._db = self._connection.enter_context(database.connection(path, "ro"))
        self._asked = 0
        self._all: set[bytes] | None = None

    def __contains__(self, sha256: object) -> bool:
        self._asked += 1
        if self._asked == _ASKED_OFTEN:
            self._all = self._load()
        if self._all is not None:
            return sha256 in self._all
        query = "SELECT 1 FROM blobs WHERE sha256 = ? AND pack IS NOT NULL"
        with database.database_errors(self._path):
            return self._db.execute(query, (sha256,)).fetchone() is not None

    def close(self) -> None:
        """Let go of the catalogue."""
        self._connection.close()

    def _load(self) -> set[bytes] | None:
        """All SHA-256s (some 100 bytes each), unless they are too many to hold."""
        query = "SELECT sha256 FROM blobs WHERE pack IS NOT NULL LIMIT ?"
        with database.database_errors(self._path):
            rows = self._db.execute(query, (_HELD_MOST + 1,)).fetchall()
        return {sha256 for (sha256,) in rows} if len(rows) <= _HELD_MOST else None


class Catalogue:
    """The queries; each is one short transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection that cannot write."""
        return database.connection(self._path, "ro")

    def ensure_repo(self, repo: str, description: str) -> None:
        """Insert the repo unless it is there."""
        with database.connection(self._path, "rw") as db:
            db.execute(
                "INSERT OR IGNORE INTO repos (name, description) VALUES (?, ?)",
                (check_name("repo", repo), description),
            )

    def repos(self) -> list[str]:
        """The names of all repos, sorted."""
        with self.reading() as db:
            return [name for (name,) in db.execute("SELECT name FROM repos ORDER BY name")]

    def branch(self, repo: str, branch: str) -> Branch:
        """A branch as its next writer finds it."""
        check_name("branch", branch)
        with self.reading() as db:
            repo_id = _repo_id(db, repo)
            row = db.execute(
                "SELECT id, input_repos FROM branches WHERE repo = ? AND name = ?",
                (repo_id, branch),
            ).fetchone()
            if row is None:
                return Branch(repo_id, branch, None, None)
            return Branch(repo_id, branch, head_of(db, row[0]), tuple(json.loads(row[1])))

    def seq(self, ref: str) -> int:
        """The number of a commit."""
        with self.reading() as db:
            return _seq(db, ref)

    def commit(self, ref: str) -> CommitInfo:
        """One commit."""
        with self.reading() as db:
            return _commit_infos(db, "WHERE c.seq = ?", _seq(db, ref))[0]

    def head(self, repo: str, branch: str) -> CommitInfo | None:
        """The newest commit of a branch."""
        check_name("branch", branch)
        with self.reading() as db:
            infos = _commit_infos(
                db,
                "WHERE c.repo = ? AND b.name = ? ORDER BY c.seq DESC LIMIT 1",
                _repo_id(db, repo),
                branch,
            )
        return infos[0] if infos else None

    def commits(self, repo: str, limit: int | None) -> list[CommitInfo]:
        """A repo's commits, newest first."""
        most = -1 if limit is None else max(limit, 0)
        with self.reading() as db:
            where = "WHERE c.repo = ? ORDER BY c.seq DESC LIMIT ?"
            return _commit_infos(db, where, _repo_id(db, repo), most)

    def upstream(self, ref: str) -> list[CommitInfo]:
        """What a commit was made of, nearest first."""
        return self._reached(ref, _UPSTREAM)

    def downstream(self, ref: str) -> list[CommitInfo]:
        """What was made of a commit, nearest first."""
        return self._reached(ref, _DOWNSTREAM)

    def holding(self, repo: str, sha256: bytes) -> list[tuple[CommitInfo, str]]:
        """The repo's commits with a file of this content, newest first, and the file's path."""
        with self.reading() as db:
            found = db.execute(_HOLDING, (sha256, _repo_id(db, repo))).fetchall()
            seqs = {seq for seq, _ in found}
            infos = {seq: _commit_infos(db, "WHERE c.seq = ?", seq)[0] for seq in seqs}
        return [(infos[seq], path) for seq, path in found]

    def manifest(self, ref: str) -> dict[str, Blob]:
        """A commit's files, sorted by path."""
        with self.reading() as db:
            return _manifest(db, _seq(db, ref))

    def file(self, ref: str, path: str) -> Blob | None:
        """One file of a commit, or None; quicker than the whole manifest."""
        with self.reading() as db:
            row = db.execute(_FILE, (_seq(db, ref), path)).fetchone()
        return None if row is None or row[1] is None else Blob(*row[1:])

    def head_manifest(self, branch: Branch) -> dict[str, Blob]:
        """The files of a branch's newest commit; none of a new branch."""
        with self.reading() as db:
            return {} if branch.head is None else _manifest(db, branch.head)

    def files(self) -> dict[int, str]:
        """The name of every pack and large file, relative to the store, by number."""
        with self.reading() as db:
            return dict(db.execute("SELECT id, name FROM packs"))

    def blobs(self) -> list[Blob]:
        """Every blob that is on disk, in the order in which they lie there."""
        query = """
            SELECT sha256, size, pack, offset FROM blobs WHERE pack IS NOT NULL
            ORDER BY pack, offset"""
        with self.reading() as db:
            return [Blob(*row) for row in db.execute(query)]

    def place(self, sha256: bytes) -> Blob | Removal:
        """Where a blob is now, or why it is nowhere."""
        query = "SELECT sha256, size, pack, offset, why, removed FROM blobs WHERE sha256 = ?"
        with self.reading() as db:
            row = db.execute(query, (sha256,)).fetchone()
        if row is None:
            raise StoreDamaged(f"{self._path}: names content that it does not list")
        *place, why, removed = row
        return Blob(*place) if why is None else Removal(why, _from_microseconds(removed))

    def rearrange(self, new: Rearrangement) -> None:
        """Blobs go, and others are in another file than before, in one transaction."""
        with database.connection(self._path, "rw") as db, database.transaction(db):
            now = microseconds(datetime.now(UTC))
            db.executemany(
                "UPDATE blobs SET pack = NULL, offset = NULL, why = ?, removed = ?"
                " WHERE sha256 = ? AND pack IS NOT NULL",
                [(new.why, now, sha256) for sha256 in new.removed],
            )
            for name, offsets in new.packs.items():
                number = insert(db, "INSERT INTO packs (name) VALUES (?)", (name,))
                db.executemany(
                    "UPDATE blobs SET pack = ?, offset = ? WHERE sha256 = ?",
                    [(number, offset, sha256) for sha256, offset in offsets.items()],
                )
            db.executemany("DELETE FROM packs WHERE id = ?", [(file,) for file in new.retired])

    def blob_count(self) -> int:
        """How many blobs are on disk."""
        with self.reading() as db:
            (count,) = db.execute("SELECT count(*) FROM blobs WHERE pack IS NOT NULL").fetchone()
        return int(count)

    def unneeded(self, keep: Iterable[str]) -> set[bytes]:
        """SHA-256s of blobs on disk that these commits do not need; see `retention`."""
        with self.reading() as db:
            return unneeded(db, [_seq(db, ref) for ref in keep])

    def users(self, sha256: bytes, limit: int) -> tuple[str, ...]:
        """Some of the files that a blob is the content of, as ``repo@id:/path``."""
        query = """
            SELECT r.name || '@' || c.id || ':' || f.path
            FROM blobs b JOIN files f ON f.blob = b.id
            JOIN commits c ON c.seq = f.made JOIN repos r ON r.id = c.repo
            WHERE b.sha256 = ? ORDER BY c.seq DESC, f.path LIMIT ?"""
        with self.reading() as db:
            return tuple(text for (text,) in db.execute(query, (sha256, limit)))

    def problems(self) -> list[str]:
        """What SQLite's own check finds wrong with the catalogue."""
        with self.reading() as db:
            found = [str(text) for (text,) in db.execute("PRAGMA integrity_check")]
            orphans = db.execute("PRAGMA foreign_key_check").fetchall()
        texts = [text for text in found if text != "ok"]
        return texts + [f"table {row[0]} refers to a missing row of {row[2]}" for row in orphans]

    def publish(self, publication: Publication) -> None:
        """Make a commit visible; see `recsys.provenance.publishing.publish`."""
        with database.connection(self._path, "rw") as db, database.transaction(db):
            publish(db, publication)

    def stored(self) -> StoredBlobs:
        """Which SHA-256s are on disk; the caller closes it."""
        return StoredBlobs(self._path)

    def _reached(self, ref: str, query: str) -> list[CommitInfo]:
        with self.reading() as db:
            start = _seq(db, ref)
            order = _nearest_first(start, db.execute(query, (start,)).fetchall())
            return [_commit_infos(db, "WHERE c.seq = ?", seq)[0] for seq in order]


def _repo_id(db: sqlite3.Connection, repo: str) -> int:
    row = db.execute("SELECT id FROM repos WHERE name = ?", (check_name("repo", repo),)).fetchone()
    if row is None:
        raise RepoNotFound(f"no repo {repo!r}; ensure_repo makes it")
    return int(row[0])


def _seq(db: sqlite3.Connection, ref: str) -> int:
    repo, commit_id = split_ref(ref)
    row = db.execute(
        "SELECT seq FROM commits WHERE id = ? AND repo = ?", (commit_id, _repo_id(db, repo))
    ).fetchone()
    if row is None:
        raise CommitNotFound(f"no commit {commit_id} in repo {repo!r}")
    return int(row[0])


def _commit_infos(db: sqlite3.Connection, where: str, *values: object) -> list[CommitInfo]:
    return [
        CommitInfo(
            ref=ref,
            branch=branch,
            parent=parent,
            inputs=tuple(sorted(inputs.split(","))) if inputs else (),
            message=message,
            started=_from_microseconds(started),
            finished=_from_microseconds(finished),
        )
        for _, ref, branch, parent, inputs, message, started, finished in db.execute(
            _COMMITS + where, values
        )
    ]


def _manifest(db: sqlite3.Connection, seq: int) -> dict[str, Blob]:
    files: dict[str, Blob] = {}
    for path, sha256, size, pack, offset in db.execute(_MANIFEST, (seq,)):
        if sha256 is None:
            files.pop(path, None)
        else:
            files[path] = Blob(sha256, size, pack, offset)
    return dict(sorted(files.items()))


def _nearest_first(start: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Breadth-first order of all that the edges reach from ``start``, which is left out."""
    steps: dict[int, list[int]] = {}
    for at, to in edges:
        steps.setdefault(at, []).append(to)
    order, seen = [start], {start}
    for at in order:
        fresh = [to for to in steps.get(at, ()) if to not in seen]
        order += fresh
        seen.update(fresh)
    return order[1:]


def _from_microseconds(moment: int) -> datetime:
    seconds, rest = divmod(moment, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
