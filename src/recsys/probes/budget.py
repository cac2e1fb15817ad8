"""What one answer may cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def median_milliseconds(embed: Callable[[Pixels], object], pictures: Pixels) -> float:
    """Median wall time of embedding one picture alone, in milliseconds.

    The first picture warms up and is not counted: give two or more.
    """
    times = []
    for picture in pictures:
        started = time.perf_counter()
        embed(picture[None])
        times.append(time.perf_counter() - started)
    return 1000 * median(times[1:])
