"""What must never be wrong with vectors, whatever the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_COLLAPSED_BELOW = 1e-4


def embedding_health(vectors: npt.NDArray[np.float32]) -> dict[str, float]:
    """Figures of [n, dimension] float32 vectors that should have unit norm.

    embedding_nan_share (share of rows with a value that is not finite),
    embedding_norm_error (largest ``|norm - 1|``) and collapsed_dimension_share (share of
    dimensions whose standard deviation is below 1e-4): lower is better, 0 is perfect.
    effective_rank: how many directions the vectors use, from 1 to ``dimension``, the
    exponential of the entropy of the singular values of the centred vectors (Roy and
    Vetterli, 2007); 0 when there is no sound vector.
    """
    matrix = np.asarray(vectors)
    finite = np.isfinite(matrix).all(axis=1)
    sound = matrix if finite.all() else matrix[finite]
    if len(sound) == 0:
        return {
            "embedding_nan_share": 1.0,
            "embedding_norm_error": 1.0,
            "collapsed_dimension_share": 1.0,
            "effective_rank": 0.0,
        }
    norms = np.linalg.norm(sound, axis=1)
    return {
        "embedding_nan_share": float(1 - finite.mean()),
        "embedding_norm_error": float(np.abs(norms - 1).max()),
        "collapsed_dimension_share": float((sound.std(axis=0) < _COLLAPSED_BELOW).mean()),
        "effective_rank": _effective_rank(sound),
    }


def _effective_rank(vectors: npt.NDArray[np.float32]) -> float:
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    # The singular values are the roots of the small covariance matrix' eigenvalues.
    singular = np.sqrt(np.linalg.eigvalsh(centred.T @ centred).clip(min=0))
    if singular.sum() == 0:
        return 1.0
    shares = singular / singular.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def largest_duplicate_distance(
    vectors: npt.NDArray[np.float32], pictures: Sequence[str]
) -> dict[str, float]:
    """duplicate_max_distance: how far products with the very same pixels lie apart.

    Euclidean, 0 when no picture stands twice; above rounding, the model's answer depends on
    something other than the picture.

    Parameters
    ----------
    vectors
        [n, dimension] float32.
    pictures
        [n] the digest of each product's pixels.
    """
    _, first, which = np.unique(
        np.asarray(pictures, dtype=str), return_index=True, return_inverse=True
    )
    rows = np.flatnonzero(first[which] != np.arange(len(which)))
    if len(rows) == 0:
        return {"duplicate_max_distance": 0.0}
    matrix = np.asarray(vectors)
    apart = np.linalg.norm(matrix[rows] - matrix[first[which[rows]]], axis=1)
    # A vector that is not finite is counted as such elsewhere.
    return {"duplicate_max_distance": float(np.nan_to_num(apart, nan=2.0).max())}
