import base64

import pytest

from recsys.artifacts.conditions import Condition
from recsys.errors import QueryRejected
from recsys.serving.requests import (
    Quality,
    Query,
    RequestLimits,
    Selection,
    decode_message,
    parse_request,
    request_puid,
)

DEFAULTS = Quality(collapse=True, boost=(("season", "Summer", 0.1),), boost_is_default=True)
LIMITS = RequestLimits(
    default_k=10,
    max_k=100,
    max_queries=3,
    max_image_bytes=30,
    max_listed_products=4,
    max_boost=0.5,
    quality=DEFAULTS,
)
PICTURE = base64.b64encode(b"picture").decode()


def rejection(message):
    with pytest.raises(QueryRejected) as caught:
        parse_request(message, LIMITS)
    assert caught.value.status_code == 400
    return str(caught.value)


def test_a_product_id_with_k_and_conditions_is_one_query():
    where = {"gender": "Men", "baseColour": ["Red", "Blue"]}
    request = parse_request({"jsonData": {"product_id": "7", "k": 5, "where": where}}, LIMITS)
    conditions = (
        ("gender", Condition(any_of=("Men",))),
        ("baseColour", Condition(any_of=("Red", "Blue"))),
    )
    expected = Query(5, "7", selection=Selection(conditions), quality=DEFAULTS)
    assert request.queries == (expected,)
    assert not request.several


def test_an_image_in_jsondata_and_in_bindata_is_the_same_query():
    by_json = parse_request({"jsonData": {"image": PICTURE}}, LIMITS)
    by_bin = parse_request({"binData": PICTURE}, LIMITS)
    assert by_json == by_bin
    assert by_json.queries == (Query(10, image=b"picture", quality=DEFAULTS),)


def parsed(**options):
    (query,) = parse_request({"jsonData": {"product_id": "7", **options}}, LIMITS).queries
    return query


def test_values_to_avoid_ranges_and_flags_are_conditions_too():
    where = {
        "gender": {"not": ["Boys", "Girls"]},
        "usage": {"not": "Ethnic"},
        "year": {"from": 2010, "to": 2016.5},
        "price": {"to": 3, "not": ["1"]},
        "in_stock": True,
    }
    assert parsed(where=where).selection.where == (
        ("gender", Condition(none_of=("Boys", "Girls"))),
        ("usage", Condition(none_of=("Ethnic",))),
        ("year", Condition(at_least=2010, at_most=2016.5)),
        ("price", Condition(none_of=("1",), at_most=3)),
        ("in_stock", Condition(any_of=("true",))),
    )


def test_listed_products_are_kept_once_in_one_order():
    query = parsed(only=["b", "a", "b"], exclude=[])
    assert query.selection == Selection(only=("a", "b"), exclude=())
    assert parsed().selection.only is None


def test_what_a_request_says_of_quality_wins_over_the_settings():
    assert parsed().quality == DEFAULTS
    assert parsed(collapse=False, min_score=0.5, diversity=0.25, boost={}).quality == Quality(
        collapse=False, min_score=0.5, diversity=0.25, boost=(), boost_is_default=False
    )
    weights = {"gender": {"Men": 0.5, "Women": -0.5}, "usage": {"Casual": 0}}
    assert parsed(boost=weights).quality.boost == (
        ("gender", "Men", 0.5),
        ("gender", "Women", -0.5),
        ("usage", "Casual", 0.0),
    )


def test_several_queries_keep_their_order_and_their_places():
    message = {"jsonData": {"queries": [{"product_id": "1"}, {"image": PICTURE, "k": 2}]}}
    request = parse_request(message, LIMITS)
    assert request.several
    assert [query.label for query in request.queries] == ["queries[0]", "queries[1]"]
    assert [query.k for query in request.queries] == [10, 2]


