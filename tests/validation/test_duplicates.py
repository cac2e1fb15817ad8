from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from recsys.errors import BadInput
from recsys.validation.duplicates import DuplicateGroups, find_duplicates, thumbnails


def catalog(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Products of (id, picture, label)."""
    return pd.DataFrame(
        [
            (name, hashlib.sha256(picture.encode()).hexdigest(), label)
            for name, picture, label in rows
        ],
        columns=["id", "sha256_pixels", "articleType"],
    )


def flipped(text: str, bits: int) -> str:
    """The hash with its lowest bits flipped."""
    return f"{int(text, 16) ^ ((1 << bits) - 1):016x}"


def random_hashes(count: int, seed: int = 1) -> list[str]:
    """Unrelated hashes: two of them differ in 32 bits or so."""
    random = np.random.default_rng(seed)
    return [f"{int(bits):016x}" for bits in random.integers(0, 2**64, count, dtype=np.uint64)]


def grouped(
    products: pd.DataFrame,
    phashes: list[str] | None = None,
    vectors: npt.NDArray[np.float32] | None = None,
    most: int = 2,
) -> DuplicateGroups:
    return find_duplicates(
        products,
        phashes,
        None if vectors is None else lambda rows: vectors[rows],
        max_hash_distance=most,
        min_cosine=0.9,
    )


def test_products_of_one_picture_are_a_group_named_after_the_smallest_id() -> None:
    products = catalog(("9", "a", "Tops"), ("10", "a", "Shirts"), ("5", "b", "Tops"))
    groups = grouped(products)
    assert groups.group.to_list() == ["10", "10", "5"]  # as text "10" comes before "9"
    assert groups.table.to_dict("records") == [
        {
            "kind": "exact",
            "group": "10",
            "size": 2,
            "images": 1,
            "labels": 2,
            "conflicting": True,
            "products": "10 9",
        }
    ]


def test_hashes_within_the_distance_are_near_and_others_are_not() -> None:
    products = catalog(("a", "1", "Tops"), ("b", "2", "Tops"), ("c", "3", "Tops"))
    (base,) = random_hashes(1)
    groups = grouped(products, [base, flipped(base, 2), flipped(base, 5)])
    assert groups.group.to_list() == ["a", "a", "c"]
    assert groups.table["kind"].to_list() == ["near"]
    assert groups.table["images"].to_list() == [2]
    assert not groups.table["conflicting"].any()


def test_groups_are_connected_through_their_members() -> None:
    products = catalog(("a", "1", "Tops"), ("b", "2", "Tops"), ("c", "3", "Tops"))
    (base,) = random_hashes(1)
    groups = grouped(products, [base, flipped(base, 4), flipped(base, 2)])
    assert groups.group.to_list() == ["a", "a", "a"]


def test_an_exact_group_inside_a_near_one_is_listed_as_both() -> None:
    products = catalog(("a", "1", "Tops"), ("b", "1", "Tops"), ("c", "2", "Shirts"))
    (base,) = random_hashes(1)
    groups = grouped(products, [base, base, flipped(base, 1)])
    table = groups.table.set_index("kind")
    assert table["products"].to_dict() == {"exact": "a b", "near": "a b c"}
    assert table["conflicting"].to_dict() == {"exact": False, "near": True}
    assert groups.figures().iloc[0].to_dict() == {
        "exact_groups": 1,
        "exact_products": 2,
        "exact_conflicting_groups": 0,
        "largest_exact_group": 2,
        "near_groups": 1,
        "near_products": 3,
        "near_conflicting_groups": 1,
        "largest_near_group": 3,
    }


def test_vectors_must_confirm_what_the_hashes_suggest() -> None:
    products = catalog(("a", "1", "Tops"), ("b", "2", "Tops"), ("c", "3", "Tops"))
    (base,) = random_hashes(1)
    # The cosines with the first are 0.96 and 0.8; that between the others is 0.936.
    vectors = np.array([[1, 0], [0.96, 0.28], [0.8, -0.6]], np.float32)
    groups = grouped(products, [base] * 3, vectors)
    assert groups.group.to_list() == ["a", "a", "c"]


def test_vectors_alone_make_no_duplicates() -> None:
    products = catalog(("a", "1", "Tops"), ("b", "2", "Tops"))
    groups = grouped(products, random_hashes(2), np.ones((2, 1), np.float32))
    assert groups.group.to_list() == ["a", "b"]
    assert len(groups.table) == 0
    assert groups.figures().sum(axis=1).item() == 0


def test_vectors_are_asked_for_once_and_only_of_pictures_with_a_close_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recsys.validation.duplicates._BLOCK_PAIRS", 4)
    base, other, *unlike = random_hashes(5)
    products = catalog(*[(f"{number}", f"{number // 2}", "Tops") for number in range(14)])
    # Pictures 0, 2 and 6 are close, and 1 and 5; each is shown by two products.
    of_picture = [base, other, flipped(base, 1), *unlike[:2], flipped(other, 2), base]
    asked: list[list[int]] = []

    def ones(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        asked.append(rows.tolist())
        return np.ones((len(rows), 1), np.float32)

    groups = find_duplicates(
        products,
        [of_picture[number // 2] for number in range(14)],
        ones,
        max_hash_distance=2,
        min_cosine=0.9,
    )
    assert asked == [[0, 2, 4, 10, 12]]
    assert sorted(set(groups.group)) == ["0", "10", "6", "8"]


def test_row_order_does_not_matter_and_the_index_is_kept() -> None:
    random = np.random.default_rng(4)
    base = random_hashes(40)
    rows = [(f"p{number}", f"{number}", "Tops") for number in range(200)]
    products = catalog(*rows).assign(
        phash=[flipped(base[number % 40], int(random.integers(0, 4))) for number in range(200)]
    )
    mixed = products.sample(frac=1, random_state=2)
    straight = grouped(products, products["phash"].to_list())
    turned = grouped(mixed, mixed["phash"].to_list())
    assert turned.group.sort_index().equals(straight.group)
    assert turned.table.equals(straight.table)


def test_groups_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    # Small blocks, so that groups reach over several of them.
    monkeypatch.setattr("recsys.validation.duplicates._BLOCK_PAIRS", 500)
    monkeypatch.setattr("recsys.validation.duplicates._HELD_PAIRS", 60)
    random = np.random.default_rng(7)
    hashes = random.integers(0, 256, 150, dtype=np.uint64)  # eight bits: many are close
    products = catalog(*[(f"p{number:03}", f"{number}", "Tops") for number in range(150)])
    vectors = random.normal(size=(150, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = grouped(products, [f"{int(bits):016x}" for bits in hashes], vectors, most=1)

    leader = list(range(150))
    for left in range(150):
        for right in range(150):
            bits = int(hashes[left] ^ hashes[right]).bit_count()
            if bits <= 1 and vectors[left] @ vectors[right] >= 0.9:
                old, new = leader[right], leader[left]
                leader = [new if one == old else one for one in leader]
    first = {one: leader.index(one) for one in leader}
    assert groups.group.to_list() == [f"p{first[one]:03}" for one in leader]
    assert 1 < groups.group.nunique() < 150


def test_ten_thousand_look_alikes_are_one_group_in_bounded_time() -> None:
    products = catalog(*[(f"{number}", f"{number}", "Tops") for number in range(10_000)])
    groups = grouped(products, ["0123456789abcdef"] * 10_000)
    assert groups.group.nunique() == 1
    assert groups.table["size"].to_list() == [10_000]


def test_an_empty_catalog_has_no_groups() -> None:
    groups = grouped(catalog(), [])
    assert len(groups.group) == 0
    assert len(groups.table) == 0


@pytest.mark.parametrize(
    ("phashes", "message"),
    [
        (["0123456789abcdef"], "1 hashes for 2 products"),
        (["0123456789abcdef", ""], "1 perceptual hashes are none, such as ''"),
        (["0123456789ABCDEF", "x" * 16], "2 perceptual hashes are none"),
    ],
)
def test_what_does_not_fit_the_products_is_refused(phashes: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        grouped(catalog(("a", "1", "Tops"), ("b", "2", "Tops")), phashes)


def test_vectors_of_other_products_than_asked_for_are_refused() -> None:
    products = catalog(("a", "1", "Tops"), ("b", "2", "Tops"))
    with pytest.raises(BadInput, match="3 vectors for 2 products"):
        find_duplicates(
            products,
            ["0123456789abcdef"] * 2,
            lambda rows: np.ones((3, 1), np.float32),
            max_hash_distance=2,
            min_cosine=0.9,
        )


def test_a_repeated_id_and_senseless_thresholds_are_refused() -> None:
    twice = catalog(("a", "1", "Tops"), ("a", "2", "Tops"))
    with pytest.raises(BadInput, match="stands twice"):
        grouped(twice)
    with pytest.raises(BadInput, match="differ in 32 bits; allowed: 0 to 31"):
        grouped(twice.iloc[:1], most=32)
    with pytest.raises(BadInput, match=r"least cosine of 1\.5"):
        find_duplicates(twice.iloc[:1], max_hash_distance=1, min_cosine=1.5)


def test_a_thumbnail_is_the_mean_distance_from_white_of_each_field() -> None:
    pixels = np.full((2, 40, 30, 3), 255, np.uint8)
    pixels[0, 0, 0] = (255, 155, 55)  # a quarter of the first field of 2 x 2
    vectors = thumbnails(pixels)
    assert vectors.shape == (2, 900)
    assert vectors.dtype == np.float32
    # (0, 100, 200) / 4 at unit norm: 1 and 2 over the root of 5
    np.testing.assert_allclose(vectors[0, :3], [0, 5**-0.5, 2 * 5**-0.5], rtol=1e-6)
    assert not vectors[0, 3:].any()
    assert not vectors[1].any()  # white


def test_thumbnails_of_any_size_tell_colours_apart_and_not_scales() -> None:
    random = np.random.default_rng(1)
    shape = random.integers(0, 255, (1, 20, 15, 1)) < 100
    red, blue = (
        np.where(shape, colour, 255).astype(np.uint8) for colour in ((200, 0, 0), (0, 0, 200))
    )
    twice = red.repeat(2, axis=1).repeat(2, axis=2)
    odd = np.concatenate([red, np.full((1, 3, 15, 3), 255, np.uint8)], axis=1)
    first = thumbnails(red)[0]
    assert first @ thumbnails(twice)[0] == pytest.approx(1, abs=1e-6)
    assert first @ thumbnails(blue)[0] < 0.9
    assert np.linalg.norm(thumbnails(odd)[0]) == pytest.approx(1, abs=1e-6)


def test_images_smaller_than_a_thumbnail_are_refused() -> None:
    with pytest.raises(BadInput, match="10 x 40 pixels; a thumbnail needs 15 x 20"):
        thumbnails(np.zeros((1, 40, 10, 3), np.uint8))
