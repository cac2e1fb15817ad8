"""The catalogue: which repos, commits, inputs, files and blobs there are, in SQLite.

Every call opens its own connection, so threads and forked tasks share none; reading takes
no lock that a writer waits for (WAL). ``docs/store-format.md`` describes the tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from recsys.errors import (
    BranchBusy,
    CommitNotFound,
    RepoNotFound,
    StoreDamaged,
    StoreUnavailable,
)
from recsys.provenance.addresses import check_name, split_ref
from recsys.provenance.packs import Blob, NewBlob
from recsys.provenance.port import CommitInfo

FORMAT = 1
CATALOGUE_FILE = "catalogue.db"

_APPLICATION_ID = 0x52435331  # "RCS1": refuses an SQLite file of somebody else's
_BUSY_SECONDS = 60.0

_SCHEMA = """
CREATE TABLE repos (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL
);
CREATE TABLE branches (
    id INTEGER PRIMARY KEY, repo INTEGER NOT NULL REFERENCES repos, name TEXT NOT NULL,
    input_repos TEXT NOT NULL, UNIQUE (repo, name)
);
CREATE TABLE commits (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    repo INTEGER NOT NULL REFERENCES repos, branch INTEGER NOT NULL REFERENCES branches,
    parent INTEGER REFERENCES commits, inherits INTEGER NOT NULL, rows INTEGER NOT NULL,
    message TEXT NOT NULL, started INTEGER NOT NULL, finished INTEGER NOT NULL
);
CREATE INDEX commits_of_branch ON commits (branch, seq);
CREATE INDEX commits_of_repo ON commits (repo, seq);
CREATE TABLE inputs (
    made INTEGER NOT NULL REFERENCES commits, input INTEGER NOT NULL REFERENCES commits,
    PRIMARY KEY (made, input)
) WITHOUT ROWID;
CREATE INDEX made_of_input ON inputs (input, made);
CREATE TABLE packs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    pack INTEGER NOT NULL REFERENCES packs, offset INTEGER NOT NULL
);
CREATE TABLE files (
    made INTEGER NOT NULL REFERENCES commits, path TEXT NOT NULL,
    blob INTEGER REFERENCES blobs, PRIMARY KEY (made, path)
) WITHOUT ROWID;
"""

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
_MANIFEST = """
WITH RECURSIVE layers (seq) AS (
    VALUES (?)
    UNION ALL
    SELECT c.parent FROM layers l JOIN commits c ON c.seq = l.seq WHERE c.inherits
)
SELECT f.path, b.sha256, b.size, b.pack, b.offset
FROM layers l JOIN files f ON f.made = l.seq LEFT JOIN blobs b ON b.id = f.blob
ORDER BY l.seq
"""

_REACHED = """
WITH RECURSIVE reached (seq) AS (
    VALUES (?)
    UNION
    SELECT i.{to} FROM reached r JOIN inputs i ON i.{at} = r.seq
)
SELECT i.{at}, i.{to} FROM reached r JOIN inputs i ON i.{at} = r.seq ORDER BY i.{to} DESC
"""
_UPSTREAM = _REACHED.format(at="made", to="input")
_DOWNSTREAM = _REACHED.format(at="input", to="made")


class Branch(NamedTuple):
    """What is known of a branch before it is written; ``input_repos`` is None for a new one."""

    repo: int
    name: str
    head: int | None
    input_repos: tuple[str, ...] | None


@dataclass(frozen=True)
class Publication:
    """All that one commit adds.

    ``changes`` maps paths to the SHA-256 of their new content, None for removed ones;
    ``result`` is every path of the commit; ``packs`` and ``blobs`` what was written anew;
    ``input_seqs`` the inputs' numbers by repo.
    """

    commit_id: str
    branch: Branch
    replace: bool
    input_seqs: Mapping[str, int]
    message: str
    started: datetime
    packs: Mapping[int, str]
    blobs: Mapping[bytes, NewBlob]
    changes: Mapping[str, bytes | None]
    result: Mapping[str, bytes]


class Catalogue:
    """The queries; each is one short transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        """Make the file and lay out its tables."""
        with self._connect("rwc", checked=False) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
                f" PRAGMA user_version = {FORMAT}; COMMIT;"
            )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write."""
        with self._connect("ro") as db:
            yield db

    def ensure_repo(self, repo: str, description: str) -> None:
        """Insert the repo unless it is there."""
        with self._connect("rw") as db:
            db.execute(
                "INSERT OR IGNORE INTO repos (name, description) VALUES (?, ?)",
                (check_name("repo", repo), description),
            )

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
            return Branch(repo_id, branch, _head(db, row[0]), tuple(json.loads(row[1])))

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

    def manifest(self, ref: str) -> dict[str, Blob]:
        """A commit's files, sorted by path."""
        with self.reading() as db:
            return _manifest(db, _seq(db, ref))

    def head_manifest(self, branch: Branch) -> dict[str, Blob]:
        """The files of a branch's newest commit; none of a new branch."""
        with self.reading() as db:
            return {} if branch.head is None else _manifest(db, branch.head)

    def pack_name(self, number: int) -> str:
        """The name of a pack or large file, relative to the store."""
        with self.reading() as db:
            row = db.execute("SELECT name FROM packs WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise StoreDamaged(f"{self._path}: names a pack {number} that it does not list")
        return str(row[0])

    def pack_names(self) -> set[str]:
        """Every pack and large file that a commit needs."""
        with self.reading() as db:
            return {name for (name,) in db.execute("SELECT name FROM packs")}

    def blobs(self) -> list[Blob]:
        """Every blob, in the order in which they lie on disk."""
        query = "SELECT sha256, size, pack, offset FROM blobs ORDER BY pack, offset"
        with self.reading() as db:
            return [Blob(*row) for row in db.execute(query)]

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
        """Make a commit visible, in one transaction.

        Raises
        ------
        BranchBusy
            The branch has another head than when the commit was opened.
        StoreDamaged
            A blob that the commit relies on is gone.
        """
        with self._connect("rw") as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                _publish(db, publication)
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def _reached(self, ref: str, query: str) -> list[CommitInfo]:
        with self.reading() as db:
            start = _seq(db, ref)
            order = _nearest_first(start, db.execute(query, (start,)).fetchall())
            return [_commit_infos(db, "WHERE c.seq = ?", seq)[0] for seq in order]

    @contextmanager
    def _connect(self, mode: str, *, checked: bool = True) -> Iterator[sqlite3.Connection]:
        with _database_errors(self._path):
            db = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
            )
            try:
                if mode != "ro":
                    db.execute("PRAGMA synchronous = FULL")
                    db.execute("PRAGMA foreign_keys = ON")
                if checked:
                    self._check_format(db)
                yield db
            finally:
                db.close()

    def _check_format(self, db: sqlite3.Connection) -> None:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION_ID:
            raise StoreDamaged(f"{self._path} is not the catalogue of a data store")
        if version != FORMAT:
            raise StoreUnavailable(
                f"{self._path} has format {version}, this version reads {FORMAT}:"
                " update recsys, or point it at another state folder"
            )


