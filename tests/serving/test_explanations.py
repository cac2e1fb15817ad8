"""What an answer says of itself when a query asks to explain."""

import pytest

from recsys.serving.requests import Quality, Query
from serving.test_answers_against_a_slow_reference import Product, name, opened

CATALOG = [
    Product(4, "Red", "2010", group=0),
    Product(0, "Red", "NA", group=1),
    Product(0, "Blue", "2010", in_stock=False, group=2),
    Product(0, "Blue", "2010", group=2),
    Product(1, "Green", "2012", group=0),
    Product(3, "Red", "2014", group=5),
]
BOOST = (("colour", "Green", 0.05), ("in_stock", "false", -0.2))


PLAIN = Quality()
FIRST = name(0)


def asked(quality=PLAIN, *, product=FIRST, explain=True, catalog=CATALOG):
    query = Query(10, product, quality=quality, explain=explain)
    (answer,) = opened(catalog).answer([query])
    return answer.results


def explained(*options, **more):
    results = asked(*options, **more)
    return {result["product_id"]: result["explanation"] for result in results}


def test_nothing_is_explained_unasked():
    assert all("explanation" not in result for result in asked(explain=False))


@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize("diversity", [0.0, 0.3])
@pytest.mark.parametrize("boost", [(), BOOST])
def test_the_parts_add_up_to_what_a_result_was_ranked_by(collapse, diversity, boost):
    for result in asked(Quality(collapse, diversity=diversity, boost=boost)):
        why = result["explanation"]
        assert why["cosine"] == result["score"]
        ranked_by = result.get("rank_score", result["score"])
        assert why["cosine"] + why["boost"] + why["diversity"] == pytest.approx(ranked_by, abs=3e-6)


def test_a_boost_is_told_where_it_applies():
    why = explained(Quality(boost=BOOST))
    assert {product: parts["boost"] for product, parts in why.items()} == {
        name(1): 0,
        name(2): -0.2,
        name(3): 0,
        name(4): 0.05,
        name(5): 0,
    }
    assert {parts["diversity"] for parts in why.values()} == {0}


def test_diversity_tells_the_likeness_that_it_counted():
    results = asked(Quality(diversity=0.5))
    first, second, third, fourth, fifth = (result["explanation"] for result in results)
    # Half of cosine and likeness is taken away: nothing stands before the first, p1.
    assert (first["likeness"], first["diversity"]) == (0, -0.25)
    # p4 is like p1 by 0.5, p2 and p3 are p1's very direction; p5 is unlike all of them.
    assert [result["product_id"] for result in results] == [name(row) for row in (1, 4, 2, 3, 5)]
    assert (second["likeness"], second["diversity"]) == (0.5, -0.5)
    assert third["likeness"] == fourth["likeness"] == 1
    assert (fifth["likeness"], fifth["diversity"]) == (0, 0.25)
    assert all("likeness" not in why for why in explained().values())


def test_attributes_shared_with_the_product_are_told_but_not_that_both_are_unknown():
    why = explained(product=name(0))
    assert why[name(1)]["shared_attributes"] == {"colour": "Red", "in_stock": "true"}
    assert why[name(2)]["shared_attributes"] == {"year": "2010"}
    unknown = [Product(0, year="NA"), Product(0, year="NA", group=1)]
    only = explained(catalog=unknown)[name(1)]
    assert only["shared_attributes"] == {"colour": "Red", "in_stock": "true"}


def test_who_shows_the_same_picture_is_told():
    why = explained()
    assert {product for product, parts in why.items() if parts["same_picture"]} == {name(4)}
    assert [parts["picture_products"] for _, parts in sorted(why.items())] == [1, 2, 2, 2, 1]
    collapsed = explained(Quality(collapse=True))
    assert name(3) not in collapsed
    assert collapsed[name(2)]["picture_products"] == 2
