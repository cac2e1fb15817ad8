"""The catalogue's file: its tables, its format, and how it is opened.

Every call opens its own connection, so threads and forked tasks share none; reading takes
no lock that a writer waits for (WAL). ``docs/store-format.md`` describes the tables.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from recsys.errors import StoreDamaged, StoreUnavailable

FORMAT: Final = 2
BUSY_SECONDS: Final = 60.0

_APPLICATION_ID = 0x52435331  # "RCS1": refuses an SQLite file of somebody else's

# AUTOINCREMENT: a pack's number is never used again, so a reader that knows an old place
# finds nothing there, and not another pack.
_PACKS = """
CREATE TABLE packs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
"""
_BLOBS = """
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    pack INTEGER REFERENCES packs, offset INTEGER, why TEXT, removed INTEGER,
    CHECK ((pack IS NULL) = (offset IS NULL) AND (pack IS NULL) = (why IS NOT NULL)
           AND (why IS NULL) = (removed IS NULL))
);
"""
_INDEXES = """
CREATE INDEX blobs_of_pack ON blobs (pack, offset);
CREATE INDEX removed_blobs ON blobs (removed) WHERE removed IS NOT NULL;
CREATE INDEX files_of_blob ON files (blob);
CREATE INDEX commits_of_parent ON commits (parent);
"""
_SCHEMA = f"""
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
{_PACKS}
{_BLOBS}
CREATE TABLE files (
    made INTEGER NOT NULL REFERENCES commits, path TEXT NOT NULL,
    blob INTEGER REFERENCES blobs, PRIMARY KEY (made, path)
) WITHOUT ROWID;
{_INDEXES}
"""
# Format 1 had no removed content, and its packs' numbers could come again.
_FROM_1_TO_2 = f"""
ALTER TABLE blobs RENAME TO blobs_1;
ALTER TABLE packs RENAME TO packs_1;
{_PACKS}
{_BLOBS}
INSERT INTO packs (id, name) SELECT id, name FROM packs_1;
INSERT INTO blobs (id, sha256, size, pack, offset)
    SELECT id, sha256, size, pack, offset FROM blobs_1;
DROP TABLE blobs_1;
DROP TABLE packs_1;
{_INDEXES}
"""  # noqa: S608 - nothing in it comes from outside


def create(path: Path) -> None:
    """Make the file and lay out its tables."""
    with _opened(path, "rwc") as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
            f" PRAGMA user_version = {FORMAT}; COMMIT;"
        )


def bring_up_to_date(path: Path) -> None:
    """Bring a catalogue of format 1 to today's, in one transaction; any other is left alone.

    Raises
    ------
    StoreUnavailable
        The disk is full or read-only; the catalogue is as it was.
    """
    with _opened(path, "ro") as db:
        if _format_of(path, db) != 1:
            return
    with _opened(path, "rw") as db:
        # By these two, what refers to a table goes on naming the one that takes its place.
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("PRAGMA legacy_alter_table = ON")
        with transaction(db):
            if _format_of(path, db) != 1:
                return  # another process was faster
            for statement in _FROM_1_TO_2.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {FORMAT}")


@contextmanager
def connection(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection to a catalogue of today's format; ``mode`` is ro or rw."""
    with _opened(path, mode) as db:
        version = _format_of(path, db)
        if version != FORMAT:
            raise StoreUnavailable(
                f"{path} has format {version}, this version reads {FORMAT}:"
                " update recsys, or point it at another state folder"
            )
        yield db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing; no other writer in between."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
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


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    immutable = "&immutable=1" if _cannot_change(path) else ""
    with database_errors(path):
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}{immutable}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
        )
        try:
            if mode != "ro":
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA foreign_keys = ON")
            yield db
        finally:
            db.close()


def _cannot_change(path: Path) -> bool:
    """Whether the file is on a read-only mount, and all of it in the one file.

    SQLite must be told: to look for changes it would make a ``-shm`` file beside it.
    """
    try:
        read_only = os.statvfs(path.parent).f_flag & os.ST_RDONLY
    except OSError:
        return False
    return bool(read_only) and not path.with_name(f"{path.name}-wal").exists()


def _format_of(path: Path, db: sqlite3.Connection) -> int:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise StoreDamaged(f"{path} is not the catalogue of a data store")
    return int(version)