class StoredBlobs:
    """Which SHA-256s the store has, for the length of one commit; ``in`` asks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _database_errors(path):
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS
            )

    def __contains__(self, sha256: object) -> bool:
        with _database_errors(self._path):
            row = self._db.execute("SELECT 1 FROM blobs WHERE sha256 = ?", (sha256,)).fetchone()
        return row is not None

    def close(self) -> None:
        """Let go of the catalogue."""
        self._db.close()


@contextmanager
def _database_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(
            f"{path}: {error}; the store needs a local, writable folder with room on its disk"
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(
            f"{path}: {error}; restore it, with packs/ and large/, from a copy"
        ) from error


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


def _head(db: sqlite3.Connection, branch: int) -> int | None:
    (seq,) = db.execute("SELECT max(seq) FROM commits WHERE branch = ?", (branch,)).fetchone()
    return None if seq is None else int(seq)


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


def _publish(db: sqlite3.Connection, new: Publication) -> None:
    branch = _branch_id(db, new)
    if _head(db, branch) != new.branch.head:
        raise BranchBusy(
            f"branch {new.branch.name!r} moved while the commit was open; commit again"
        )
    rows, inherits, stacked = _rows_to_write(db, new)
    made = _insert(
        db,
        "INSERT INTO commits (id, repo, branch, parent, inherits, rows, message, started, finished)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(new.commit_id, new.branch.repo, branch, new.branch.head, inherits, stacked),
            *(new.message, _microseconds(new.started), _microseconds(datetime.now(UTC))),
        ),
    )
    db.executemany(
        "INSERT INTO inputs VALUES (?, ?)", [(made, seq) for seq in new.input_seqs.values()]
    )
    _insert_blobs(db, new)
    written = db.executemany(
        "INSERT INTO files SELECT ?, ?, id FROM blobs WHERE sha256 = ?",
        [(made, path, sha256) for path, sha256 in rows if sha256 is not None],
    ).rowcount
    removed = [(made, path) for path, sha256 in rows if sha256 is None]
    db.executemany("INSERT INTO files VALUES (?, ?, NULL)", removed)
    if max(written, 0) + len(removed) != len(rows):
        raise StoreDamaged(
            "content that this commit shares with an older one is gone; commit again"
        )


def _branch_id(db: sqlite3.Connection, new: Publication) -> int:
    db.execute(
        "INSERT OR IGNORE INTO branches (repo, name, input_repos) VALUES (?, ?, ?)",
        (new.branch.repo, new.branch.name, json.dumps(sorted(new.input_seqs))),
    )
    (branch,) = db.execute(
        "SELECT id FROM branches WHERE repo = ? AND name = ?", (new.branch.repo, new.branch.name)
    ).fetchone()
    return int(branch)


def _rows_to_write(
    db: sqlite3.Connection, new: Publication
) -> tuple[list[tuple[str, bytes | None]], bool, int]:
    """(rows, whether they lie on the parent's, how many rows a reader of the commit reads).

    The changes alone, until a reader would read twice as many rows as there are files.
    """
    if new.branch.head is not None and not new.replace:
        (below,) = db.execute(
            "SELECT rows FROM commits WHERE seq = ?", (new.branch.head,)
        ).fetchone()
        stacked = below + len(new.changes)
        if stacked <= 2 * len(new.result):
            return sorted(new.changes.items()), True, stacked
    return sorted(new.result.items()), False, len(new.result)


def _insert_blobs(db: sqlite3.Connection, new: Publication) -> None:
    """Blobs that another writer published meanwhile keep their older place."""
    numbers = {
        number: _insert(db, "INSERT INTO packs (name) VALUES (?)", (name,))
        for number, name in new.packs.items()
    }
    rows = [
        (sha256, blob.size_bytes, numbers[blob.file], blob.offset)
        for sha256, blob in new.blobs.items()
    ]
    written = db.executemany(
        "INSERT OR IGNORE INTO blobs (sha256, size, pack, offset) VALUES (?, ?, ?, ?)", rows
    ).rowcount
    if written < len(rows):  # a file of ours may now be needed by nobody: leave it to the sweep
        db.executemany(
            "DELETE FROM packs WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM blobs WHERE pack = ?1)",
            [(number,) for number in numbers.values()],
        )


def _insert(db: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> int:
    row = db.execute(statement, values).lastrowid
    assert row is not None  # noqa: S101 - sqlite3 sets it after every INSERT
    return row


def _microseconds(moment: datetime) -> int:
    """Microseconds since 1970, UTC; whole numbers, so that a moment comes back as it was."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def _from_microseconds(microseconds: int) -> datetime:
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
