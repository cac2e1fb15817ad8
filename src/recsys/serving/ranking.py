"""From the closest products to the best answer: one of a group, boosted, unlike one another.

An answer is defined without regard to how the search goes about it:

1. Of the products that may be shown, the closest come first, ties by row. Those below
   ``min_score`` are dropped.
2. With ``collapse``, products that show the same picture are a group; else each is one of
   its own. The product asked about is in none: the best that shows its picture is shown.
3. With boosts or diversity, the candidates are the products before the first one of the
   group that would be one too many (``candidates_per_result`` for each place asked for).
   They are sorted by their boosted score, ties by row. Of each group the best stays.
4. With diversity, the next is always the one with the highest ``(1 - diversity) * boosted
   score - diversity * likeness``, where likeness is the highest cosine to those already
   taken, 0 at least (maximal marginal relevance, Carbonell and Goldstein 1998); ties in the
   order of step 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.serving.requests import Quality

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
# [n] rows, [n] their cosines → [n] what is added to them.
Boost = Callable[[Rows], Scores]
# [n] rows → [n, dimension] float32, unit norm.
VectorsOf = Callable[[Rows], npt.NDArray[np.float32]]

# A float32 cosine is good to about seven digits.
SCORE_DIGITS: Final = 6


@dataclass(frozen=True)
class Ranked:
    """The products of one answer, best first.

    Attributes
    ----------
    rows
        [m] their rows.
    scores
        [m] their cosines.
    rank_scores
        [m] what they were ranked by, descending.
    likeness
        [m] the highest cosine to those before it, 0 at least; None without diversity.
    """

    rows: Rows
    scores: Scores
    rank_scores: Scores
    likeness: Scores | None = None


@dataclass(frozen=True)
class Found:
    """What a search found of one query: rows by score descending, ties by row.

    ``complete`` when nothing else may be shown.
    """

    rows: Rows
    scores: Scores
    complete: bool


def told(scores: Scores) -> Scores:
    """Cosines as an answer tells them, and as ``min_score`` sees them: six digits, -1 to 1."""
    return np.clip(scores, -1, 1).round(SCORE_DIGITS)


def closest(
    neighbours: Sequence[tuple[int, float]],
    k: int,
    quality: Quality,
    groups: npt.NDArray[np.int32] | None,
    *,
    complete: bool,
) -> Ranked | None:
    """What `candidates` and `rank` make of neighbours that nothing reorders, in one go.

    Parameters
    ----------
    neighbours
        (row, cosine), as a search gives them.
    complete
        Whether nothing else may be shown.

    Most requests are such, and few numbers are sooner looked at one by one.
    """
    rows: list[int] = []
    scores: list[float] = []
    seen: set[int] = set()
    bounded = quality.min_score > -1
    for row, score in neighbours:
        if bounded and told_one(score) < quality.min_score:
            complete = True
            break
        if groups is not None:
            group = int(groups[row])
            if group in seen:
                continue
            seen.add(group)
        rows.append(row)
        scores.append(score)
        if len(rows) == k:
            complete = True
            break
    if not complete:
        return None
    found = np.array(scores)
    return Ranked(np.array(rows, np.int64), found, found)


def told_one(score: float) -> float:
    """As `told`, of one."""
    return round(min(max(score, -1.0), 1.0) * 10**SCORE_DIGITS) / 10**SCORE_DIGITS


def candidates(
    found: Found,
    k: int,
    quality: Quality,
    groups: npt.NDArray[np.int32] | None,
) -> Found | None:
    """The found products among which the answer is chosen; None when too few were looked at.

    Parameters
    ----------
    k
        How many products are asked for.
    groups
        [n_products] the group of every product; None when each is one of its own, or when
        they are not to be collapsed.
    """
    close = told(found.scores) >= quality.min_score
    complete = found.complete or not close.all()
    rows, scores = found.rows[close], found.scores[close]
    group = rows if groups is None else groups[rows]
    wanted = k * quality.candidates_per_result if quality.reorders else k
    firsts = np.sort(np.unique(group, return_index=True)[1])
    if len(firsts) > wanted:
        end = firsts[wanted]
        return Found(rows[:end], scores[:end], complete=False)
    # Of exactly as many groups, others may follow, and one of those be boosted.
    enough = len(firsts) == wanted and not (quality.boost and groups is not None)
    return Found(rows, scores, complete) if complete or enough else None


def rank(
    chosen: Found,
    k: int,
    quality: Quality,
    groups: npt.NDArray[np.int32] | None,
    boost: Boost,
    vectors_of: VectorsOf,
) -> Ranked:
    """The ``k`` best of the candidates.

    Parameters
    ----------
    boost
        Gives what is added to the score of each row.
    vectors_of
        Gives the vectors of rows.
    """
    relevance = chosen.scores + boost(chosen.rows) if quality.boost else chosen.scores
    order = np.lexsort((chosen.rows, -relevance))
    if groups is not None:
        firsts = np.unique(groups[chosen.rows[order]], return_index=True)[1]
        order = order[np.sort(firsts)]
    rows, scores, relevance = chosen.rows[order], chosen.scores[order], relevance[order]
    if quality.diversity == 0:
        return Ranked(rows[:k], scores[:k], relevance[:k])
    taken, rank_scores, likeness = _diverse(vectors_of(rows), relevance, k, quality.diversity)
    return Ranked(rows[taken], scores[taken], rank_scores, likeness)


def _diverse(
    vectors: npt.NDArray[np.float32], relevance: Scores, k: int, diversity: float
) -> tuple[Rows, Scores, Scores]:
    """The places that are taken one after another, what each was taken for, and its likeness."""
    likeness = np.zeros(len(vectors))
    waiting = np.ones(len(vectors), bool)
    taken: list[int] = []
    worth: list[float] = []
    alike: list[float] = []
    for _ in range(min(k, len(vectors))):
        marginal = (1 - diversity) * relevance - diversity * likeness
        best = int(np.argmax(np.where(waiting, marginal, -np.inf)))
        taken.append(best)
        worth.append(float(marginal[best]))
        alike.append(float(likeness[best]))
        waiting[best] = False
        # Row by row, as in the search: identical products must tie.
        likeness = np.maximum(likeness, (vectors * vectors[best]).sum(axis=1, dtype=np.float32))
    return np.array(taken, np.int64), np.array(worth), np.array(alike)
