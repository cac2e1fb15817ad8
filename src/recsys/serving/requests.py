"""The REST contract: from the bytes of a request to checked queries.

Everything that a client can get wrong is found here (or when the image is decoded, or
the product looked up) and said in words: what was found, and what is allowed.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from recsys.errors import QueryRejected

_MESSAGE_KEYS: Final = ("jsonData", "binData", "meta", "status")
_QUERY_KEYS: Final = ("product_id", "image", "k", "where")
_MAX_CONDITIONS: Final = 16
_MAX_VALUES: Final = 64
_MAX_PUID_CHARACTERS: Final = 128
_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "a boolean",
    type(None): "null",
}


@dataclass(frozen=True)
class RequestLimits:
    """What one request may ask for."""

    default_k: int
    max_k: int
    max_queries: int
    max_image_bytes: int


@dataclass(frozen=True)
class Query:
    """One question: products like this one, or like this picture.

    Either ``product_id`` or ``image`` (the bytes of an image file) is set. ``where`` holds
    (field, accepted values) pairs, all of which an answer must satisfy. ``label`` is how
    a message names the query, empty when it is the only one.
    """

    k: int
    product_id: str | None = None
    image: bytes | None = None
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    label: str = ""


@dataclass(frozen=True)
class PredictionRequest:
    """The checked queries of one request; ``several`` when they came as a list."""

    queries: tuple[Query, ...]
    several: bool


def decode_message(body: bytes | str) -> Any:
    """The body's JSON.

    Raises
    ------
    QueryRejected
        It is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise QueryRejected(f"the body is not JSON: {error}") from error


def request_puid(message: Any) -> str:
    """The request's id: its ``meta.puid``, or a new one.

    Raises
    ------
    QueryRejected
        ``meta.puid`` is no short text.
    """
    meta = message.get("meta") if isinstance(message, dict) else None
    if meta is not None and not isinstance(meta, dict):
        raise QueryRejected(f"meta must be an object, not {_kind(meta)}")
    puid = (meta or {}).get("puid")
    if puid is None or puid == "":
        return secrets.token_hex(13)
    if not isinstance(puid, str) or len(puid) > _MAX_PUID_CHARACTERS or not puid.isprintable():
        raise QueryRejected(
            f"meta.puid must be a text of at most {_MAX_PUID_CHARACTERS} printable characters"
        )
    return puid


def parse_request(message: Any, limits: RequestLimits) -> PredictionRequest:
    """Check a Seldon message against the contract.

    Raises
    ------
    QueryRejected
        It breaks the contract; says where, what was found and what is allowed.
    """
    message = _object(message, "the body")
    _only(message, _MESSAGE_KEYS, "the body")
    payloads = [key for key in ("jsonData", "binData") if message.get(key) is not None]
    if len(payloads) != 1:
        raise QueryRejected(
            f"the body needs one of jsonData and binData; found {_listed(payloads)}"
        )
    if payloads == ["binData"]:
        image = _image(message["binData"], "binData", limits)
        return PredictionRequest((Query(limits.default_k, image=image),), several=False)
    data = _object(message["jsonData"], "jsonData")
    if "queries" not in data:
        return PredictionRequest((_query(data, "", limits),), several=False)
    _only(data, ("queries",), "jsonData with queries")
    return PredictionRequest(_queries(data["queries"], limits), several=True)


def _queries(items: Any, limits: RequestLimits) -> tuple[Query, ...]:
    if not isinstance(items, list) or not 1 <= len(items) <= limits.max_queries:
        found = f"a list of {len(items)}" if isinstance(items, list) else _kind(items)
        raise QueryRejected(f"queries must be a list of 1 to {limits.max_queries}, not {found}")
    return tuple(_query(item, f"queries[{place}]", limits) for place, item in enumerate(items))


def _query(data: Any, label: str, limits: RequestLimits) -> Query:
    prefix = f"{label}." if label else ""
    data = _object(data, label or "jsonData")
    _only(data, _QUERY_KEYS, label or "jsonData")
    subjects = [key for key in ("product_id", "image") if key in data]
    if len(subjects) != 1:
        where = label or "jsonData"
        raise QueryRejected(f"{where} needs one of product_id and image; found {_listed(subjects)}")
    product_id = image = None
    if subjects == ["product_id"]:
        product_id = _text(data["product_id"], f"{prefix}product_id")
    else:
        image = _image(data["image"], f"{prefix}image", limits)
    return Query(
        _k(data.get("k", limits.default_k), f"{prefix}k", limits),
        product_id,
        image,
        _where(data.get("where", {}), f"{prefix}where"),
        label,
    )


def _k(value: Any, name: str, limits: RequestLimits) -> int:
    # A bool is an int to Python, but no number of products.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limits.max_k:
        raise QueryRejected(
            f"{name} must be a whole number from 1 to {limits.max_k}, not {_shown(value)}"
        )
    return value


def _where(value: Any, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    conditions = _object(value, name)
    if len(conditions) > _MAX_CONDITIONS:
        raise QueryRejected(f"{name} has {len(conditions)} conditions; allowed: {_MAX_CONDITIONS}")
    return tuple(
        (field, _accepted(values, f"{name}.{field[:80]}")) for field, values in conditions.items()
    )


def _accepted(values: Any, name: str) -> tuple[str, ...]:
    if isinstance(values, str):
        return (values,)
    well = isinstance(values, list) and all(isinstance(value, str) for value in values)
    if not well or not 1 <= len(values) <= _MAX_VALUES:
        raise QueryRejected(
            f"{name} must be a text or a list of 1 to {_MAX_VALUES} texts, not {_shown(values)}"
        )
    return tuple(values)


def _image(value: Any, name: str, limits: RequestLimits) -> bytes:
    if isinstance(value, bytes):  # Seldon re-encodes multipart files as bytes
        value = value.decode("ascii", "replace")
    if not isinstance(value, str) or not value:
        raise QueryRejected(f"{name} must be an image file as base64 text, not {_shown(value)}")
    # Four characters hold three bytes; checked before the decoding costs memory.
    if len(value) > (limits.max_image_bytes + 2) // 3 * 4:
        raise QueryRejected(
            f"{name} is larger than {limits.max_image_bytes} bytes; send a smaller image"
        )
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise QueryRejected(f"{name} is not base64: {error}") from error


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise QueryRejected(f"{name} must be a text that is not empty, not {_shown(value)}")
    return value


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise QueryRejected(f"{name} must be an object, not {_kind(value)}")
    return value


def _only(data: Mapping[str, Any], allowed: tuple[str, ...], name: str) -> None:
    for key in data:
        if key not in allowed:
            raise QueryRejected(
                f"{name} has an unknown key {key[:80]!r}; allowed: {', '.join(allowed)}"
            )


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "neither"


def _shown(value: Any) -> str:
    return repr(value)[:80] if isinstance(value, (str, int, float)) else _kind(value)


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")
