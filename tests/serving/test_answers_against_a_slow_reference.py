"""Whatever the catalog and the request, an answer is that of a slow and plain reference.

The catalogs' vectors have few directions, whose cosines are exact in float32 (0, ±1/2, ±1):
most products tie with others, and no rounding hides a wrong order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import index as index_room
from recsys.artifacts.change import Action, Change, last_of_each
from recsys.artifacts.conditions import Condition
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import RELEASE_FILES, Release
from recsys.embedding.encoder import Encoder
from recsys.errors import QueryRejected
from recsys.images import ImageLimits
from recsys.serving import shelf
from recsys.serving.engine import Answer, ServingRelease
from recsys.serving.requests import Quality, Query, Selection
from recsys.serving.tail import Tail
from serving_release import EMBEDDER, ref, verdict

COLOURS = ("Blue", "Green", "Red")
YEARS = ("2010", "2012", "2014", "NA")
DIRECTIONS = np.array(
    [
        [0.5, 0.5, 0.5, 0.5],
        [0.5, 0.5, -0.5, 0.5],
        [0.5, -0.5, 0.5, 0.5],
        [-0.5, 0.5, -0.5, -0.5],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, -1, 0],
    ],
    np.float32,
)
LIMITS = ImageLimits(max_bytes=1_000, max_pixels=1_000)
ENCODER = Encoder(EMBEDDER)


@dataclass(frozen=True)
class Product:
    """A row, in plain Python."""

    direction: int
    colour: str = "Red"
    year: str = "2010"
    in_stock: bool = True
    group: int = 0


product_rows = st.builds(
    Product,
    st.integers(0, len(DIRECTIONS) - 1),
    st.sampled_from(COLOURS),
    st.sampled_from(YEARS),
    st.booleans(),
    st.integers(0, 5),
)
catalogs = st.lists(product_rows, min_size=1, max_size=40)


def name(row: int) -> str:
    return f"p{row:02}"


def opened(
    catalog: list[Product], vectors: np.ndarray | None = None, ids: list[str] | None = None
) -> ServingRelease:
    """A release in memory, without its files."""
    if vectors is None:
        vectors = DIRECTIONS[[product.direction for product in catalog]]
    table = ProductTable.from_columns(
        ids or [name(row) for row in range(len(catalog))],
        ["" for _ in catalog],
        {
            "colour": [product.colour for product in catalog],
            "year": [product.year for product in catalog],
        },
        groups=[str(product.group) for product in catalog],
        in_stock=[product.in_stock for product in catalog],
    )
    index = index_room.build(vectors, "Flat", 1, 0)
    return ServingRelease(manifest(vectors), table, vectors, index, ENCODER, LIMITS)


def manifest(vectors: np.ndarray) -> Release:
    return Release(
        model_digest="0",
        index_digest="0",
        factory="Flat",
        breadth=1,
        dimension=vectors.shape[1],
        image_width=6,
        image_height=8,
        products=len(vectors),
        files=dict.fromkeys(RELEASE_FILES, "0"),
        inputs={"catalog": ref("catalog")},
        verdicts=(verdict(),),
    )


@st.composite
def selections(draw: st.DrawFn, catalog: list[Product]) -> Selection:
    """Conditions on values that the catalog has; lists of its products and of others."""
    colours = st.sampled_from(sorted({product.colour for product in catalog}))
    some_colours = st.lists(colours, min_size=1, max_size=2).map(tuple)
    flags = st.sampled_from([("true",), ("false",), ("true", "false")])
    conditions = {
        "colour": st.builds(Condition, any_of=some_colours)
        | st.builds(Condition, none_of=some_colours),
        "in_stock": st.builds(Condition, any_of=flags),
    }
    if any(product.year != "NA" for product in catalog):
        bound = st.none() | st.sampled_from([2009, 2010.0, 2012, 2013.5, 2014])
        conditions["year"] = st.builds(Condition, at_least=bound, at_most=bound)
    fields = sorted(draw(st.sets(st.sampled_from(sorted(conditions)))))
    ids = st.lists(st.integers(0, len(catalog) + 3).map(name), max_size=30, unique=True)
    return Selection(
        tuple((field, draw(conditions[field])) for field in fields),
        draw(st.none() | ids.filter(bool).map(tuple)),
        draw(ids.map(tuple)),
    )


@st.composite
def qualities(draw: st.DrawFn) -> Quality:
    values = [("colour", colour) for colour in COLOURS]
    values += [*(("year", year) for year in YEARS), ("in_stock", "false")]
    boosted = draw(st.lists(st.sampled_from(values), max_size=3, unique=True))
    eighths = st.integers(-8, 8).map(lambda number: number / 8)
    return Quality(
        collapse=draw(st.booleans()),
        min_score=draw(st.sampled_from([-1, -0.5, 0, 0.25, 0.5, 1])),
        diversity=draw(st.sampled_from([0, 0, 0.25, 0.5, 0.75])),
        boost=tuple((*pair, draw(eighths)) for pair in boosted),
        boost_is_default=True,  # the catalog may lack the value
        candidates_per_result=draw(st.integers(1, 3)),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Product], list[Query]]:
    catalog = draw(catalogs)
    asked = st.builds(
        Query,
        st.integers(1, 12),
        st.integers(0, len(catalog) - 1).map(name),
        selection=selections(catalog),
        quality=qualities(),
    )
    return catalog, draw(st.lists(asked, min_size=1, max_size=3))


def own_row(query: Query) -> int:
    return int(str(query.product_id)[1:])


def reference(catalog: list[Product], query: Query) -> list[tuple[str, float, float]]:
    """(id, score, what it was ranked by): every rule on its own, nothing clever."""
    quality, own = query.quality, own_row(query)
    shown = [
        row
        for row in range(len(catalog))
        if row != own
        and may_be_shown(catalog[row], name(row), query.selection)
        and cosine(catalog, own, row) >= quality.min_score
    ]
    shown.sort(key=lambda row: (-cosine(catalog, own, row), row))
    group = {row: catalog[row].group if quality.collapse else row for row in shown}
    if quality.boost or quality.diversity:
        shown = before_one_group_too_many(shown, group, query.k * quality.candidates_per_result)
    worth = {row: cosine(catalog, own, row) + boosted(catalog[row], quality) for row in shown}
    shown.sort(key=lambda row: (-worth[row], row))
    best: dict[int, int] = {}
    for row in shown:
        best.setdefault(group[row], row)
    rows = list(best.values())
    answer = [(row, worth[row]) for row in rows[: query.k]]
    if quality.diversity:
        answer = diverse(catalog, rows, worth, query.k, quality.diversity)
    return [(name(row), cosine(catalog, own, row), value) for row, value in answer]


def may_be_shown(product: Product, product_id: str, selection: Selection) -> bool:
    listed = selection.only is None or product_id in selection.only
    values = values_of(product)
    return (
        listed
        and product_id not in selection.exclude
        and all(satisfies(values[field], condition) for field, condition in selection.where)
    )


def satisfies(value: str, condition: Condition) -> bool:
    if condition.any_of is not None and value not in condition.any_of:
        return False
    if value in condition.none_of:
        return False
    if condition.at_least is None and condition.at_most is None:
        return True
    low = -np.inf if condition.at_least is None else condition.at_least
    high = np.inf if condition.at_most is None else condition.at_most
    return value != "NA" and low <= float(value) <= high


def values_of(product: Product) -> dict[str, str]:
    stock = "true" if product.in_stock else "false"
    return {"colour": product.colour, "year": product.year, "in_stock": stock}


def cosine(catalog: list[Product], one: int, other: int) -> float:
    return float(DIRECTIONS[catalog[one].direction] @ DIRECTIONS[catalog[other].direction])


def boosted(product: Product, quality: Quality) -> float:
    values = values_of(product)
    return sum(weight for field, value, weight in quality.boost if values[field] == value)


def before_one_group_too_many(rows: list[int], group: dict[int, int], most: int) -> list[int]:
    return [
        row
        for place, row in enumerate(rows)
        if len({group[other] for other in rows[: place + 1]}) <= most
    ]


def diverse(
    catalog: list[Product], rows: list[int], worth: dict[int, float], k: int, diversity: float
) -> list[tuple[int, float]]:
    taken: list[tuple[int, float]] = []
    waiting = list(rows)
    while waiting and len(taken) < k:
        values = [
            (1 - diversity) * worth[row]
            - diversity * max([0, *(cosine(catalog, row, other) for other, _ in taken)])
            for row in waiting
        ]
        best = values.index(max(values))
        taken.append((waiting.pop(best), values[best]))
    return taken


def told(answer: Answer) -> list[tuple[str, float, float]]:
    return [
        (result["product_id"], result["score"], result.get("rank_score", result["score"]))
        for result in answer.results
    ]


@settings(max_examples=200, deadline=None)
@given(cases())
def test_an_answer_is_that_of_the_reference(case: tuple[list[Product], list[Query]]) -> None:
    catalog, queries = case
    known = {name(row) for row in range(len(catalog))}
    answers = opened(catalog).answer(queries)
    for query, answer in zip(queries, answers, strict=True):
        expected = reference(catalog, query)
        assert told(answer) == expected
        assert answer.underfilled == (len(expected) < query.k)
        listed = query.selection.only or ()
        assert answer.unknown_products == tuple(item for item in listed if item not in known)
        ranked_by = [rank_score for _, _, rank_score in told(answer)]
        assert ranked_by == sorted(ranked_by, reverse=True)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_collapsing_changes_nothing_where_no_two_products_share_a_picture(
    case: tuple[list[Product], list[Query]],
) -> None:
    catalog, queries = case
    serving = opened([replace(product, group=row) for row, product in enumerate(catalog)])
    without, collapsed = (
        serving.answer([replace(one, quality=replace(one.quality, collapse=on)) for one in queries])
        for on in (False, True)
    )
    assert without == collapsed


@settings(max_examples=40, deadline=None)
@given(cases(), st.integers(0, 2**32 - 1))
def test_so_it_is_on_vectors_of_any_direction(
    case: tuple[list[Product], list[Query]], seed: int
) -> None:
    catalog, queries = case
    vectors = np.random.default_rng(seed).normal(size=(len(catalog), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    plain = [replace(query, quality=Quality(collapse=True)) for query in queries]
    for query, answer in zip(plain, opened(catalog, vectors).answer(plain), strict=True):
        own = own_row(query)
        best: dict[int, int] = {}
        for row in np.argsort(-(vectors * vectors[own]).sum(axis=1), kind="stable").tolist():
            group = catalog[row].group
            if row != own and may_be_shown(catalog[row], name(row), query.selection):
                best.setdefault(group, row)
        expected = [name(row) for row in list(best.values())[: query.k]]
        assert [product_id for product_id, _, _ in told(answer)] == expected


@st.composite
def changed_cases(
    draw: st.DrawFn,
) -> tuple[list[Product], list[tuple[str, Product | None]], list[Query]]:
    """A catalog, changes of it (None delists), and queries that know of both or of neither.

    New ids stand between those of the catalog and behind them; a colour is the tail's alone.
    Products of one direction show one picture.
    """
    catalog = [replace(item, group=item.direction) for item in draw(catalogs)]
    ids = [name(row) for row in range(len(catalog) + 2)]
    products = st.sampled_from([*ids, *(f"{item}a" for item in ids)])
    colours = st.sampled_from((*COLOURS, "Pink"))
    upserted = st.builds(
        lambda item, colour: replace(item, colour=colour, group=item.direction),
        product_rows,
        colours,
    )
    made = draw(st.lists(st.tuples(products, st.none() | upserted), max_size=12))
    kept = set(ids[: len(catalog)]) - {product for product, item in made if item is None}
    if not kept:
        made = []
    listed = st.lists(products, max_size=30, unique=True)
    conditions = [("colour", draw(colours)), ("in_stock", "true"), ("year", "2010")]
    where = draw(st.lists(st.sampled_from(conditions), max_size=2, unique=True))
    some = st.none() | listed.filter(bool).map(tuple)
    asked = st.builds(
        Query,
        st.integers(1, 12),
        products,
        selection=st.builds(
            Selection,
            st.just(tuple((field, Condition(any_of=(value,))) for field, value in where)),
            some,
            listed.map(tuple),
        ),
        quality=qualities(),
    )
    return catalog, made, draw(st.lists(asked, min_size=1, max_size=3))


def tail_of(made: list[tuple[str, Product | None]]) -> Tail:
    changes = [
        Change(
            number,
            Action.DELIST if item is None else Action.UPSERT,
            product,
            {} if item is None else {"id": product, **values_of(item)},
            "" if item is None else f"{product}.png",
            "" if item is None else str(item.direction),
            "",
            "",
        )
        for number, (product, item) in enumerate(made, 1)
    ]
    holding = last_of_each(changes)
    vectors = {
        product: DIRECTIONS[int(change.sha256)]
        for product, change in holding.items()
        if change.action is Action.UPSERT
    }
    return Tail.of(holding, vectors, len(made))


def rebuilt(catalog: list[Product], made: list[tuple[str, Product | None]]) -> ServingRelease:
    """The release of a night that folded the changes in."""
    stands: dict[str, Product] = {name(row): item for row, item in enumerate(catalog)}
    for product, item in made:
        stands.pop(product, None)
        if item is not None:
            stands[product] = item
    ids = sorted(stands)
    return opened([stands[product] for product in ids], ids=ids)


def outcome(serving: ServingRelease, queries: list[Query]) -> object:
    """All that is answered, or how it is refused; not which part a product came from."""
    try:
        answers = serving.answer(queries)
    except QueryRejected as refusal:
        return type(refusal), str(refusal)
    for answer in answers:
        for result in answer.results:
            del result["part"]
    return answers


@settings(max_examples=300, deadline=None)
@given(changed_cases(), st.sampled_from([0, 2, 64]))
def test_a_release_with_changes_answers_as_one_that_was_made_anew_with_them(
    case: tuple[list[Product], list[tuple[str, Product | None]], list[Query]], few_gone: int
) -> None:
    catalog, made, queries = case
    changed = opened(catalog).with_tail(tail_of(made))
    anew = rebuilt(catalog, made)
    plain = [Query(60, product) for product in sorted({query.product_id for query in queries})]
    with patch.object(shelf, "_FEW_GONE", few_gone):
        for asked in (queries, *([query] for query in plain)):
            assert outcome(changed, asked) == outcome(anew, asked)


@settings(max_examples=60, deadline=None)
@given(changed_cases())
def test_each_result_says_whether_it_came_from_the_release_or_from_the_tail(
    case: tuple[list[Product], list[tuple[str, Product | None]], list[Query]],
) -> None:
    catalog, made, _ = case
    new = {product for product, item in last_made(made).items() if item is not None}
    changed = opened(catalog).with_tail(tail_of(made))
    known = [name(row) for row in range(len(catalog)) if name(row) not in last_made(made)]
    for product in known[:3]:
        (answer,) = changed.answer([Query(60, product)])
        parts = {result["product_id"]: result["part"] for result in answer.results}
        assert {item for item, part in parts.items() if part == "tail"} == new
        assert set(parts.values()) <= {"release", "tail"}


def last_made(made: list[tuple[str, Product | None]]) -> dict[str, Product | None]:
    return dict(made)


def test_a_large_group_does_not_hide_what_lies_behind_it() -> None:
    catalog = [Product(1), *[Product(0, group=1)] * 300, Product(4, group=2)]
    (answer,) = opened(catalog).answer([Query(3, name(0), quality=Quality(collapse=True))])
    assert [product_id for product_id, _, _ in told(answer)] == [name(1), name(301)]
    assert answer.underfilled


def test_the_last_of_a_group_may_be_its_best() -> None:
    catalog = [Product(1), *[Product(0, group=1)] * 20, Product(0, colour="Blue", group=1)]
    quality = Quality(collapse=True, boost=(("colour", "Blue", 0.25),), candidates_per_result=1)
    (answer,) = opened(catalog).answer([Query(1, name(0), quality=quality)])
    assert told(answer) == [(name(21), 0.5, 0.75)]


@pytest.mark.parametrize(
    ("boost", "says"),
    [
        (("size", "L", 0.1), "boost: unknown field 'size'; allowed: colour, year, in_stock"),
        (("colour", "Pink", 0.1), "boost: colour has no value 'Pink'; allowed: Red"),
    ],
)
def test_a_boost_of_what_the_release_lacks_is_told_unless_it_is_a_default(
    boost: tuple[str, str, float], says: str
) -> None:
    serving = opened([Product(0), Product(1, group=1)])
    by_default = Quality(boost=(boost,), boost_is_default=True)
    (answer,) = serving.answer([Query(1, name(0), quality=by_default)])
    assert told(answer) == [(name(1), 0.5, 0.5)]
    asked = Query(1, name(0), quality=replace(by_default, boost_is_default=False), label="query 7")
    with pytest.raises(QueryRejected, match=f"^query 7: {says}"):
        serving.answer([asked])
