from __future__ import annotations

import hashlib

import pandas as pd
import pytest

from recsys.errors import ArtifactInvalid, BadInput
from recsys.training import assign_sides


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def catalog(labels: dict[str, int], prefix: str = "") -> pd.DataFrame:
    """So many products of each label, each with an image of its own."""
    rows = [
        (f"{prefix}{label}{number}", sha(f"{prefix}{label}{number}"), label)
        for label, count in labels.items()
        for number in range(count)
    ]
    return pd.DataFrame(rows, columns=["id", "sha256_pixels", "articleType"])


def split(
    products: pd.DataFrame, previous: pd.DataFrame | None = None, seed: int = 1
) -> pd.DataFrame:
    return assign_sides(
        products, previous, label="articleType", test_share=0.1, validation_share=0.2, seed=seed
    )


def counts(frame: pd.DataFrame) -> dict[str, int]:
    return {str(side): int(count) for side, count in frame["side"].value_counts().items()}


def test_every_label_is_split_by_the_shares() -> None:
    products = catalog({"Shirts": 50, "Watches": 30, "Belts": 20})
    sides = split(products).merge(products, left_on="pixels_sha256", right_on="sha256_pixels")
    assert counts(sides) == {"train": 70, "validation": 20, "test": 10}
    assert counts(sides[sides["articleType"] == "Watches"]) == {
        "train": 21,
        "validation": 6,
        "test": 3,
    }


def test_products_that_share_a_photo_are_one_image() -> None:
    products = catalog({"Shirts": 20, "Belts": 20})
    twins = products.assign(id="twin-" + products["id"])
    assert split(pd.concat([products, twins])).equals(split(products))


def test_an_image_takes_the_label_of_its_first_product() -> None:
    products = catalog({"Shirts": 20, "Belts": 20})
    other = products.assign(id="zz" + products["id"], articleType="Odd")
    assert split(pd.concat([other, products])).equals(split(products))


def test_row_order_does_not_matter_and_the_seed_does() -> None:
    products = catalog({"Shirts": 40, "Belts": 40})
    assert split(products).equals(split(products.sample(frac=1, random_state=3)))
    assert not split(products).equals(split(products, seed=2))


def test_sides_are_kept_when_the_catalog_grows_and_shrinks() -> None:
    first = split(catalog({"Shirts": 50, "Belts": 50}))
    second = split(catalog({"Shirts": 5, "Shoes": 40}, prefix="new"), first)
    assert len(second) == 145
    kept = second[second["pixels_sha256"].isin(first["pixels_sha256"])]
    assert kept.reset_index(drop=True).equals(first)
    added = second[~second["pixels_sha256"].isin(first["pixels_sha256"])]
    assert counts(added) == {"train": 32, "validation": 9, "test": 4}


def test_an_unchanged_catalog_leaves_the_ledger_as_it_is() -> None:
    products = catalog({"Shirts": 30, "Belts": 30})
    first = split(products)
    assert split(products, first).equals(first)


def test_a_few_new_images_go_to_train() -> None:
    first = split(catalog({"Shirts": 50, "Belts": 50}))
    second = split(catalog({"Shoes": 4}, prefix="new"), first)
    new = second[~second["pixels_sha256"].isin(first["pixels_sha256"])]
    assert counts(new) == {"train": 4}


@pytest.mark.parametrize(
    "labels",
    [
        {"Shirts": 3},
        {"A": 1, "B": 1, "C": 1},
        {"A": 2, "B": 2, "C": 1},
        {f"L{number}": 1 for number in range(40)},
        {"Shirts": 60, "Rare": 1},
        {"Shirts": 60, "Belts": 2, "Rare": 1},
        {f"L{number}": number for number in range(1, 30)},
    ],
)
def test_rare_labels_and_small_catalogs_are_split_all_the_same(labels: dict[str, int]) -> None:
    products = catalog(labels)
    sides = split(products)
    assert sorted(sides["pixels_sha256"]) == sorted(products["sha256_pixels"])
    assert set(sides["side"]) == {"train", "validation", "test"}


def test_two_images_are_too_few() -> None:
    with pytest.raises(BadInput, match="2 distinct images cannot be split; at least 3"):
        split(catalog({"Shirts": 2}))


def test_a_damaged_ledger_is_refused() -> None:
    products = catalog({"Shirts": 30})
    first = split(products)
    with pytest.raises(ArtifactInvalid, match="twice"):
        split(products, pd.concat([first, first]))
    with pytest.raises(ArtifactInvalid, match="tset"):
        split(products, first.replace({"side": {"test": "tset"}}))


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(BadInput, match="sum below 1"):
        assign_sides(
            catalog({"Shirts": 30}),
            None,
            label="articleType",
            test_share=0.5,
            validation_share=0.5,
            seed=1,
        )
