"""Ask the REST service which products look like one, from Python.

    with Recommender() as recommender:
        for product in recommender.similar(product_id="10010", k=5).products:
            print(product.score, product.name)

A question changes nothing, so one that failed on the way, or that the service was too busy
for, is asked again: after the pause that the service names, else after longer and longer ones.
Needs httpx and tenacity, and nothing else of this package but its errors.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from recsys.errors import OutsideFailed, ProductUnknown, QueryRejected, ServiceUnavailable

DEFAULT_URL: Final = "http://127.0.0.1:9000/api/v1.0/predictions"
# What a proxy or the service says when asking again may help.
_PASSING: Final = (
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.BAD_GATEWAY,
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
)
# What the service gives as the reason when a question is wrong.
_OUR_REASON: Final = "BAD_QUERY"
_LONGEST_PAUSE_SECONDS: Final = 10.0
_SHOWN_CHARACTERS: Final = 300


@dataclass(frozen=True, kw_only=True)
class Question:
    """Products like ``product_id``, or like the picture file whose bytes are ``image``.

    Give one of the two. What is None is as the service's settings say; the other fields are
    those of a query in ``seldon/README.md``.
    """

    product_id: str | None = None
    image: bytes | None = None
    k: int | None = None
    where: Mapping[str, Any] | None = None
    only: Sequence[str] | None = None
    exclude: Sequence[str] | None = None
    collapse: bool | None = None
    min_score: float | None = None
    diversity: float | None = None
    boost: Mapping[str, Mapping[str, float]] | None = None
    explain: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """The query as the service takes it."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        if self.image is not None:
            said["image"] = base64.b64encode(self.image).decode()
        for ids in ("only", "exclude"):
            if ids in said:
                said[ids] = list(said[ids])
        return said


@dataclass(frozen=True)
class Explanation:
    """Why a product was recommended, and stands where it does.

    Attributes
    ----------
    cosine, boost, diversity
        What it was ranked by is the sum of these: its closeness, what a boost added, and what
        its likeness to the products before it took away.
    likeness
        The highest cosine to a product before it, 0 at least; None when no diversity was
        asked for.
    picture_products
        How many products show its picture, itself included.
    same_picture
        Whether it shows the picture of the product asked about; None when a picture was.
    shared_attributes
        The attributes it has in common with the product asked about.
    """

    cosine: float
    boost: float
    diversity: float
    likeness: float | None
    picture_products: int
    same_picture: bool | None
    shared_attributes: Mapping[str, str]


@dataclass(frozen=True)
class Product:
    """One recommendation; ``score`` is a cosine, ``rank_score`` what it was ranked by.

    ``part`` says where it was found: in the ``release``, or in the ``tail`` of what changed
    since the night. ``explanation`` stands there when the question asked to ``explain``.
    """

    product_id: str
    score: float
    rank_score: float
    name: str
    attributes: Mapping[str, str]
    part: str
    explanation: Explanation | None = None


@dataclass(frozen=True)
class Recommendations:
    """The products for one question, closest first, and what they were made of.

    ``underfilled`` when there are fewer than asked for; ``unknown_products`` are ids to choose
    among that the release does not have. ``changes`` is the number of the last change between
    nights that was taken account of, 0 for none. ``recsys trace PUID`` finds the answer again.
    """

    products: tuple[Product, ...]
    underfilled: bool
    unknown_products: tuple[str, ...]
    release: str
    changes: int
    puid: str


