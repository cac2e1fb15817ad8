"""A prediction, from message to message: parse, answer with one release, log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from recsys import names
from recsys.artifacts.digests import sha256_bytes
from recsys.errors import QueryRejected, ServiceUnavailable
from recsys.serving.engine import Answer, ServingRelease
from recsys.serving.live import LiveRelease
from recsys.serving.request_log import RequestLine, RequestLog, utc_now
from recsys.serving.requests import (
    PredictionRequest,
    Query,
    RequestLimits,
    Selection,
    decode_message,
    parse_request,
    request_puid,
)
from recsys.serving.sample import RequestSample


class PredictionService:
    """What Seldon's component calls; knows nothing of Seldon or HTTP."""

    def __init__(
        self, live: LiveRelease, log: RequestLog, sample: RequestSample, limits: RequestLimits
    ) -> None:
        self._live = live
        self._log = log
        self._sample = sample
        self._limits = limits

    def predict(self, message: Any) -> dict[str, Any]:
        """Answer a Seldon message, given as bytes or text of JSON or already parsed.

        Raises
        ------
        QueryRejected
            The request is wrong; ``status_code`` says 400 or 404.
        ServiceUnavailable
            No release is live.
        """
        trace = _Trace()
        try:
            return self._predict(message, trace)
        except QueryRejected as error:
            trace.status_code = error.status_code
            raise
        except ServiceUnavailable:
            trace.status_code = HTTPStatus.SERVICE_UNAVAILABLE
            raise
        except BaseException:
            trace.status_code = HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            self._log.write(trace.line())

    def health(self) -> str:
        """The id of the release that answers.

        Raises
        ------
        ServiceUnavailable
            No release is live.
        """
        return self._current().release.id

    def lineage(self) -> dict[str, str]:
        """What the release that answers was made of, in words; empty while none is live."""
        current = self._live.current
        return {} if current is None else _lineage(current)

    def _predict(self, message: Any, trace: _Trace) -> dict[str, Any]:
        if isinstance(message, bytes | str):
            message = decode_message(message)
        trace.puid = request_puid(message)
        request = parse_request(message, self._limits)
        trace.queries = request.queries
        current = self._current()  # read once: one request, one release
        trace.release, trace.changes = current.release.id, current.changes
        trace.answers = current.answer(request.queries)
        self._sample.offer(trace.puid, message)
        return _response(current, request, trace.answers, trace.puid)

    def _current(self) -> ServingRelease:
        current = self._live.current
        if current is None:
            why = self._live.error or "no night has finished yet"
            raise ServiceUnavailable(f"no release is live: {why}; run `recsys nightly`")
        return current


def _lineage(serving: ServingRelease) -> dict[str, str]:
    release = serving.release
    return {
        "release": release.id,
        "model_version": release.model_version,
        "index_version": release.index_version,
        "index_factory": release.factory,
        "dimension": str(release.dimension),
        "image_size": f"{release.image_width}x{release.image_height}",
        "products": str(serving.products),
        "changes": str(serving.changes),
        "changes_folded_in": str(release.changes_through),
        "gates": " ".join(verdict.suite for verdict in release.verdicts),
        **{f"commit_{repo}": commit for repo, commit in sorted(release.inputs.items())},
    }


def _response(
    serving: ServingRelease, request: PredictionRequest, answers: Sequence[Answer], puid: str
) -> dict[str, Any]:
    release = serving.release
    data = [_answer_data(answer, serving) for answer in answers]
    return {
        "jsonData": {"answers": data} if request.several else data[0],
        "meta": {
            "puid": puid,
            "tags": {
                "release": release.id,
                "model_version": release.model_version,
                "index_version": release.index_version,
                "catalog_commit": release.inputs[names.CATALOG],
            },
        },
    }


def _answer_data(answer: Answer, serving: ServingRelease) -> dict[str, Any]:
    data: dict[str, Any] = {
        "results": list(answer.results),
        "release": serving.release.id,
        "changes": serving.changes,
    }
    if answer.underfilled:
        data["underfilled"] = True
    if answer.unknown_products:
        data["unknown_products"] = list(answer.unknown_products)
    return data


class _Trace:
    """What is known of a request so far; it becomes its line in the log."""

    def __init__(self) -> None:
        self.time = utc_now()
        self.started = time.perf_counter()
        self.puid = ""
        self.release: str | None = None
        self.changes = 0
        self.queries: Sequence[Query] = ()
        self.answers: Sequence[Answer] = ()
        self.status_code: int = HTTPStatus.OK

    def line(self) -> RequestLine:
        kinds = {"image" if query.product_id is None else "id" for query in self.queries}
        return RequestLine(
            time=self.time,
            puid=self.puid,
            release=self.release,
            changes=self.changes,
            kind=kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "",
            queries=len(self.queries),
            k=max((query.k for query in self.queries), default=0),
            filtered=any(query.selection != Selection() for query in self.queries),
            asked=tuple(_asked(query) for query in self.queries),
            results=tuple(len(answer.results) for answer in self.answers),
            underfilled=sum(answer.underfilled for answer in self.answers),
            answers=tuple(
                tuple(result["product_id"] for result in answer.results) for answer in self.answers
            ),
            status_code=int(self.status_code),
            milliseconds=round((time.perf_counter() - self.started) * 1000, 3),
        )


def _asked(query: Query) -> str:
    """What a query was about, short enough for the log."""
    return query.product_id or f"sha256:{sha256_bytes(query.image or b'')}"
