"""What a product's label should be, said by models that were not shown that product's label.

A model that was trained on a wrong label half believes it. So every product is judged by
light models that were fitted without it: a linear one on the picture's embedding and, where
there are titles, one on the words of the title.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.errors import BadInput

# The embedder's own classifier multiplies unit vectors by as much before its softmax.
_COSINE_SCALE: Final = 16.0
# Stopped early on purpose: more steps cost time, and fit the wrong labels better.
_STEPS: Final = 30
# Words are hashed, so that junk titles cannot grow the model.
_WORD_BUCKETS: Final = 2**15
_WORD: Final = r"[A-Za-z][A-Za-z-]+"
_WORD_SMOOTHING: Final = 0.1
# Neither model may rule a class out all alone.
_LEAST: Final = 1e-4

_Floats = npt.NDArray[np.float32]
_Codes = npt.NDArray[np.int64]


def cross_fitted_probabilities(
    vectors: npt.NDArray[np.float32],
    labels: Sequence[str],
    groups: Sequence[str],
    titles: Sequence[str] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """Probabilities of every product's label, each from models fitted on other groups only.

    The picture's model is a softmax regression on ``vectors``, the title's a multinomial
    naive Bayes on its words; their probabilities are multiplied and scaled to 1, as if
    picture and title were independent. The embedding itself may have been trained on the
    labels; `benchmarks/label_noise.py` measures what that costs.

    Parameters
    ----------
    vectors
        float32 [n, dim], unit norm.
    labels
        [n] labels as given, right or wrong.
    groups
        [n] the group of duplicates of each product; a group is never parted, so that no
        product is vouched for by its own picture.
    titles
        [n] product titles, or None to judge by the pictures alone.
    folds
        How many parts to cut the groups into; each is judged by models of all others.
    seed
        Seed of the cut.

    Returns
    -------
    classes, probabilities
        Labels of two groups or more, sorted, and float32 [n, classes] whose rows sum to 1.
        Products of rarer labels are judged too, by models that never saw their label.

    Raises
    ------
    BadInput
        Lengths do not fit, fewer than two folds, or fewer than two such labels.
    """
    rows = len(vectors)
    for name, values in (("labels", labels), ("groups", groups), ("titles", titles)):
        if values is not None and len(values) != rows:
            raise BadInput(f"label check: {len(values)} {name} for {rows} vectors")
    if folds < 2:
        raise BadInput(f"label check: {folds} folds; at least 2, one to judge and one to learn")
    classes, codes, fold_of = _deal(np.asarray(labels, str), np.asarray(groups, str), folds, seed)
    features: list[tuple[Any, Any]] = [(_picture_model, np.asarray(vectors) * _COSINE_SCALE)]
    if titles is not None:
        features.append((_title_model, _words(titles)))
    probabilities = np.zeros((rows, len(classes)), np.float32)
    with _one_thread():
        for learn, judge in _cuts(codes, fold_of, folds):
            parts = [make(values[learn], codes[learn])(values[judge]) for make, values in features]
            probabilities[judge] = _multiplied(parts)
    return classes, probabilities


def _one_thread() -> Any:
    """A block whose matrix products keep to one thread.

    Learning takes many and small ones. Several threads mostly wait for one another, which costs
    many times the CPU seconds on a busy machine, and add up in another order: other last digits.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def _deal(
    labels: npt.NDArray[np.str_], groups: npt.NDArray[np.str_], folds: int, seed: int
) -> tuple[tuple[str, ...], _Codes, _Codes]:
    """(classes, [n] code of each label or -1, [n] fold).

    Groups are dealt round label by label, a group's label being that of its first row, so
    that every class is in every part that models learn from.
    """
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    names, counts = np.unique(labels[first], return_counts=True)
    classes = names[counts >= 2]
    if len(classes) < 2:
        raise BadInput(
            f"label check: {len(classes)} labels have two pictures or more; at least two are"
            " needed to tell them apart"
        )
    shuffled = np.random.default_rng(seed).permutation(len(first))
    order = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % folds
    codes = np.searchsorted(classes, labels).clip(max=len(classes) - 1).astype(np.int64)
    codes[classes[codes] != labels] = -1
    return tuple(map(str, classes)), codes, fold[group_of]


def _cuts(codes: _Codes, fold_of: _Codes, folds: int) -> Iterator[tuple[_Codes, _Codes]]:
    """(rows to learn from, rows to judge) of each fold that has any."""
    for fold in range(folds):
        judge = np.flatnonzero(fold_of == fold)
        if len(judge):
            yield np.flatnonzero((fold_of != fold) & (codes >= 0)), judge


def _picture_model(vectors: _Floats, codes: _Codes) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # meant: see _STEPS
        return LogisticRegression(max_iter=_STEPS, tol=1e-3).fit(vectors, codes).predict_proba


def _title_model(words: Any, codes: _Codes) -> Any:
    from sklearn.naive_bayes import MultinomialNB

    return MultinomialNB(alpha=_WORD_SMOOTHING).fit(words, codes).predict_proba


def _words(titles: Sequence[str]) -> Any:
    """Sparse [n, buckets]: which words each title holds."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        n_features=_WORD_BUCKETS,
        binary=True,
        norm=None,
        alternate_sign=False,
        token_pattern=_WORD,
    )
    return vectorizer.transform([str(title) for title in titles])


def _multiplied(parts: Sequence[npt.NDArray[Any]]) -> _Floats:
    if len(parts) == 1:
        return np.asarray(parts[0], np.float32)
    product = np.prod([np.asarray(part, np.float64) + _LEAST for part in parts], axis=0)
    scaled: _Floats = (product / product.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled
