"""The OpenAPI document and the parser of requests say the same."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from recsys.errors import QueryRejected
from recsys.serving.contract import openapi
from recsys.serving.requests import (
    CONDITION_KEYS,
    MESSAGE_KEYS,
    QUERY_KEYS,
    RequestLimits,
    decode_message,
    parse_request,
    request_puid,
)
from recsys.settings import PROJECT_ROOT
from schema_strategies import Drawn

LIMITS = RequestLimits(10, 20, 3, 30, max_listed_products=4, max_boost=0.5)
DOCUMENT = openapi(LIMITS, 1000)
SCHEMAS = DOCUMENT["components"]["schemas"]
CHECKED_IN = PROJECT_ROOT / "seldon" / "openapi.json"
REQUEST = {"$ref": "#/components/schemas/Request", "components": DOCUMENT["components"]}
ALLOWED = Draft202012Validator(REQUEST).is_valid


@pytest.mark.parametrize("document", [DOCUMENT, openapi(LIMITS, 1000, secured=True)])
def test_it_is_an_openapi_document(document):
    OpenAPIV31SpecValidator(document).validate()


def test_the_one_beside_the_component_is_one_too():
    OpenAPIV31SpecValidator(json.loads(CHECKED_IN.read_bytes())).validate()


def test_it_knows_the_keys_that_the_parser_knows():
    assert set(SCHEMAS["Request"]["properties"]) == set(MESSAGE_KEYS)
    assert set(SCHEMAS["Query"]["properties"]) == set(QUERY_KEYS)
    span = SCHEMAS["Condition"]["anyOf"][1]
    assert set(span["properties"]) == set(CONDITION_KEYS)


def accepted(message):
    try:
        message = decode_message(json.dumps(message))
        request_puid(message)
        parse_request(message, LIMITS)
    except QueryRejected as refusal:
        return str(refusal)
    return True


REQUESTS = Drawn(DOCUMENT).of("Request")
BEYOND = ("is above to", "weights; allowed", "printable", "base64")
FEW = settings(
    max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@FEW
@given(REQUESTS)
def test_what_it_allows_is_taken(message):
    assert ALLOWED(message)
    outcome = accepted(message)
    assert outcome is True or any(says in outcome for says in BEYOND)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 200) | st.floats(-2, 2) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield from places(item, (*path, key))


@st.composite
def changed(draw):
    """An allowed request with one part of it replaced, or with a key too many."""
    message = copy.deepcopy(draw(REQUESTS))
    path = draw(st.sampled_from(list(places(message))))
    if not path:
        return draw(JSON)
    parent = message
    for key in path[:-1]:
        parent = parent[key]
    if isinstance(parent, dict) and draw(st.booleans()):
        keys = st.sampled_from([*QUERY_KEYS, *MESSAGE_KEYS, *CONDITION_KEYS, "other"])
        parent[draw(keys)] = draw(JSON)
    else:
        parent[path[-1]] = draw(JSON)
    return message


@FEW
@given(changed())
def test_what_it_does_not_allow_is_refused_and_nothing_else(message):
    outcome = accepted(message)
    beyond = outcome is not True and any(says in outcome for says in BEYOND)
    assert beyond or (outcome is True) == ALLOWED(message), outcome
