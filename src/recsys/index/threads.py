"""How many threads FAISS may use for one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import faiss


@contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Keep FAISS to the calling thread inside the block, if ``wanted``.

    OpenMP's setting belongs to the calling thread, so other threads keep theirs.
    """
    threads = faiss.omp_get_max_threads()
    if not wanted or threads == 1:
        yield
        return
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