def asking(options, says):
    return {"jsonData": {"product_id": "7", **options}}, says


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ([], "the body must be an object, not a list"),
        ({}, "one of jsonData and binData; found neither"),
        ({"jsonData": None}, "found neither"),
        ({"data": {}}, "unknown key 'data'"),
        ({"jsonData": {}, "binData": PICTURE}, "found jsonData and binData"),
        ({"jsonData": "7"}, "jsonData must be an object, not a text"),
        ({"jsonData": {}}, "needs one of product_id and image; found neither"),
        ({"jsonData": {"product_id": "7", "image": PICTURE}}, "found product_id and image"),
        ({"jsonData": {"product_id": 7}}, "product_id must be a text that is not empty, not 7"),
        ({"jsonData": {"product_id": ""}}, "product_id must be a text that is not empty"),
        ({"jsonData": {"product_id": "7", "top": 3}}, "unknown key 'top'; allowed: product_id"),
        ({"jsonData": {"product_id": "7", "k": 0}}, "k must be a whole number from 1 to 100"),
        ({"jsonData": {"product_id": "7", "k": 101}}, "from 1 to 100, not 101"),
        ({"jsonData": {"product_id": "7", "k": True}}, "not True"),
        ({"jsonData": {"product_id": "7", "k": 2.5}}, "not 2.5"),
        ({"jsonData": {"product_id": "7", "k": "5"}}, "not '5'"),
        ({"jsonData": {"product_id": "7", "k": None}}, "not null"),
        ({"jsonData": {"product_id": "7", "where": []}}, "where must be an object, not a list"),
        ({"jsonData": {"product_id": "7", "where": {"a": 1}}}, "where.a must be a text or a list"),
        ({"jsonData": {"product_id": "7", "where": {"a": []}}}, "a list of 1 to 64 texts"),
        ({"jsonData": {"product_id": "7", "where": {"a": ["b", 1]}}}, "a list of 1 to 64 texts"),
        (
            {"jsonData": {"product_id": "7", "where": {str(n): "x" for n in range(17)}}},
            "where has 17 conditions; allowed: 16",
        ),
        asking({"where": {"a": None}}, "where.a must be a text or a list of 1 to 64 texts, true"),
        asking({"where": {"a": {}}}, "where.a is empty; give it not, from, to"),
        asking({"where": {"a": {"above": 3}}}, "where.a has an unknown key 'above'; allowed: not"),
        asking({"where": {"a": {"not": {}}}}, "where.a.not must be a text or a list of 1 to 64"),
        asking({"where": {"a": {"not": []}}}, "where.a.not must be a text or a list of 1 to 64"),
        asking({"where": {"a": {"from": "3"}}}, "where.a.from must be a number, not '3'"),
        asking({"where": {"a": {"from": True}}}, "where.a.from must be a number, not True"),
        asking({"where": {"a": {"to": None}}}, "where.a.to must be a number, not null"),
        asking({"where": {"a": {"to": float("inf")}}}, "where.a.to must be a number, not inf"),
        asking({"where": {"a": {"from": 3, "to": 2}}}, "where.a: from 3 is above to 2"),
        asking({"only": []}, "only must be a list of 1 to 4 product ids (texts), not a list of 0"),
        asking({"only": "1"}, "only must be a list of 1 to 4 product ids (texts), not '1'"),
        asking({"only": [1]}, "only must be a list of 1 to 4 product ids (texts), not a list"),
        asking({"only": [""]}, "only must be a list of 1 to 4 product ids"),
        asking({"only": list("abcde")}, "product ids (texts), not a list of 5"),
        asking({"exclude": list("abcde")}, "exclude must be a list of 0 to 4 product ids"),
        asking({"exclude": None}, "exclude must be a list of 0 to 4 product ids (texts), not null"),
        asking({"collapse": 1}, "collapse must be true or false, not 1"),
        asking({"min_score": 1.5}, "min_score must be a number from -1 to 1, not 1.5"),
        asking({"min_score": "0"}, "min_score must be a number from -1 to 1, not '0'"),
        asking({"diversity": 1}, "diversity must be a number from 0 to 0.95, not 1"),
        asking({"diversity": False}, "diversity must be a number from 0 to 0.95, not False"),
        asking({"boost": []}, "boost must be an object, not a list"),
        asking({"boost": {"a": 1}}, "boost.a must be an object, not a number"),
        asking(
            {"boost": {"a": {"b": 0.6}}}, "boost.a.b must be a number from -0.5 to 0.5, not 0.6"
        ),
        asking({"boost": {"a": {"b": None}}}, "boost.a.b must be a number from -0.5 to 0.5, not"),
        asking(
            {"boost": {"a": {str(n): 0.1 for n in range(65)}}},
            "boost has 65 weights; allowed: 64",
        ),
        ({"jsonData": {"image": 3}}, "image must be an image file as base64 text, not 3"),
        ({"jsonData": {"image": "a*b="}}, "image is not base64"),
        ({"jsonData": {"image": "abc"}}, "image is not base64"),
        ({"jsonData": {"image": "é"}}, "image is not base64"),
        ({"jsonData": {"image": "A" * 44}}, "image is larger than 30 bytes"),
        ({"binData": "A" * 44}, "binData is larger than 30 bytes"),
        ({"jsonData": {"queries": []}}, "queries must be a list of 1 to 3, not a list of 0"),
        ({"jsonData": {"queries": [{}] * 4}}, "not a list of 4"),
        ({"jsonData": {"queries": {}}}, "queries must be a list of 1 to 3, not an object"),
        ({"jsonData": {"queries": [{}], "k": 3}}, "unknown key 'k'; allowed: queries"),
        ({"jsonData": {"queries": [{"product_id": "1"}, 7]}}, "queries[1] must be an object"),
        ({"jsonData": {"queries": [{"product_id": "1", "k": 0}]}}, "queries[0].k must be"),
    ],
)
def test_a_request_against_the_contract_is_told_what_is_wrong(message, says):
    assert says in rejection(message)


def test_the_largest_image_allowed_passes():
    image = bytes(30)
    message = {"binData": base64.b64encode(image).decode()}
    assert parse_request(message, LIMITS).queries[0].image == image


def test_a_message_is_cut_short_when_the_input_is_long():
    assert len(rejection({"jsonData": {"product_id": "7", "x" * 10_000: 1}})) < 300
    assert len(rejection({"jsonData": {"product_id": "7", "k": "x" * 10_000}})) < 300


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', '"\\ud800"'])
def test_a_body_that_is_not_json_is_rejected(body):
    with pytest.raises(QueryRejected, match="not JSON"):
        decode_message(body)


def test_a_puid_is_kept_or_made():
    assert request_puid({"meta": {"puid": "abc"}}) == "abc"
    assert request_puid({"meta": {}}) != request_puid({})
    for puid in (3, "x" * 129, "a\nb", "\ud800"):
        with pytest.raises(QueryRejected, match="puid"):
            request_puid({"meta": {"puid": puid}})
    with pytest.raises(QueryRejected, match="meta must be an object"):
        request_puid({"meta": 3})
