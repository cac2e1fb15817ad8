"""How `recsys similar` takes conditions, and tells an explanation."""

import pytest

from recsys.cli.similar import conditions, why
from recsys.errors import QueryRejected


@pytest.mark.parametrize(
    ("texts", "where"),
    [
        ([], {}),
        (["gender=Men"], {"gender": "Men"}),
        (["gender=Men", "gender=Women"], {"gender": ["Men", "Women"]}),
        (["usage!=Ethnic", "usage!=Home"], {"usage": {"not": ["Ethnic", "Home"]}}),
        (["year>=2010", "year<=2016.5"], {"year": {"from": 2010, "to": 2016.5}}),
        (["year>=2010", "year!=2012"], {"year": {"from": 2010, "not": ["2012"]}}),
        (["name=a=b"], {"name": "a=b"}),
    ],
)
def test_conditions_are_those_of_a_request(texts, where):
    assert conditions(texts) == where


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["gender"], "takes field=value"),
        (["=Men"], "takes field=value"),
        (["gender="], "takes field=value"),
        (["year>2010"], "takes field=value"),
        (["year>=new"], "'new' is not a number"),
        (["year>=nan"], "'nan' is not a number"),
        (["year=2010", "year>=2009"], "cannot stand beside"),
    ],
)
def test_what_is_none_is_told_so(texts, says):
    with pytest.raises(QueryRejected, match=says):
        conditions(texts)


def test_an_explanation_tells_what_counted_and_what_is_shared():
    told = why(
        {
            "cosine": 0.75,
            "boost": 0.05,
            "diversity": 0,
            "picture_products": 2,
            "same_picture": False,
            "shared_attributes": {"gender": "Men", "usage": "Casual"},
        }
    )
    assert told == "cosine 0.7500, boost +0.0500, one of 2 with this picture\nMen, Casual"
    of_a_picture = {"cosine": 0.5, "boost": 0, "diversity": -0.1, "picture_products": 1}
    assert why(of_a_picture) == "cosine 0.5000, diversity -0.1000"
