"""Feed a memory map to TensorFlow in batches, without ever holding it as floats.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_PREFETCHED_BATCHES = 2


def batches(
    pixels: npt.NDArray[np.uint8],
    codes: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
) -> Any:
    """A ``tf.data.Dataset`` of (uint8 [b, height, width, 3], int64 [b]) over ``rows``.

    ``pixels`` is uint8 [n, height, width, 3], ``codes`` [n] the class of each. With a
    ``shuffle_seed`` every pass has an order of its own, the same for the same seed.
    """
    generator = None if shuffle_seed is None else np.random.default_rng(shuffle_seed)

    def one_pass() -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
        order = rows if generator is None else generator.permutation(rows)
        for start in range(0, len(order), batch_size):
            batch = np.sort(order[start : start + batch_size])  # in file order: fewer page faults
            yield np.asarray(pixels[batch]), codes[batch]

    signature = (
        tf.TensorSpec((None, *pixels.shape[1:]), tf.uint8),
        tf.TensorSpec((None,), tf.int64),
    )
    steps = -(-len(rows) // batch_size)
    return (
        tf.data.Dataset.from_generator(one_pass, output_signature=signature)
        # Keras warns when a data set of unknown length ends.
        .apply(tf.data.experimental.assert_cardinality(steps))
        .prefetch(_PREFETCHED_BATCHES)
    )
