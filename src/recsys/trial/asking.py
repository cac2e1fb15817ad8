"""Ask a candidate release and the live one the same questions, by turns."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final, Literal

import httpx

from recsys import names
from recsys.errors import ServiceUnavailable

Kind = Literal["id", "image"]
# As the purpose of a question: a shopper's; one about a product of tonight's catalog, or its
# picture; and one that chooses among products drawn at random.
Purpose = Literal["recent", "product", "picture", "among"]
_REPEATS: Final = 3
_TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Question:
    """One query; ``product`` is what it is about, None of a shopper's own picture."""

    query: dict[str, Any]
    purpose: Purpose
    product: str | None

    @property
    def kind(self) -> Kind:
        """What has to be computed for it."""
        return "image" if "image" in self.query else "id"


@dataclass(frozen=True)
class Reply:
    """An answer: status, products with their cosines, and the least time of some repeats."""

    status_code: int
    milliseconds: float
    products: tuple[str, ...]
    scores: tuple[float, ...]
    underfilled: bool

    @property
    def answered(self) -> bool:
        """Whether there is an answer at all."""
        return self.status_code == HTTPStatus.OK


@dataclass(frozen=True)
class Pair:
    """What the candidate and the live release (if there is one) made of a question."""

    question: Question
    candidate: Reply
    live: Reply | None


def recent_questions(bodies: Sequence[dict[str, Any]], most: int) -> list[Question]:
    """The queries of a sample of real requests, each alone."""
    found = []
    for body in bodies:
        data = body.get("jsonData") or {"image": body.get("binData")}
        for query in data.get("queries", [data]):
            found.append(Question(query, "recent", query.get("product_id")))
    return found[:most]


def ask_both(
    questions: Sequence[Question],
    candidate_url: str,
    live_url: str | None,
    headers: Mapping[str, str],
) -> list[Pair]:
    """Every question to both, with these headers, in turns, so that noise hits both alike.

    The first round warms up; of the others the least time counts, since what disturbs a
    measurement only ever adds to it.

    Raises
    ------
    ServiceUnavailable
        One of them stopped answering.
    """
    pairs: list[Pair] = []
    with httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False, headers=headers) as client:
        for turn in range(_REPEATS + 1):
            for place, question in enumerate(questions):
                urls = [candidate_url, live_url]
                if (turn + place) % 2:
                    urls.reverse()
                replies = {url: _ask(client, url, question) for url in urls if url}
                pair = Pair(
                    question,
                    replies[candidate_url],
                    None if live_url is None else replies[live_url],
                )
                if turn == 0:
                    continue
                if turn == 1:
                    pairs.append(pair)
                else:
                    pairs[place] = _faster(pairs[place], pair)
    return pairs


def _faster(one: Pair, other: Pair) -> Pair:
    """The pair with the least times of both; a reply that failed once has failed."""
    return Pair(
        one.question,
        _least(one.candidate, other.candidate),
        None if one.live is None or other.live is None else _least(one.live, other.live),
    )


def _least(one: Reply, other: Reply) -> Reply:
    worse = other if one.answered else one
    return replace(worse, milliseconds=min(one.milliseconds, other.milliseconds))


def _ask(client: httpx.Client, url: str, question: Question) -> Reply:
    # No report counts it as a shopper's.
    puid = names.PROBE_PUID + secrets.token_hex(8)
    begun = time.perf_counter()
    try:
        response = client.post(url, json={"jsonData": question.query, "meta": {"puid": puid}})
    except httpx.HTTPError as error:
        raise ServiceUnavailable(f"a shadow at {url} stopped answering ({error!r})") from error
    milliseconds = (time.perf_counter() - begun) * 1000
    data = response.json().get("jsonData", {}) if response.status_code == HTTPStatus.OK else {}
    results = data.get("results", [])
    return Reply(
        response.status_code,
        milliseconds,
        tuple(result["product_id"] for result in results),
        tuple(float(result["score"]) for result in results),
        bool(data.get("underfilled", False)),
    )
