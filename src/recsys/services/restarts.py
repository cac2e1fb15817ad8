"""How often a service was started again of late, and that we gave up on it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from recsys.artifacts.digests import canonical_json
from recsys.artifacts.files import write_atomically


@dataclass(frozen=True)
class RestartPolicy:
    """When to try again: at once, after a delay, twice as long each time; and when no more.

    After ``tries`` restarts within ``within_seconds`` the next one is not made.
    """

    tries: int = 6
    within_seconds: float = 600.0
    first_delay_seconds: float = 1.0
    longest_delay_seconds: float = 60.0

    def delay_seconds(self, restarts: int) -> float:
        """How long after the last restart the next one may be, after so many of late."""
        if restarts == 0:
            return 0.0
        return min(self.first_delay_seconds * 2.0 ** (restarts - 1), self.longest_delay_seconds)


@dataclass(frozen=True)
class Restarts:
    """What the keeper did for a service since somebody last started it.

    ``times`` in seconds since 1970, oldest first; ``reason`` why the last one was made, or,
    with ``gave_up``, why there will be no other.
    """

    times: tuple[float, ...] = ()
    reason: str = ""
    gave_up: bool = False

    def lately(self, now: float, policy: RestartPolicy) -> int:
        """How many there were within the policy's time."""
        return sum(now - policy.within_seconds < time for time in self.times)

    def due(self, now: float, policy: RestartPolicy) -> bool:
        """Whether the back-off has passed; so it has when the clock was set back meanwhile."""
        if not self.times:
            return True
        delay = policy.delay_seconds(self.lately(now, policy))
        return not 0 <= now - self.times[-1] < delay

    def with_one(self, now: float, reason: str, policy: RestartPolicy) -> Restarts:
        """One more, those beyond the policy's time forgotten."""
        kept = tuple(time for time in self.times if now - policy.within_seconds < time)
        return Restarts((*kept, now), reason)

    def given_up(self, reason: str) -> Restarts:
        """No more of it."""
        return replace(self, reason=reason, gave_up=True)

    def write(self, path: Path) -> None:
        """Write the file whole."""
        write_atomically(path, canonical_json(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Restarts:
        """The file; none yet when it is missing or not ours."""
        try:
            fields = json.loads(path.read_bytes())
            return cls(**{**fields, "times": tuple(fields["times"])})
        except (OSError, ValueError, TypeError, KeyError):
            return cls()
