from __future__ import annotations

import hashlib

import numpy as np
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


def in_groups(products: pd.DataFrame, *groups: list[str]) -> list[str]:
    """The group of each product: the ids named together, everyone else alone."""
    first = {member: group[0] for group in groups for member in group}
    return [first.get(product, product) for product in products["id"]]


def split_in_groups(
    products: pd.DataFrame, previous: pd.DataFrame | None, *groups: list[str]
) -> pd.DataFrame:
    return assign_sides(
        products,
        previous,
        label="articleType",
        test_share=0.1,
        validation_share=0.2,
        seed=1,
        groups=in_groups(products, *groups),
    )


def side_of(ledger: pd.DataFrame, product: str) -> str:
    return str(ledger.set_index("pixels_sha256")["side"][sha(product)])


def first_on(ledger: pd.DataFrame, products: pd.DataFrame, side: str, skip: int = 0) -> str:
    """The id of a product on this side."""
    on = set(ledger.loc[ledger["side"] == side, "pixels_sha256"])
    return str(products.loc[products["sha256_pixels"].isin(on), "id"].iloc[skip])


SHOP = catalog({"Shirts": 50, "Belts": 50})
LATE = catalog({"Shoes": 40}, prefix="late")


def test_groups_of_one_change_nothing() -> None:
    assert split_in_groups(SHOP, None).equals(split(SHOP))


def test_a_group_never_straddles_sides() -> None:
    pairs = [[f"Shirts{number}", f"Belts{number}"] for number in range(50)]
    ledger = split_in_groups(SHOP, None, *pairs)
    assert all(side_of(ledger, shirt) == side_of(ledger, belt) for shirt, belt in pairs)
    # 50 units: 5 of test and 10 of validation, two images each.
    assert counts(ledger) == {"train": 70, "validation": 20, "test": 10}


def test_row_order_does_not_matter_to_groups_either() -> None:
    pairs = [[f"Shirts{number}", f"Belts{number}"] for number in range(25)]
    mixed = SHOP.sample(frac=1, random_state=3)
    assert split_in_groups(SHOP, None, *pairs).equals(split_in_groups(mixed, None, *pairs))


@pytest.mark.parametrize("side", ["train", "validation", "test"])
def test_a_new_picture_inherits_the_side_of_its_group(side: str) -> None:
    ledger = split(SHOP)
    known = first_on(ledger, SHOP, side)
    both = pd.concat([SHOP, LATE], ignore_index=True)
    grown = split_in_groups(both, ledger, [known, "lateShoes0", "lateShoes1"])
    assert {side_of(grown, name) for name in (known, "lateShoes0", "lateShoes1")} == {side}
    kept = grown[grown["pixels_sha256"].isin(ledger["pixels_sha256"])]
    assert kept.reset_index(drop=True).equals(ledger)


def test_a_link_found_later_retires_all_but_the_train_side() -> None:
    ledger = split(SHOP)
    train, test = first_on(ledger, SHOP, "train"), first_on(ledger, SHOP, "test")
    both = pd.concat([SHOP, LATE], ignore_index=True)
    grown = split_in_groups(both, ledger, [train, test, "lateShoes0"])
    assert side_of(grown, train) == side_of(grown, "lateShoes0") == "train"
    assert side_of(grown, test) == "retired"


def test_a_link_between_validation_and_test_retires_both_and_what_joins_them() -> None:
    ledger = split(SHOP)
    group = [first_on(ledger, SHOP, "validation"), first_on(ledger, SHOP, "test"), "lateShoes0"]
    both = pd.concat([SHOP, LATE], ignore_index=True)
    grown = split_in_groups(both, ledger, group)
    assert {side_of(grown, name) for name in group} == {"retired"}


def test_the_retired_stay_retired_when_the_link_is_gone() -> None:
    ledger = split(SHOP)
    train, test = first_on(ledger, SHOP, "train"), first_on(ledger, SHOP, "test")
    linked = split_in_groups(SHOP, ledger, [train, test])
    later = split_in_groups(pd.concat([SHOP, LATE], ignore_index=True), linked)
    assert side_of(later, train) == "train"
    assert side_of(later, test) == "retired"


def test_what_joins_only_retired_pictures_is_retired() -> None:
    ledger = split(SHOP)
    train, test = first_on(ledger, SHOP, "train"), first_on(ledger, SHOP, "test")
    linked = split_in_groups(SHOP, ledger, [train, test])
    later = split_in_groups(pd.concat([SHOP, LATE]), linked, [test, "lateShoes0"])
    assert side_of(later, "lateShoes0") == "retired"


@pytest.mark.parametrize("seed", range(5))
def test_over_random_nights_of_links_a_group_uses_at_most_one_side(seed: int) -> None:
    random = np.random.default_rng(seed)
    everything = catalog({"Shirts": 150, "Belts": 150})
    ledger: pd.DataFrame | None = None
    for night in range(6):
        tonight = everything.sample(n=100 + 40 * night, random_state=seed + night)
        ids = tonight["id"].to_numpy()
        links = [list(random.choice(ids, 2 + night % 2, replace=False)) for _ in range(8)]
        # Links may share products: the later name wins, which is a partition all the same.
        grown = split_in_groups(tonight, ledger, *links)
        table = tonight.assign(
            group=in_groups(tonight, *links),
            side=[side_of(grown, product) for product in tonight["id"]],
        )
        used = table[table["side"] != "retired"].groupby("group")["side"].nunique()
        assert used.max() == 1
        if ledger is not None:
            merged = ledger.merge(grown, on="pixels_sha256", suffixes=("_before", ""))
            changed = merged[merged["side_before"] != merged["side"]]
            assert len(merged) == len(ledger)
            assert set(changed["side"]) <= {"retired"}
            assert "train" not in set(changed["side_before"])
        ledger = grown


def test_groups_that_do_not_fit_the_products_are_refused() -> None:
    twins = pd.concat([SHOP, SHOP.assign(id="twin-" + SHOP["id"])], ignore_index=True)
    with pytest.raises(BadInput, match="same pixels are in different duplicate groups"):
        split_in_groups(twins, None)
    with pytest.raises(BadInput, match="1 duplicate groups for 100 products"):
        assign_sides(
            SHOP,
            None,
            label="articleType",
            test_share=0.1,
            validation_share=0.2,
            seed=1,
            groups=["a"],
        )


def test_groups_that_would_retire_a_whole_side_are_refused() -> None:
    everyone = SHOP["id"].to_list()
    with pytest.raises(BadInput, match="no image on the side test, validation; they join too much"):
        split_in_groups(SHOP, split(SHOP), everyone)
