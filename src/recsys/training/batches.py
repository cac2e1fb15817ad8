"""Feed a memory map to TensorFlow in batches, without ever holding it as floats.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from recsys.training.heads import Head

_PREFETCHED_BATCHES = 2

Rows = npt.NDArray[np.int64]
_Batch = tuple[npt.NDArray[np.uint8], tuple[Rows, ...], tuple[npt.NDArray[np.float32], ...]]


@dataclass(frozen=True)
class Augmentation:
    """How pictures come in training: in another order every pass, mirrored by chance and moved.

    ``shift`` is by how many pixels at most, either way; what comes in is the edge again.
    ``balance`` above 0 draws with replacement: 1 takes every class of the first head equally
    often. The same ``seed`` gives the same pictures.
    """

    seed: int
    shift: int = 0
    balance: float = 0.0


def batches(
    pixels: npt.NDArray[np.uint8],
    heads: Sequence[Head],
    rows: Rows,
    batch_size: int,
    *,
    augmented: Augmentation | None = None,
) -> Any:
    """A ``tf.data.Dataset`` over ``rows``: pictures, and a class and a weight for every head.

    ``pixels`` is uint8 [n, height, width, 3]. An element is (uint8 [b, height, width, 3],
    int64 [b] a head, float32 [b] a head); the weight is 0 where the class is not known.
    Without an augmentation the rows come as they are, in their order.
    """
    generator = None if augmented is None else np.random.default_rng(augmented.seed)
    chances = None if augmented is None else _chances(heads[0].codes[rows], augmented.balance)

    def one_pass() -> Iterator[_Batch]:
        order = _order(rows, generator, chances)
        for start in range(0, len(order), batch_size):
            batch = np.sort(order[start : start + batch_size])  # in file order: fewer page faults
            yield (
                np.asarray(pixels[batch])
                if augmented is None or generator is None
                else _moved(pixels, batch, augmented.shift, generator),
                tuple(head.codes[batch].clip(min=0) for head in heads),
                tuple(head.known[batch].astype(np.float32) for head in heads),
            )

    signature = (
        tf.TensorSpec((None, *pixels.shape[1:]), tf.uint8),
        tuple(tf.TensorSpec((None,), tf.int64) for _ in heads),
        tuple(tf.TensorSpec((None,), tf.float32) for _ in heads),
    )
    steps = -(-len(rows) // batch_size)
    return (
        tf.data.Dataset.from_generator(one_pass, output_signature=signature)
        # Keras warns when a data set of unknown length ends.
        .apply(tf.data.experimental.assert_cardinality(steps))
        .prefetch(_PREFETCHED_BATCHES)
    )


def _moved(
    pixels: npt.NDArray[np.uint8], batch: Rows, shift: int, generator: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """The rows of a batch, each mirrored by chance and moved, in one pass over the map."""
    height, width = pixels.shape[1:3]
    down, right = generator.integers(-shift, shift, (2, len(batch), 1), endpoint=True)
    mirrored = generator.random((len(batch), 1)) < 0.5
    lines = (np.arange(height) + down).clip(0, height - 1)
    columns = (np.arange(width) + right).clip(0, width - 1)
    columns = np.where(mirrored, columns[:, ::-1], columns)
    moved: npt.NDArray[np.uint8] = pixels[
        batch[:, None, None], lines[:, :, None], columns[:, None, :]
    ]
    return moved


def _order(
    rows: Rows, generator: np.random.Generator | None, chances: npt.NDArray[np.float64] | None
) -> Rows:
    if generator is None:
        return rows
    if chances is None:
        return generator.permutation(rows)
    return generator.choice(rows, len(rows), p=chances)


def _chances(codes: Rows, balance: float) -> npt.NDArray[np.float64] | None:
    """Of each row to be drawn; its class's share to the power of ``1 - balance``, spread evenly."""
    if balance == 0:
        return None
    _, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    weights = counts.astype(np.float64)[inverse] ** -balance
    chances: npt.NDArray[np.float64] = weights / weights.sum()
    return chances
