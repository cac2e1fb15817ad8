"""Wait until a deployment is through, or say what stood in its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Obstacle:
    """Why a release is not live yet; ``final`` when waiting will not help."""

    reason: str
    final: bool = False


def wait(
    obstacle: Callable[[], Obstacle | None], timeout_seconds: float, poll_seconds: float
) -> str | None:
    """None once nothing stands in the way any more; else the reason why not."""
    until = time.monotonic() + timeout_seconds
    while (found := obstacle()) is not None:
        if found.final:
            return found.reason
        if time.monotonic() > until:
            return f"not within {timeout_seconds:g} seconds: {found.reason}"
        time.sleep(poll_seconds)
    return None
