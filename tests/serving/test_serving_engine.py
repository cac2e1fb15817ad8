import numpy as np
import pytest

from recsys.artifacts.conditions import Condition
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import Release
from recsys.errors import ArtifactInvalid, ProductUnknown, QueryRejected
from recsys.images import ImageLimits
from recsys.serving.engine import ServingRelease
from recsys.serving.remembered import Remembered
from recsys.serving.requests import Quality, Query, Selection
from recsys.serving.shelf import ReleaseShelf
from recsys.serving.tail import Tail
from serving_release import (
    EMBEDDER,
    IDS,
    PRODUCTS,
    damage,
    make_release,
    parts,
    pictures,
    png,
    products,
    vectors,
)

LIMITS = ImageLimits(max_bytes=100_000, max_pixels=10_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    releases = tmp_path_factory.mktemp("engine") / "releases"
    return releases / make_release(releases).id


@pytest.fixture(scope="module")
def serving(folder):
    return ServingRelease.open(folder, LIMITS)


def where(**values):
    return Selection(tuple((field, Condition(any_of=any_of)) for field, any_of in values.items()))


def ids(answer):
    return [result["product_id"] for result in answer.results]


def nearest(row, k, keep=lambda row: True):
    """By brute force: the rows closest to a row, itself apart."""
    scores = vectors() @ vectors()[row]
    order = [int(other) for other in np.argsort(-scores) if other != row and keep(other)]
    return [IDS[other] for other in order[:k]], scores[order[:k]]


def test_a_products_neighbours_are_those_of_brute_force_without_itself(serving):
    (answer,) = serving.answer([Query(5, IDS[7])])
    expected, scores = nearest(7, 5)
    assert ids(answer) == expected
    assert [result["score"] for result in answer.results] == pytest.approx(scores, abs=2e-6)
    assert not answer.underfilled
    assert answer.results[0]["name"] == f"Product {expected[0]} – é"


def test_asked_again_for_a_product_it_answers_the_same_without_searching(serving, monkeypatch):
    plain, others = (
        Query(5, IDS[9]),
        [
            Query(6, IDS[9]),
            Query(5, IDS[9], quality=Quality(diversity=0.5)),
            Query(5, IDS[9], quality=Quality(min_score=0.5)),
            Query(5, IDS[9], explain=True),
            Query(5, IDS[9], selection=where(gender=("Men",))),
            Query(5, IDS[8]),
        ],
    )
    first = [serving.answer([query]) for query in (plain, *others)]
    again = [serving.answer([query]) for query in (plain, *others)]
    assert again == first
    assert serving.answer([plain, *others]) == [answer for (answer,) in first]
    monkeypatch.delattr(ReleaseShelf, "search")
    assert serving.answer([plain, *others[:4]]) == [answer for (answer,) in first[:5]]


def test_what_was_found_before_a_change_is_not_told_after_it(serving):
    (before,) = serving.answer([Query(3, IDS[11])])
    gone = ids(before)[0]
    changed = serving.with_tail(Tail(1, gone=frozenset({gone})))
    (after,) = changed.answer([Query(3, IDS[11])])
    assert ids(after)[:2] == ids(before)[1:]
    assert serving.answer([Query(3, IDS[11])]) == [before]


def test_a_products_own_picture_finds_that_product_first(serving):
    (answer,) = serving.answer([Query(3, image=png(pictures()[7]))])
    assert ids(answer)[0] == IDS[7]
    assert answer.results[0]["score"] == pytest.approx(1.0, abs=1e-5)
    assert ids(answer)[1:] == nearest(7, 2)[0]


def test_several_queries_get_what_each_gets_alone(serving):
    women = where(gender=("Women",))
    queries = [
        Query(2, IDS[0]),
        Query(7, image=png(pictures()[3]), selection=women),
        Query(4, IDS[5], selection=women),
        Query(1, image=png(pictures()[9])),
    ]
    together = serving.answer(queries)
    for query, answer in zip(queries, together, strict=True):
        (alone,) = serving.answer([query])
        assert ids(answer) == ids(alone)
        assert len(answer.results) == query.k


def test_conditions_hold_for_every_result_and_fill_up_from_afar(serving):
    selection = where(gender=("Women",), articleType=("Shoes", "Watches"))
    (answer,) = serving.answer([Query(10, IDS[0], selection=selection)])
    expected, _ = nearest(0, 10, lambda row: row % 2 == 1 and row % 3 != 0)
    assert ids(answer) == expected
    assert all(result["attributes"]["gender"] == "Women" for result in answer.results)


def test_an_answer_says_when_there_are_not_enough_products(serving):
    (answer,) = serving.answer([Query(PRODUCTS, IDS[0])])
    assert len(answer.results) == PRODUCTS - 1
    assert answer.underfilled
    only_itself = [Query(3, IDS[0], selection=where(gender=("Men",), articleType=("Shirts",)))]
    (answer,) = serving.answer(only_itself)
    assert len(answer.results) == 3
    assert not answer.underfilled


def test_what_a_release_does_not_hold_is_told_with_the_query_and_what_it_does(serving):
    with pytest.raises(ProductUnknown, match="'99' is not among the 48 products"):
        serving.answer([Query(1, "99")])
    with pytest.raises(
        QueryRejected, match=r"^queries\[2\]: where: unknown field 'size'; allowed: "
    ):
        serving.answer([Query(1, IDS[0], selection=where(size=("L",)), label="queries[2]")])
    with pytest.raises(QueryRejected, match="no value 'Dogs'; allowed: Men, Women"):
        serving.answer([Query(1, IDS[0], selection=where(gender=("Dogs",)))])
    with pytest.raises(QueryRejected, match="not a JPEG, PNG or WebP"):
        serving.answer([Query(1, image=b"GIF89a and more")])


def test_an_image_with_too_many_pixels_is_rejected(serving):
    with pytest.raises(QueryRejected, match="pixels"):
        serving.answer([Query(1, image=png(np.zeros((101, 100, 3), np.uint8)))])


@pytest.mark.parametrize(
    "name", ["vectors.npy", "index.faiss", "embedder.tflite", "product_ids.npy"]
)
def test_a_damaged_release_is_not_opened(tmp_path, name):
    home = tmp_path / "releases" / make_release(tmp_path / "releases").id
    damage(home, name)
    with pytest.raises(ArtifactInvalid, match=name.replace(".", r"\.")):
        ServingRelease.open(home, LIMITS)


def forged(tmp_path, **changes):
    """A release folder whose manifest is sound in itself, with some part changed."""
    given = parts(tmp_path / "parts")
    home = tmp_path / "forged"
    home.mkdir()
    changes.pop("table", products()).save(home)
    content = {
        "embedder.tflite": EMBEDDER.read_bytes(),
        "index.faiss": given["index_file"].read_bytes(),
        "vectors.npy": given["vectors"].read_bytes(),
        **changes.pop("content", {}),
    }
    for name, data in content.items():
        (home / name).write_bytes(data)
    files = {path.name: sha256_file(path) for path in home.iterdir()}
    fields = {
        "model_digest": files["embedder.tflite"],
        "index_digest": files["index.faiss"],
        "factory": "Flat",
        "breadth": 1,
        "dimension": vectors().shape[1],
        "image_width": 6,
        "image_height": 8,
        "products": PRODUCTS,
        "files": files,
        "inputs": given["inputs"],
        "verdicts": given["verdicts"],
        **changes,
    }
    release = Release(**fields)
    (home / "manifest.json").write_bytes(release.to_json())
    return home.rename(tmp_path / release.id)


@pytest.mark.parametrize(
    "changes",
    [
        {"dimension": 9},
        {"products": 47},
        {"image_width": 8, "image_height": 6},
        {"content": {"vectors.npy": b"no array"}},
        {"content": {"index.faiss": b"no index"}},
        {"content": {"embedder.tflite": b"no model"}},
    ],
)
def test_parts_that_do_not_fit_together_are_not_opened_even_with_sound_digests(tmp_path, changes):
    with pytest.raises(ArtifactInvalid, match="cannot be opened"):
        ServingRelease.open(forged(tmp_path, **changes), LIMITS)


def test_a_table_of_other_products_is_not_opened(tmp_path):
    table = ProductTable.from_columns(["1"], ["one"], {"gender": ["Men"]})
    with pytest.raises(ArtifactInvalid, match="cannot be opened"):
        ServingRelease.open(forged(tmp_path, table=table), LIMITS)


def test_a_bounded_memory_forgets_the_oldest_first():
    memory = Remembered[str](2)
    for key in "abca":
        memory.put(key, key.upper())
    assert [memory.get(key) for key in "abc"] == ["A", None, "C"]
    assert len(memory) == 2
