"""The component that Seldon loads: ``seldon-core-microservice Recommender``.

Thin on purpose: it hands messages to `recsys.serving` and turns our errors into Seldon's
status JSON, since Seldon itself answers 500 to everything that it did not foresee.
"""

from __future__ import annotations

import atexit
import json
import re
from functools import partial
from http import HTTPStatus
from typing import IO, Any, Final

import orjson
import seldon_core.seldon_methods
import seldon_core.wrapper
from flask import Blueprint, Response, jsonify, request
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.proto import prediction_pb2
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    LengthRequired,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
)

from recsys import names
from recsys.changes import Inbox, Spool
from recsys.errors import QueryRejected, ServiceUnavailable
from recsys.images import ImageLimits
from recsys.serving.access import Access
from recsys.serving.contract import openapi
from recsys.serving.engine import ServingRelease
from recsys.serving.live import LiveRelease
from recsys.serving.request_log import RequestLog
from recsys.serving.requests import Quality, RequestLimits, decode_message
from recsys.serving.sample import RequestSample
from recsys.serving.service import PredictionService
from recsys.settings import Settings, load_settings

_METADATA: Final = ("/metadata", "/api/v1.0/metadata")
_TOLD_LIMITS: Final = (
    "default_k",
    "max_k",
    "max_queries",
    "max_image_bytes",
    "max_image_pixels",
    "max_listed_products",
    "max_boost",
)
# What a recommender has of Seldon's routes. The others (routers, transformers, combiners,
# feedback) would answer 200 and do nothing.
_ROUTES: Final = {
    "/predict": ("GET", "POST"),
    "/api/v1.0/predictions": ("POST",),
    "/api/v0.1/predictions": ("POST",),
    "/health/ping": ("GET",),
    "/health/status": ("GET",),
    "/api/v1.0/health/status": ("GET",),
    **dict.fromkeys(_METADATA, ("GET",)),
    "/seldon.json": ("GET",),
    "/openapi.json": ("GET",),
}
# How many images of the largest size one body may hold; the rest is for the JSON around.
_LARGEST_IMAGES: Final = 4
_JSON_BYTES: Final = 1 << 20
_DRAINED_BODIES: Final = 4
_LONG_NUMBER: Final = re.compile(r"\d{400}")  # longer than any that a float holds
_FAILURE: Final = 1  # seldon.protos.Status.StatusFlag


class Recommender:
    """Answers "which products look like this one?" from the live release."""

    def __init__(self) -> None:
        self._settings = load_settings()
        self._live: LiveRelease | None = None
        self._service: PredictionService | None = None
        self.model_error_handler = _error_handler(
            max_body_bytes(self._settings), access(self._settings)
        )
        # Seldon would ask for it once, before there is a release, and say the same for ever.
        for path in _METADATA:
            self.model_error_handler.add_url_rule(path, view_func=self._metadata)
        self.model_error_handler.add_url_rule("/openapi.json", view_func=self._contract)

    def load(self) -> None:
        """Open the live release; Seldon calls this in the process that will answer."""
        settings = self._settings
        limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        self._live = LiveRelease(
            settings.releases_dir,
            settings.serving_dir,
            Inbox(Spool(settings.changes_dir), limits, settings.max_changes),
            partial(ServingRelease.open, image_limits=limits),
        )
        self._service = PredictionService(
            self._live,
            RequestLog(settings.serving_dir),
            RequestSample(
                settings.serving_dir,
                settings.sample_every,
                settings.sample_requests,
                settings.sample_bytes,
            ),
            request_limits(settings),
        )
        self._live.start()
        atexit.register(self._live.close)

    def predict_raw(self, message: Any) -> Any:
        """Answer one REST request, given as bytes or text of JSON, or parsed."""
        if isinstance(message, prediction_pb2.SeldonMessage):
            raise QueryRejected("this service speaks REST; gRPC is slower here and not offered")
        answer = self._loaded().predict(message)
        return orjson.dumps(answer) if seldon_core.wrapper.PAYLOAD_PASSTHROUGH else answer

    def health_status(self) -> str:
        """The id of the live release; raises, and so says 503, while there is none."""
        return self._loaded().health()

    def init_metadata(self) -> dict[str, Any]:
        """What ``/metadata`` says, in the form that Seldon allows."""
        lineage = {} if self._service is None else self._service.lineage()
        settings = self._settings
        limits = {f"limit_{name}": str(getattr(settings, name)) for name in _TOLD_LIMITS}
        return {
            "name": "recommender",
            "platform": "recsys",
            "versions": [lineage["release"]] if lineage else [],
            "inputs": [{"messagetype": "jsonData"}, {"messagetype": "binData"}],
            "outputs": [{"messagetype": "jsonData"}],
            "custom": {**lineage, **limits},
        }

    def _metadata(self) -> Response:
        metadata = seldon_core.seldon_methods.init_metadata(self)
        if metadata is None:
            raise SeldonMicroserviceException(
                "MODEL_METADATA does not fit Seldon's schema; see the log",
                status_code=HTTPStatus.INTERNAL_SERVER_ERROR,
                reason="MICROSERVICE_BAD_METADATA",
            )
        response: Response = jsonify(metadata)
        return response

    def _contract(self) -> Response:
        settings = self._settings
        secured = not access(settings).open
        document = openapi(request_limits(settings), max_body_bytes(settings), secured=secured)
        response: Response = jsonify(document)
        return response

    def _loaded(self) -> PredictionService:
        if self._service is None:
            raise ServiceUnavailable("the recommender is not loaded yet; try again in a moment")
        return self._service


