"""Which content nobody needs any more, given the commits that somebody does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

# What is kept keeps what it was made of; a head keeps what the next commit inherits.
_KEPT = """
WITH RECURSIVE needed (seq) AS (
    SELECT seq FROM asked
    UNION
    SELECT max(seq) FROM commits GROUP BY branch
    UNION
    SELECT i.input FROM needed n JOIN inputs i ON i.made = n.seq
)
INSERT INTO kept SELECT c.root, n.seq FROM needed n JOIN chains c ON c.seq = n.seq
"""

# A chain is a commit with all its files, and those that lie on it, one upon the other.
_CHAINS = """
WITH RECURSIVE chain (seq, root) AS (
    SELECT seq, seq FROM commits WHERE NOT inherits
    UNION ALL
    SELECT c.seq, h.root FROM chain h JOIN commits c ON c.parent = h.seq WHERE c.inherits
)
INSERT INTO chains SELECT seq, root FROM chain
"""

# A row is seen by its commit and the next ones of its chain, up to the next row for the path;
# its blob is needed if one of these is kept.
_UNNEEDED = """
WITH spans AS (
    SELECT f.blob, c.root, f.made AS first,
           lead(f.made) OVER (PARTITION BY c.root, f.path ORDER BY f.made) AS next
    FROM files f JOIN chains c ON c.seq = f.made
)
SELECT sha256 FROM blobs WHERE pack IS NOT NULL AND id NOT IN (
    SELECT s.blob FROM spans s WHERE s.blob IS NOT NULL AND EXISTS (
        SELECT 1 FROM kept k WHERE k.root = s.root
        AND k.seq >= s.first AND k.seq < ifnull(s.next, 9223372036854775807)
    )
)
"""


def unneeded(db: sqlite3.Connection, keep: Iterable[int]) -> set[bytes]:
    """SHA-256s of what is on disk and in no file of the commits with these numbers.

    Nor of what they were made of, nor of the newest commit of any branch.
    """
    for table in (
        "asked (seq INTEGER PRIMARY KEY)",
        "chains (seq INTEGER PRIMARY KEY, root INTEGER NOT NULL)",
        "kept (root INTEGER, seq INTEGER, PRIMARY KEY (root, seq)) WITHOUT ROWID",
    ):
        db.execute(f"CREATE TEMP TABLE {table}")
    db.executemany("INSERT OR IGNORE INTO asked VALUES (?)", [(seq,) for seq in keep])
    db.execute(_CHAINS)
    db.execute(_KEPT)
    return {sha256 for (sha256,) in db.execute(_UNNEEDED)}
