"""Search for better parameters within a time budget, and go on another day.

Optuna is loaded by opening a `Search`, never by importing this room.
"""

from recsys.tuning.search import (
    Attempt,
    OnTrial,
    Real,
    Report,
    Search,
    TrialStopped,
    Tried,
    Values,
    Whole,
)

__all__ = [
    "Attempt",
    "OnTrial",
    "Real",
    "Report",
    "Search",
    "TrialStopped",
    "Tried",
    "Values",
    "Whole",
]
