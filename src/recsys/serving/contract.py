"""The REST contract as an OpenAPI 3.1 document, made of what `requests` holds queries to.

Tests hold document and parser together: what the document allows is taken, and what it does
not allow is refused. Beyond it the parser checks base64, that ``from`` is not above ``to``,
and the number of a boost's weights over all fields; fields, values and product ids depend on
the release.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from recsys import names
from recsys.serving.requests import (
    MAX_BOOSTS,
    MAX_CONDITIONS,
    MAX_DIVERSITY,
    MAX_PUID_CHARACTERS,
    MAX_VALUES,
    RequestLimits,
)
from recsys.serving.shelf import RELEASE, TAIL

Schema = dict[str, Any]

VERSION: Final = "1.0.0"
# What is told without a token: probes know none, and documents hold nothing of the shop.
OPEN_PATHS: Final = frozenset(
    (
        "/health/ping",
        "/health/status",
        "/api/v1.0/health/status",
        "/openapi.json",
        "/seldon.json",
    )
)
_FAILURE: Final = 1  # seldon.protos.Status.StatusFlag
# What each code means here; the body is always a `Failure`.
_REFUSALS: Final = {
    HTTPStatus.BAD_REQUEST: "The request is wrong: `info` says where, what was found and what"
    " is allowed. A body that is too large is one, too.",
    HTTPStatus.UNAUTHORIZED: "The service has a token, and the request came without it.",
    HTTPStatus.NOT_FOUND: "No such product in the live release, or no such path.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The path takes other methods: see `Allow`.",
    HTTPStatus.LENGTH_REQUIRED: "The body came in chunks, without a Content-Length.",
    HTTPStatus.SERVICE_UNAVAILABLE: "No release is live, or the service is too busy: ask again,"
    " after `Retry-After` if it is there.",
}
_OF_A_QUESTION: Final = tuple(_REFUSALS)
_OF_A_LOOK: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.METHOD_NOT_ALLOWED)
_OF_HEALTH: Final = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.SERVICE_UNAVAILABLE)

_NOT_EMPTY: Final[Schema] = {"type": "string", "minLength": 1}
_COSINE: Final[Schema] = {"type": "number", "minimum": -1, "maximum": 1}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}


def openapi(limits: RequestLimits, max_body_bytes: int, *, secured: bool = False) -> Schema:
    """The document of a service with these limits; ``secured`` when it asks for its token."""
    access: list[Schema] = [{"bearer": []}, {"header": []}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "recsys: products that look like this one",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Seldon's protocol over REST. A body holds at most"
            f" {max_body_bytes} bytes and comes with a Content-Length.",
        },
        "servers": [{"url": "/"}],
        "security": access if secured else [{}, *access],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": names.TOKEN_HEADER},
            },
            "schemas": {**_asked(limits), **_answered(limits)},
            "responses": {code.phrase.replace(" ", ""): _refusal(code) for code in _REFUSALS},
        },
    }


def _paths() -> Schema:
    by_post = {
        "summary": "Products that look like a product or a picture",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("Request")}, **_as_form()},
        },
        "responses": _responses("Prediction", _OF_A_QUESTION),
    }
    by_get = {
        "summary": "The same, the body's JSON in the query string",
        "parameters": [
            {
                "name": "json",
                "in": "query",
                "required": True,
                "content": {"application/json": {"schema": _ref("Request")}},
            }
        ],
        "responses": _responses("Prediction", _OF_A_QUESTION),
    }
    ping = {
        "summary": "Whether a worker runs",
        "security": [],
        "responses": {
            "200": {
                "description": "It does.",
                "content": {"text/html": {"schema": {"const": "pong"}}},
            },
            **_refused((HTTPStatus.METHOD_NOT_ALLOWED,)),
        },
    }
    status = {
        "summary": "Whether a release is live, and which",
        "security": [],
        "responses": _responses("Health", _OF_HEALTH),
    }
    metadata = {
        "summary": "What answers now, and what it was made of",
        "responses": _responses("Metadata", _OF_A_LOOK),
    }
    document = {
        "summary": "This document",
        "security": [],
        "responses": _responses("Document", (HTTPStatus.METHOD_NOT_ALLOWED,)),
    }
    return {
        "/api/v1.0/predictions": {"post": {**by_post, "operationId": "predict"}},
        "/api/v0.1/predictions": {"post": {**by_post, "deprecated": True}},
        "/predict": {"get": by_get, "post": by_post},
        "/health/ping": {"get": ping},
        "/health/status": {"get": status},
        "/api/v1.0/health/status": {"get": status},
        "/metadata": {"get": metadata},
        "/api/v1.0/metadata": {"get": metadata},
        "/openapi.json": {"get": document},
    }


def _as_form() -> Schema:
    """A picture as a file of a form, or the parts of a request as its fields."""
    picture = {"type": "object", "properties": {"binData": {"description": "The image file."}}}
    whole = {"type": "object", "properties": {"json": _ref("Request")}}
    return {
        "multipart/form-data": {"schema": picture},
        "application/x-www-form-urlencoded": {"schema": whole},
    }


def _asked(limits: RequestLimits) -> dict[str, Schema]:
    return {
        "Request": {
            "description": "One of jsonData and binData.",
            **_closed(
                [],
                jsonData=_ref("JsonData"),
                binData={"anyOf": [_image(limits), _null()]},
                meta=_ref("RequestMeta"),
                status={"description": "Seldon's; it is passed over."},
            ),
            "oneOf": [_given("jsonData", "object"), _given("binData", "string")],
        },
        "JsonData": {"anyOf": [_ref("Query"), _ref("Queries"), _null()]},
        "RequestMeta": {
            "type": ["object", "null"],
            "properties": {
                "puid": {
                    "type": ["string", "null"],
                    "maxLength": MAX_PUID_CHARACTERS,
                    "description": "The request's id, printable; one is made where it is missing.",
                }
            },
        },
        "Queries": _closed(
            ["queries"],
            queries={
                "type": "array",
                "items": _ref("Query"),
                "minItems": 1,
                "maxItems": limits.max_queries,
                "description": "All are answered by one release, in this order.",
            },
        ),
        "Query": _query(limits),
        "Condition": _condition(),
        "Values": _values(),
    }


def _given(key: str, type_: str) -> Schema:
    return {"required": [key], "properties": {key: {"type": type_}}}


def _query(limits: RequestLimits) -> Schema:
    quality = limits.quality
    ids = {"type": "array", "items": _NOT_EMPTY, "maxItems": limits.max_listed_products}
    weight = {"type": "number", "minimum": -limits.max_boost, "maximum": limits.max_boost}
    weights = {"type": "object", "maxProperties": MAX_BOOSTS, "additionalProperties": weight}
    return {
        **_closed(
            [],
            product_id={**_NOT_EMPTY, "description": "Of the product asked about."},
            image=_image(limits),
            k={
                "type": "integer",
                "minimum": 1,
                "maximum": limits.max_k,
                "default": limits.default_k,
            },
            where={
                "type": "object",
                "maxProperties": MAX_CONDITIONS,
                "additionalProperties": _ref("Condition"),
                "description": "Conditions on attributes, by field; all must hold.",
            },
            only={**ids, "minItems": 1, "description": "Ids to choose among."},
            exclude={**ids, "description": "Ids never to show."},
            collapse={
                "type": "boolean",
                "default": quality.collapse,
                "description": "Of products that show the same picture, show the best only.",
            },
            min_score={
                **_COSINE,
                "default": quality.min_score,
                "description": "Show nothing below this cosine.",
            },
            diversity={
                "type": "number",
                "minimum": 0,
                "maximum": MAX_DIVERSITY,
                "default": quality.diversity,
                "description": "Weight of being unlike the results before.",
            },
            boost={
                "type": "object",
                "maxProperties": MAX_BOOSTS,
                "additionalProperties": weights,
                "description": f"By field and value, added to the score; {MAX_BOOSTS} at most.",
            },
            explain={
                "type": "boolean",
                "default": False,
                "description": "Say why each result is there.",
            },
        ),
        "oneOf": [{"required": ["product_id"]}, {"required": ["image"]}],
    }


def _condition() -> Schema:
    bounds = {
        "not": _ref("Values"),
        "from": {"type": "number", "description": "Included."},
        "to": {"type": "number", "description": "Included."},
    }
    span = {**_closed([], **bounds), "minProperties": 1}
    return {"anyOf": [_ref("Values"), span]}


def _values() -> Schema:
    texts = {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "maxItems": MAX_VALUES,
    }
    return {"anyOf": [{"type": "string"}, {"type": "boolean"}, texts]}


def _image(limits: RequestLimits) -> Schema:
    return {
        **_NOT_EMPTY,
        "maxLength": (limits.max_image_bytes + 2) // 3 * 4,
        "contentEncoding": "base64",
        "description": "A JPEG, PNG or WebP file. Never a path or an address.",
    }


def _answered(limits: RequestLimits) -> dict[str, Schema]:
    several = _closed(["answers"], answers=_list_of("Answer", limits.max_queries))
    versions = dict.fromkeys(("release", "model_version", "index_version", "catalog_commit"))
    tags = {name: {"type": "string"} for name in versions}
    return {
        "Prediction": _closed(
            ["jsonData", "meta"],
            jsonData={"anyOf": [_ref("Answer"), several]},
            meta=_closed(
                ["puid", "tags"], puid={"type": "string"}, tags=_closed(list(tags), **tags)
            ),
        ),
        "Answer": _closed(
            ["results", "release", "changes"],
            results=_list_of("Result", limits.max_k),
            release={"type": "string"},
            changes={**_COUNT, "description": "The last change that was taken account of."},
            underfilled={"const": True, "description": "Fewer than k may be shown."},
            unknown_products={"type": "array", "items": {"type": "string"}},
        ),
        "Result": _closed(
            ["product_id", "score", "name", "attributes", "part"],
            product_id=_NOT_EMPTY,
            score={**_COSINE, "description": "Cosine; higher is closer."},
            rank_score={"type": "number", "description": "Where it is not the score's order."},
            name={"type": "string"},
            attributes=_TEXTS,
            part={"enum": [RELEASE, TAIL]},
            explanation=_ref("Explanation"),
        ),
        "Explanation": _closed(
            ["cosine", "boost", "diversity", "picture_products"],
            cosine=_COSINE,
            boost={"type": "number"},
            diversity={"type": "number"},
            likeness={"type": "number", "minimum": 0},
            picture_products={"type": "integer", "minimum": 1},
            same_picture={"type": "boolean"},
            shared_attributes=_TEXTS,
        ),
        "Health": {
            "type": "object",
            "required": ["strData"],
            "properties": {"strData": {"type": "string", "description": "The live release."}},
        },
        "Metadata": {
            "type": "object",
            "required": ["name", "versions", "platform", "inputs", "outputs", "custom"],
            "properties": {
                "name": {"type": "string"},
                "versions": {"type": "array", "items": {"type": "string"}},
                "platform": {"type": "string"},
                "inputs": {"type": "array"},
                "outputs": {"type": "array"},
                "custom": _TEXTS,
            },
        },
        "Document": {"type": "object", "required": ["openapi", "info", "paths"]},
        "Failure": _closed(
            ["status"],
            status=_closed(
                ["status", "code", "reason", "info"],
                status={"const": _FAILURE},
                code={"type": "integer", "minimum": 400, "maximum": 599},
                reason={"type": "string"},
                info={"type": "string"},
            ),
        ),
    }


def _responses(schema: str, refused: tuple[HTTPStatus, ...]) -> Schema:
    content = {"application/json": {"schema": _ref(schema)}}
    return {"200": {"description": "The answer.", "content": content}, **_refused(refused)}


def _refused(codes: tuple[HTTPStatus, ...]) -> Schema:
    return {
        str(int(code)): {"$ref": f"#/components/responses/{code.phrase.replace(' ', '')}"}
        for code in codes
    }


def _refusal(code: HTTPStatus) -> Schema:
    headers = {
        HTTPStatus.UNAUTHORIZED: "WWW-Authenticate",
        HTTPStatus.METHOD_NOT_ALLOWED: "Allow",
        HTTPStatus.SERVICE_UNAVAILABLE: "Retry-After",
    }
    found: Schema = {
        "description": _REFUSALS[code],
        "content": {"application/json": {"schema": _ref("Failure")}},
    }
    if code in headers:
        found["headers"] = {headers[code]: {"schema": {"type": "string"}}}
    return found


def _list_of(schema: str, most: int) -> Schema:
    return {"type": "array", "items": _ref(schema), "maxItems": most}


def _closed(required: list[str], **properties: Schema) -> Schema:
    """An object with these properties and no others."""
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def _null() -> Schema:
    return {"type": "null"}


def _ref(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}
