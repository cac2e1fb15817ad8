"""The REST contract: from the bytes of a request to checked queries.

Everything that a client can get wrong is found here (or when the image is decoded, or
the product looked up) and said in words: what was found, and what is allowed.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from recsys.artifacts.conditions import Condition, Conditions
from recsys.errors import QueryRejected

MESSAGE_KEYS: Final = ("jsonData", "binData", "meta", "status")
_SUBJECT_KEYS: Final = ("product_id", "image")
_FILTER_KEYS: Final = ("where", "only", "exclude")
_QUALITY_KEYS: Final = ("collapse", "min_score", "diversity", "boost")
QUERY_KEYS: Final = (*_SUBJECT_KEYS, "k", *_FILTER_KEYS, *_QUALITY_KEYS, "explain")
CONDITION_KEYS: Final = ("not", "from", "to")
MAX_CONDITIONS: Final = 16
MAX_VALUES: Final = 64
MAX_BOOSTS: Final = 64
# At 1 the query itself would no longer count.
MAX_DIVERSITY: Final = 0.95
MAX_PUID_CHARACTERS: Final = 128
_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "a boolean",
    type(None): "null",
}


@dataclass(frozen=True)
class Quality:
    """What makes a good answer, beside closeness.

    Attributes
    ----------
    collapse
        Whether of products that show the same picture only the best is shown.
    min_score
        Cosine below which nothing is shown; -1 shows all.
    diversity
        Weight of being unlike what stands before, in [0, 1); 0 asks for closeness alone.
    boost
        (field, value, weight): what is added to the score of products with this value.
    boost_is_default
        Whether the boost comes from the settings: then a field or value that tonight's
        release does not have is passed over, and not held against the request.
    candidates_per_result
        How many of the closest products (or groups of them) boosts and diversity choose
        among, for each that is asked for.
    """

    collapse: bool = False
    min_score: float = -1.0
    diversity: float = 0.0
    boost: tuple[tuple[str, str, float], ...] = ()
    boost_is_default: bool = False
    candidates_per_result: int = 10

    @property
    def reorders(self) -> bool:
        """Whether the closest need not come first."""
        return bool(self.boost) or self.diversity > 0


@dataclass(frozen=True)
class Selection:
    """Which products an answer is chosen from.

    Attributes
    ----------
    where
        Conditions on their attributes.
    only
        The ids to choose among; None: all.
    exclude
        Ids never to show.
    """

    where: Conditions = ()
    only: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()


ANYTHING: Final = Selection()


@dataclass(frozen=True)
class RequestLimits:
    """What one request may ask for, and what it gets where it does not say."""

    default_k: int
    max_k: int
    max_queries: int
    max_image_bytes: int
    max_listed_products: int = 1_000
    max_boost: float = 1.0
    quality: Quality = Quality()


@dataclass(frozen=True)
class Query:
    """One question: products like this one, or like this picture.

    Either ``product_id`` or ``image`` (the bytes of an image file) is set. ``label`` is how
    a message names the query, empty when it is the only one. ``explain`` asks for the why of
    each result.
    """

    k: int
    product_id: str | None = None
    image: bytes | None = None
    selection: Selection = Selection()
    quality: Quality = Quality()
    label: str = ""
    explain: bool = False


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
    if not isinstance(puid, str) or len(puid) > MAX_PUID_CHARACTERS or not puid.isprintable():
        raise QueryRejected(
            f"meta.puid must be a text of at most {MAX_PUID_CHARACTERS} printable characters"
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
    _only(message, MESSAGE_KEYS, "the body")
    payloads = [key for key in ("jsonData", "binData") if message.get(key) is not None]
    if len(payloads) != 1:
        raise QueryRejected(
            f"the body needs one of jsonData and binData; found {_listed(payloads)}"
        )
    if payloads == ["binData"]:
        image = _image(message["binData"], "binData", limits)
        return PredictionRequest(
            (Query(limits.default_k, image=image, quality=limits.quality),), several=False
        )
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
    _only(data, QUERY_KEYS, label or "jsonData")
    subjects = [key for key in _SUBJECT_KEYS if key in data]
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
        _selection(data, prefix, limits),
        _quality(data, prefix, limits),
        label,
        _flag(data.get("explain", False), f"{prefix}explain"),
    )


def _k(value: Any, name: str, limits: RequestLimits) -> int:
    # A bool is an int to Python, but no number of products; JSON does not tell 5 from 5.0.
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 1 <= value <= limits.max_k:
        raise QueryRejected(
            f"{name} must be a whole number from 1 to {limits.max_k}, not {_shown(value)}"
        )
    return int(value)


def _selection(data: Mapping[str, Any], prefix: str, limits: RequestLimits) -> Selection:
    if not any(key in data for key in _FILTER_KEYS):
        return ANYTHING
    most = limits.max_listed_products
    return Selection(
        _where(data.get("where", {}), f"{prefix}where"),
        _ids(data["only"], f"{prefix}only", 1, most) if "only" in data else None,
        _ids(data.get("exclude", []), f"{prefix}exclude", 0, most),
    )


def _where(value: Any, name: str) -> Conditions:
    conditions = _object(value, name)
    if len(conditions) > MAX_CONDITIONS:
        raise QueryRejected(f"{name} has {len(conditions)} conditions; allowed: {MAX_CONDITIONS}")
    return tuple(
        (field, _condition(asked, f"{name}.{field[:80]}")) for field, asked in conditions.items()
    )


def _condition(asked: Any, name: str) -> Condition:
    if not isinstance(asked, dict):
        return Condition(any_of=_values(asked, name, or_object=True))
    _only(asked, CONDITION_KEYS, name)
    if not asked:
        raise QueryRejected(f"{name} is empty; give it {', '.join(CONDITION_KEYS)}")
    low, high = (
        _number(asked[key], f"{name}.{key}") if key in asked else None for key in ("from", "to")
    )
    if low is not None and high is not None and low > high:
        raise QueryRejected(f"{name}: from {asked['from']} is above to {asked['to']}")
    excluded = _values(asked["not"], f"{name}.not") if "not" in asked else ()
    return Condition(none_of=excluded, at_least=low, at_most=high)


def _values(asked: Any, name: str, *, or_object: bool = False) -> tuple[str, ...]:
    """The values of a field that are named: a text, several, or a flag."""
    if isinstance(asked, bool):
        return ("true" if asked else "false",)
    if isinstance(asked, str):
        return (asked,)
    well = isinstance(asked, list) and all(isinstance(value, str) for value in asked)
    if not well or not 1 <= len(asked) <= MAX_VALUES:
        raise QueryRejected(
            f"{name} must be a text or a list of 1 to {MAX_VALUES} texts, true or false"
            f"{', or an object with not, from or to' if or_object else ''}, not {_shown(asked)}"
        )
    return tuple(asked)


def _ids(asked: Any, name: str, fewest: int, most: int) -> tuple[str, ...]:
    well = isinstance(asked, list) and all(isinstance(item, str) and item for item in asked)
    if not well or not fewest <= len(asked) <= most:
        found = f"a list of {len(asked)}" if well else _shown(asked)
        raise QueryRejected(
            f"{name} must be a list of {fewest} to {most} product ids (texts), not {found}"
        )
    # In one order, so that the same products are the same selection.
    return tuple(sorted(set(asked)))


def _quality(data: Mapping[str, Any], prefix: str, limits: RequestLimits) -> Quality:
    asked: dict[str, Any] = {}
    if "collapse" in data:
        asked["collapse"] = _flag(data["collapse"], f"{prefix}collapse")
    if "min_score" in data:
        asked["min_score"] = _within(data["min_score"], f"{prefix}min_score", -1, 1)
    if "diversity" in data:
        asked["diversity"] = _within(data["diversity"], f"{prefix}diversity", 0, MAX_DIVERSITY)
    if "boost" in data:
        asked["boost"] = _boost(data["boost"], f"{prefix}boost", limits)
        asked["boost_is_default"] = False
    return replace(limits.quality, **asked) if asked else limits.quality


def _boost(asked: Any, name: str, limits: RequestLimits) -> tuple[tuple[str, str, float], ...]:
    most = limits.max_boost
    boosts = tuple(
        (field, value, _within(weight, f"{name}.{field[:80]}.{value[:80]}", -most, most))
        for field, weights in _object(asked, name).items()
        for value, weight in _object(weights, f"{name}.{field[:80]}").items()
    )
    if len(boosts) > MAX_BOOSTS:
        raise QueryRejected(f"{name} has {len(boosts)} weights; allowed: {MAX_BOOSTS}")
    return boosts


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise QueryRejected(f"{name} must be true or false, not {_shown(value)}")
    return value


def _within(value: Any, name: str, low: float, high: float) -> float:
    number = _number(value, name, f" from {low:g} to {high:g}")
    if not low <= number <= high:
        raise QueryRejected(
            f"{name} must be a number from {low:g} to {high:g}, not {_shown(value)}"
        )
    return number


def _number(value: Any, name: str, allowed: str = "") -> float:
    well = isinstance(value, int | float) and not isinstance(value, bool)
    # JSON knows larger numbers than a float does, and NaN is below nothing.
    if not well or not abs(value) <= sys.float_info.max:
        raise QueryRejected(f"{name} must be a number{allowed}, not {_shown(value)}")
    return float(value)


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
