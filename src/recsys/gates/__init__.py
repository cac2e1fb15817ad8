"""Gates: run a Great Expectations suite over a small table, and refuse in a way nobody can miss.

The only way to a `Verdict` is `check`, and it returns only one that passed. Great
Expectations itself is imported when a gate is asked, not before.
"""

from __future__ import annotations

from recsys.gates.gate import check

__all__ = ["check"]
