"""Is a share higher than it was? A test that may be looked at after every request.

Against the highest share that would still be honest, p₀, stands every higher one at once: the
likelihood ratio of k hits among n requests, averaged over p between p₀ and 1,

    E = 1/(1−p₀) ∫ p^k (1−p)^(n−k) dp / (p₀^k (1−p₀)^(n−k))

(Robbins, "Statistical methods related to the law of the iterated logarithm", 1970; as the
mixture SPRT in Johari, Pekelis and Walsh, "Always valid inference", 2015). While the share is
at most p₀, E is a supermartingale that begins at 1, so that by Ville's inequality it ever
reaches 1/α with a chance of at most α, however often one looks and whenever one stops.
The integral is an incomplete beta function.

p₀ is not known but bounded, by Clopper and Pearson (1934), from the requests before, with half
of the allowed chance of a false alarm; the other half is the test's. A margin is added for what
may honestly change. Requests that come in bursts are not independent, as both assume; the
margins are there for that too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln
from scipy.stats import beta


@dataclass(frozen=True)
class Counts:
    """Hits among requests."""

    hits: int = 0
    requests: int = 0

    @property
    def share(self) -> float:
        """Hits over requests; 0 of none."""
        return self.hits / self.requests if self.requests else 0.0


def highest_honest_share(before: Counts, margin: float, alpha: float) -> float:
    """The share that the one before exceeds with a chance of at most ``alpha``, and the margin."""
    if before.hits >= before.requests:
        return 1.0
    upper = beta.ppf(1 - alpha, before.hits + 1, before.requests - before.hits)
    return min(1.0, float(upper) + margin)


def log_evidence(
    hits: npt.ArrayLike, requests: npt.ArrayLike, honest: float
) -> npt.NDArray[np.float64]:
    """Natural logarithm of E by numbers of hits and requests, for p₀ above 0."""
    k, n = np.asarray(hits), np.asarray(requests)
    if honest >= 1:
        return np.full(np.broadcast(k, n).shape, -math.inf)
    mixture = betaln(k + 1, n - k + 1) + beta.logsf(honest, k + 1, n - k + 1)
    null = k * math.log(honest) + (n - k) * math.log1p(-honest)
    found: npt.NDArray[np.float64] = mixture - math.log1p(-honest) - null
    return found


def is_higher(before: Counts, after: Counts, margin: float, alpha: float) -> bool:
    """Whether the share rose beyond the margin; wrongly so with a chance of at most ``alpha``."""
    honest = highest_honest_share(before, margin, alpha / 2)
    return float(log_evidence(after.hits, after.requests, honest)) >= math.log(2 / alpha)
