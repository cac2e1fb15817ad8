"""A candidate's answers beside the live release's, as one row for the gate `shadow`.

Only what is wrong under any honest model is meant for severe thresholds: a newly trained
model rightly gives other neighbours and other scores, a new catalog rightly lacks products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import numpy as np

from recsys.trial.asking import Kind, Pair, Reply

_K: Final = 10
# Below this, being several times slower is the noise of a busy machine and hurts nobody.
_FLOOR_MS: Final[Mapping[str, float]] = {"p50": 5.0, "p90": 15.0}
# A picture of the catalog against its own vector: 1, less what an index rounds away.
_OWN_SCORE: Final = 0.99
# What a figure is where candidate and live release do not differ.
_ALIKE: Final[Mapping[str, float]] = {
    "underfilled_rise": 0.0,
    "contrast_ratio": 1.0,
    "purity_change": 0.0,
    "overlap_at_10": 1.0,
    "top_score_shift": 0.0,
    "top_score_distance": 0.0,
    "same_model_overlap_at_10": 1.0,
    "same_model_top_score_shift": 0.0,
    **{f"{kind}_{name}_slowdown": 1.0 for kind in ("id", "image") for name in _FLOOR_MS},
}


def shadow_figures(
    pairs: Sequence[Pair],
    types: Mapping[str, str],
    candidate_holds: Collection[str],
    live_holds: Collection[str],
    *,
    same_model: bool,
) -> dict[str, float]:
    """The figures of one trial.

    Parameters
    ----------
    types
        Article type of every product of tonight's catalog; what is not there is rightly gone.
    candidate_holds, live_holds
        The products of the two releases.
    same_model
        Whether both have one model: then products that both hold keep their scores and order.

    Returns
    -------
    dict
        ``questions``, and how many of them are ``recent`` shoppers'. ``failed_share`` ended in
        an error that the live release did not have. ``lost_share`` of the products asked about
        that are in tonight's catalog are unknown. ``empty_share`` of the answers hold nothing
        where the live one's do; ``underfilled_rise`` is the difference of the shares that hold
        fewer than asked for. ``<kind>_<percentile>_ms``, and ``…_slowdown`` as a multiple of the
        live one's, or of a floor if that is more. ``own_picture_share`` of the catalog's pictures
        find their own vector. ``contrast``: by how much the closest product is closer than
        products drawn at random, in cosine; ``contrast_ratio`` over the live one's.
        ``purity`` of results have the type of what was asked about. ``overlap_at_10``,
        ``top_score_shift`` and ``top_score_distance`` (Kolmogorov-Smirnov) compare answers, the
        first among products that both hold; ``same_model_…`` are these if the model is the same.

        What compares has the value of no difference where there is nothing to compare with; any
        other figure of nothing is NaN.
    """
    both = frozenset(candidate_holds) & frozenset(live_holds)
    asked = [pair for pair in pairs if pair.question.purpose != "among"]
    overlap = _mean([_overlap(pair, both) for pair in asked])
    shift = _difference(asked, lambda reply: max(reply.scores, default=math.nan))
    figures = {
        "questions": float(len(asked)),
        "recent": float(sum(pair.question.purpose == "recent" for pair in asked)),
        "failed_share": _mean([_failed(pair) for pair in asked]),
        "lost_share": _mean([_lost(pair) for pair in asked if pair.question.product in types]),
        "empty_share": _mean([_empty(pair) for pair in asked if pair.candidate.answered]),
        "underfilled_rise": _difference(asked, lambda reply: float(reply.underfilled)),
        "own_picture_share": _mean(
            [_finds_itself(pair.candidate) for pair in asked if pair.question.purpose == "picture"]
        ),
        **_contrasts(pairs),
        "purity": _mean([_purity(pair, pair.candidate, types) for pair in asked]),
        "purity_change": _mean(
            [
                _purity(pair, pair.candidate, types) - _purity(pair, pair.live, types)
                for pair in asked
                if pair.live is not None
            ]
        ),
        "overlap_at_10": overlap,
        "top_score_shift": shift,
        "top_score_distance": _score_distance(asked),
        "same_model_overlap_at_10": overlap if same_model else math.nan,
        "same_model_top_score_shift": shift if same_model else math.nan,
    }
    for kind in ("id", "image"):
        figures |= _latency(asked, kind)
    return {
        name: round(_ALIKE.get(name, value) if math.isnan(value) else value, 6)
        for name, value in figures.items()
    }


def _failed(pair: Pair) -> float:
    """An error beyond "no such product", where the live release has none."""
    live_failed = pair.live is not None and pair.live.status_code not in (
        HTTPStatus.OK,
        HTTPStatus.NOT_FOUND,
    )
    fine = pair.candidate.status_code in (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
    return float(not fine and not live_failed)


def _lost(pair: Pair) -> float:
    return float(pair.candidate.status_code == HTTPStatus.NOT_FOUND)


def _empty(pair: Pair) -> float:
    live_has_some = pair.live is None or bool(pair.live.products)
    return float(not pair.candidate.products and live_has_some)


def _finds_itself(reply: Reply) -> float:
    return float(max(reply.scores, default=-1.0) >= _OWN_SCORE)


def _contrasts(pairs: Sequence[Pair]) -> dict[str, float]:
    candidate = _contrast([(pair, pair.candidate) for pair in pairs])
    live = _contrast([(pair, pair.live) for pair in pairs if pair.live is not None])
    return {"contrast": candidate, "contrast_ratio": candidate / live if live > 0 else math.nan}


def _contrast(replies: Sequence[tuple[Pair, Reply]]) -> float:
    closest = _mean(
        [
            max(reply.scores)
            for pair, reply in replies
            if pair.question.purpose == "product" and reply.scores
        ]
    )
    anyone = _mean(
        [
            float(np.mean(reply.scores))
            for pair, reply in replies
            if pair.question.purpose == "among" and reply.scores
        ]
    )
    return closest - anyone


def _purity(pair: Pair, reply: Reply | None, types: Mapping[str, str]) -> float:
    wanted = types.get(pair.question.product or "")
    shown = [] if reply is None else [types[item] for item in reply.products[:_K] if item in types]
    return float(np.mean([item == wanted for item in shown])) if wanted and shown else math.nan


def _overlap(pair: Pair, both: Collection[str]) -> float:
    if pair.live is None:
        return math.nan
    shown, before = (
        [product for product in reply.products[:_K] if product in both]
        for reply in (pair.candidate, pair.live)
    )
    most = min(len(shown), len(before))
    return len(set(shown) & set(before)) / most if most else math.nan


def _score_distance(pairs: Sequence[Pair]) -> float:
    tops = [
        (max(pair.candidate.scores), max(pair.live.scores))
        for pair in pairs
        if pair.live is not None and pair.live.scores and pair.candidate.scores
    ]
    if not tops:
        return math.nan
    candidate, live = np.sort(np.array(tops), axis=0).T
    at = np.concatenate([candidate, live])
    below = [np.searchsorted(scores, at, side="right") for scores in (candidate, live)]
    return float(np.max(np.abs(below[0] - below[1]))) / len(tops)


def _latency(pairs: Sequence[Pair], kind: Kind) -> dict[str, float]:
    asked = [pair for pair in pairs if pair.question.kind == kind and pair.candidate.answered]
    compared = [pair for pair in asked if pair.live is not None and pair.live.answered]
    figures = {}
    for name, floor in _FLOOR_MS.items():
        share = int(name[1:])
        took = _percentile([pair.candidate.milliseconds for pair in asked], share)
        beside = _percentile([pair.candidate.milliseconds for pair in compared], share)
        before = _percentile([pair.live.milliseconds for pair in compared if pair.live], share)
        figures[f"{kind}_{name}_ms"] = took
        figures[f"{kind}_{name}_slowdown"] = beside / max(before, floor)
    return figures


def _difference(pairs: Sequence[Pair], of: Callable[[Reply], float]) -> float:
    """Mean over what both answered, candidate less live."""
    return _mean(
        [
            of(pair.candidate) - of(pair.live)
            for pair in pairs
            if pair.live is not None and pair.live.answered and pair.candidate.answered
        ]
    )


def _percentile(values: Sequence[float], share: int) -> float:
    return float(np.percentile(values, share)) if values else math.nan


def _mean(values: Sequence[float]) -> float:
    """Of the values that are there; NaN of none."""
    there = [value for value in values if not math.isnan(value)]
    return float(np.mean(there)) if there else math.nan