class Recommender:
    """The service at ``url``; close it, or use it in a ``with``. Safe in several threads.

    Parameters
    ----------
    url
        Of its predictions.
    token
        Sent as a bearer token, where the service (RECSYS_SERVING_TOKEN) or a proxy asks for one.
    timeout_seconds
        How long one attempt may take.
    attempts
        How often a question is asked at most.
    longest_pause_seconds
        Between two attempts, whatever the service asks for.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        timeout_seconds: float = 30.0,
        attempts: int = 4,
        longest_pause_seconds: float = _LONGEST_PAUSE_SECONDS,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._url = url
        self._http = httpx.Client(timeout=timeout_seconds, headers=headers)
        self._longest_pause = longest_pause_seconds
        self._growing_pause = wait_random_exponential(0.2, longest_pause_seconds)
        self._asking = Retrying(
            stop=stop_after_attempt(attempts),
            wait=self._pause,
            retry=retry_if_exception_type((httpx.TransportError, _Busy)),
            reraise=True,
        )

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def similar(
        self, *, product_id: str | None = None, image: bytes | None = None, **options: Any
    ) -> Recommendations:
        """Products like one: a `Question` by its fields, and its answer.

        Raises
        ------
        ProductUnknown
            The live release does not have the product.
        QueryRejected
            The service does not take the question; says what is allowed.
        ServiceUnavailable
            Nothing answers, or no release is live, at the last attempt either.
        OutsideFailed
            It answered otherwise than a service of ours does.
        """
        question = Question(product_id=product_id, image=image, **options)
        (found,) = self._read(self.predict(question.as_json()), lambda data: [data])
        return found

    def answer(self, questions: Sequence[Question]) -> list[Recommendations]:
        """The answers to several questions, from one request and so from one release.

        Raises
        ------
            As `similar` does; one wrong question refuses all.
        """
        message = self.predict({"queries": [question.as_json() for question in questions]})
        return self._read(message, lambda data: data["answers"])

    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The whole Seldon message that answers ``data``, a request's ``jsonData``.

        Raises
        ------
            As `similar` does.
        """
        try:
            return self._asking(self._once, data)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"nothing answers at {self._url} ({error}); start it with `make up`"
            ) from error
        except _Busy as busy:
            raise ServiceUnavailable(str(busy)) from busy

    def _read(
        self, message: Mapping[str, Any], answers: Callable[[Any], Iterable[Any]]
    ) -> list[Recommendations]:
        try:
            puid = message["meta"]["puid"]
            return [_recommendations(data, puid) for data in answers(message["jsonData"])]
        except (KeyError, TypeError) as error:
            raise OutsideFailed(f"{self._url} gave an answer of another form: {error!r}") from error

    def _once(self, data: Mapping[str, Any]) -> dict[str, Any]:
        response = self._http.post(self._url, json={"jsonData": data})
        message = _object(response)
        if response.status_code == httpx.codes.OK and isinstance(message.get("jsonData"), dict):
            return message
        status = message.get("status")
        status = status if isinstance(status, dict) else {}
        said = status.get("info") or response.text[:_SHOWN_CHARACTERS]
        if response.status_code in _PASSING:
            raise _Busy(f"{self._url} says {response.status_code}: {said}", _seconds(response))
        if status.get("reason") == _OUR_REASON:  # a proxy has a 404 of its own
            unknown = response.status_code == ProductUnknown.status_code
            raise ProductUnknown(said) if unknown else QueryRejected(said)
        raise OutsideFailed(f"{self._url} answered {response.status_code}: {said}")

    def _pause(self, state: RetryCallState) -> float:
        failed = state.outcome.exception() if state.outcome is not None else None
        if isinstance(failed, _Busy) and failed.seconds is not None:
            return min(failed.seconds, self._longest_pause)
        return self._growing_pause(state)


class _Busy(Exception):
    """The service cannot answer now; ``seconds`` is when to ask again, if it said so."""

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(response: httpx.Response) -> float | None:
    """``Retry-After`` in seconds; its other form, a date, is not one of our service."""
    said = response.headers.get("Retry-After", "")
    return float(said) if said.isascii() and said.isdigit() else None


def _recommendations(data: Mapping[str, Any], puid: str) -> Recommendations:
    products = tuple(
        Product(
            product_id=result["product_id"],
            score=result["score"],
            rank_score=result.get("rank_score", result["score"]),
            name=result["name"],
            attributes=result["attributes"],
            part=result["part"],
            explanation=_explanation(result.get("explanation")),
        )
        for result in data["results"]
    )
    return Recommendations(
        products,
        bool(data.get("underfilled", False)),
        tuple(data.get("unknown_products", ())),
        data["release"],
        data["changes"],
        puid,
    )


def _explanation(said: Mapping[str, Any] | None) -> Explanation | None:
    if said is None:
        return None
    return Explanation(
        said["cosine"],
        said["boost"],
        said["diversity"],
        said.get("likeness"),
        said["picture_products"],
        said.get("same_picture"),
        said.get("shared_attributes", {}),
    )