def request_limits(settings: Settings) -> RequestLimits:
    """What one request may ask for, and what it gets where it does not say."""
    return RequestLimits(
        default_k=settings.default_k,
        max_k=settings.max_k,
        max_queries=settings.max_queries,
        max_image_bytes=settings.max_image_bytes,
        max_listed_products=settings.max_listed_products,
        max_boost=settings.max_boost,
        quality=Quality(
            collapse=settings.collapse,
            min_score=settings.min_score,
            diversity=settings.diversity,
            boost=tuple(
                (field, value, weight)
                for field, weights in settings.boost.items()
                for value, weight in weights.items()
            ),
            boost_is_default=True,
            candidates_per_result=settings.candidates_per_result,
        ),
    )


def access(settings: Settings) -> Access:
    """Who may ask for predictions and metadata."""
    return Access(settings.read_serving_token())


def max_body_bytes(settings: Settings) -> int:
    """The largest request body: four of the largest images as base64, and a little JSON."""
    return _LARGEST_IMAGES * (settings.max_image_bytes + 2) // 3 * 4 + _JSON_BYTES


def _error_handler(body_bytes: int, access: Access) -> Blueprint:
    """The blueprint that Seldon registers: known routes, bearers of the token, errors as JSON."""
    blueprint = Blueprint("recsys", __name__)

    @blueprint.before_app_request
    def known_routes_only() -> None:
        allowed = _ROUTES.get(request.path)
        if allowed is None:
            raise NotFound(
                f"no {request.path[:200]!r} here; predictions are at /api/v1.0/predictions"
            )
        method = "GET" if request.method == "HEAD" else request.method
        if method not in (*allowed, "OPTIONS"):
            raise MethodNotAllowed(
                list(allowed), f"{request.path} takes {' or '.join(allowed)}, not {request.method}"
            )

    @blueprint.before_app_request
    def bearers_of_the_token_only() -> None:
        headers = request.headers
        sent = headers.get("Authorization"), headers.get(names.TOKEN_HEADER)
        if not access.admits(request.path, *sent):
            _drain(request.stream, min(request.content_length or 0, body_bytes))
            raise Unauthorized("send this service's token, as Authorization: Bearer <token>")

    @blueprint.before_app_request
    def bounded_bodies_only() -> None:
        # Flask's own limit covers forms only in this version.
        if request.content_length is None and request.headers.get("Transfer-Encoding"):
            raise LengthRequired("send the body with a Content-Length, not in chunks")
        length = request.content_length or 0
        if length > body_bytes:
            _drain(request.stream, min(length, _DRAINED_BODIES * body_bytes))
            # The contract knows one answer to a request that is too large.
            raise BadRequest(f"the body has {length} bytes; at most {body_bytes} are accepted")

    @blueprint.before_app_request
    def forms_of_json_only() -> None:
        # Seldon reads them with Python's json, which takes NaN and raises on long numbers.
        for text in _json_texts():
            decode_message(text)
            if _LONG_NUMBER.search(text):
                raise QueryRejected("a number of so many digits is none that is asked for here")

    @blueprint.app_errorhandler(QueryRejected)
    def rejected(error: QueryRejected) -> Response:
        return _status(error.status_code, "BAD_QUERY", str(error))

    @blueprint.app_errorhandler(ServiceUnavailable)
    def unavailable(error: ServiceUnavailable) -> Response:
        return _status(HTTPStatus.SERVICE_UNAVAILABLE, "NO_LIVE_RELEASE", str(error))

    @blueprint.app_errorhandler(SeldonMicroserviceException)
    def seldons_own(error: SeldonMicroserviceException) -> Response:
        return _status(error.status_code, error.reason, error.message)

    @blueprint.app_errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        code = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
        reason = error.name.upper().replace(" ", "_")
        response = _status(code, reason, error.description or error.name)
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.valid_methods or ())
        if isinstance(error, Unauthorized):
            response.headers["WWW-Authenticate"] = 'Bearer realm="recsys"'
        return response

    # Seldon parses form fields and query strings without a net.
    @blueprint.app_errorhandler(json.JSONDecodeError)
    @blueprint.app_errorhandler(UnicodeDecodeError)
    @blueprint.app_errorhandler(RecursionError)
    def not_json(error: Exception) -> Response:
        return _status(HTTPStatus.BAD_REQUEST, "BAD_QUERY", f"the request is not JSON: {error}")

    return blueprint


def _json_texts() -> list[str]:
    """What of a request Seldon reads as JSON, apart from a body that is nothing else."""
    if request.mimetype == "multipart/form-data":
        return [text for key, text in request.form.items() if key != "strData"]
    given = (request.form.get("json"), request.args.get("json"))
    return [text for text in given if text]


def _drain(stream: IO[bytes], length: int) -> None:
    """Read and drop a body, since a client that is still sending does not see the answer."""
    while length > 0 and (chunk := stream.read(min(length, _JSON_BYTES))):
        length -= len(chunk)


def _status(code: int, reason: str, info: str) -> Response:
    """An error in the shape of Seldon's status message."""
    body = {"status": {"status": _FAILURE, "code": int(code), "reason": reason, "info": info}}
    response: Response = jsonify(body)
    response.status_code = int(code)
    return response
