"""Gates: run a Great Expectations suite over a small table, and refuse in a way nobody can miss.

The only ways to a `Verdict` are `check`, which judges a table, and `sift`, which judges its
rows one by one; both return only one that passed. Great Expectations itself is imported
when a gate is asked, not before.
"""

from __future__ import annotations

from recsys.gates.gate import check
from recsys.gates.sift import Sifted, sift

__all__ = ["Sifted", "check", "sift"]
