"""How many threads FAISS may use for one call."""

from __future__ import annotations

import faiss


class one_thread:  # noqa: N801 - read as `with one_thread(True):`
    """Keep FAISS to the calling thread inside the block, if ``wanted``.

    OpenMP's setting belongs to the calling thread, so other threads keep theirs. A class,
    since `contextlib.contextmanager` takes three microseconds of a search of a hundred.
    """

    __slots__ = ("_before", "_wanted")

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    def __enter__(self) -> None:
        self._before = faiss.omp_get_max_threads() if self._wanted else 1
        if self._before > 1:
            faiss.omp_set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        if self._before > 1:
            faiss.omp_set_num_threads(self._before)
