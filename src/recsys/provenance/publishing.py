"""One commit becomes visible: everything that it adds, in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from recsys.errors import BranchBusy, StoreDamaged, StoreUnavailable
from recsys.provenance.packs import NewBlob


class Branch(NamedTuple):
    """What is known of a branch before it is written; ``input_repos`` is None for a new one."""

    repo: int
    name: str
    head: int | None
    input_repos: tuple[str, ...] | None


@dataclass(frozen=True)
class Publication:
    """All that one commit adds.

    ``changes`` maps the paths that differ from the parent's to the SHA-256 of their content,
    None for those that are not there any more; ``result`` is every path of the commit;
    ``packs`` and ``blobs`` what was written anew; ``relied_on`` what was put and not written,
    since the store had it; ``input_seqs`` the inputs' numbers by repo.
    """

    commit_id: str
    branch: Branch
    input_seqs: Mapping[str, int]
    message: str
    started: datetime
    packs: Mapping[int, str]
    blobs: Mapping[bytes, NewBlob]
    relied_on: Collection[bytes]
    changes: Mapping[str, bytes | None]
    result: Mapping[str, bytes]


def publish(db: sqlite3.Connection, new: Publication) -> None:
    """Write a commit, within a transaction of the caller's.

    Raises
    ------
    BranchBusy
        The branch has another head than when the commit was opened.
    StoreUnavailable
        Content that the commit relies on was removed since; a second try writes it.
    StoreDamaged
        Content that the commit relies on is not known at all.
    """
    branch = _branch_id(db, new)
    if head_of(db, branch) != new.branch.head:
        raise BranchBusy(
            f"branch {new.branch.name!r} moved while the commit was open; commit again"
        )
    rows, inherits, stacked = _rows_to_write(db, new)
    made = insert(
        db,
        "INSERT INTO commits (id, repo, branch, parent, inherits, rows, message, started, finished)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(new.commit_id, new.branch.repo, branch, new.branch.head, inherits, stacked),
            *(new.message, microseconds(new.started), microseconds(datetime.now(UTC))),
        ),
    )
    db.executemany(
        "INSERT INTO inputs VALUES (?, ?)", [(made, seq) for seq in new.input_seqs.values()]
    )
    _insert_blobs(db, new)
    _insert_files(db, made, rows)
    _check_relied_on(db, new)


def head_of(db: sqlite3.Connection, branch: int) -> int | None:
    """The number of a branch's newest commit."""
    (seq,) = db.execute("SELECT max(seq) FROM commits WHERE branch = ?", (branch,)).fetchone()
    return None if seq is None else int(seq)


def insert(db: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> int:
    """Insert one row; returns its number."""
    row = db.execute(statement, values).lastrowid
    assert row is not None  # noqa: S101 - sqlite3 sets it after every INSERT
    return row


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, UTC; whole numbers, so that a moment comes back as it was."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


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

    The changes alone, while they are the fewer and until a reader would read twice as many
    rows as there are files.
    """
    if new.branch.head is not None and len(new.changes) < len(new.result):
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
        number: insert(db, "INSERT INTO packs (name) VALUES (?)", (name,))
        for number, name in new.packs.items()
    }
    rows = [
        (sha256, blob.size_bytes, numbers[blob.file], blob.offset)
        for sha256, blob in new.blobs.items()
    ]
    written = db.executemany(
        "INSERT INTO blobs (sha256, size, pack, offset) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (sha256) DO UPDATE SET"
        " pack = excluded.pack, offset = excluded.offset, why = NULL, removed = NULL"
        " WHERE pack IS NULL",  # removed content that was put again
        rows,
    ).rowcount
    if written < len(rows):  # a file of ours may now be needed by nobody: leave it to the sweep
        db.executemany(
            "DELETE FROM packs WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM blobs WHERE pack = ?1)",
            [(number,) for number in numbers.values()],
        )


def _insert_files(
    db: sqlite3.Connection, made: int, rows: Collection[tuple[str, bytes | None]]
) -> None:
    written = db.executemany(
        "INSERT INTO files SELECT ?, ?, id FROM blobs WHERE sha256 = ?",
        [(made, path, sha256) for path, sha256 in rows if sha256 is not None],
    ).rowcount
    gone = [(made, path) for path, sha256 in rows if sha256 is None]
    db.executemany("INSERT INTO files VALUES (?, ?, NULL)", gone)
    if max(written, 0) + len(gone) != len(rows):
        raise StoreDamaged("content that this commit shares with an older one is not known")


def _check_relied_on(db: sqlite3.Connection, new: Publication) -> None:
    """Writers and removals exclude each other; this is for when somebody broke the lock."""
    removed = db.execute(
        "SELECT sha256 FROM blobs WHERE removed >= ?", (microseconds(new.started),)
    )
    if any(sha256 in new.relied_on for (sha256,) in removed):
        raise StoreUnavailable(
            "content that this commit shares with an older one was removed while it was open;"
            " commit again"
        )
