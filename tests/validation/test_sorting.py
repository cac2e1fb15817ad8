from __future__ import annotations

import pandas as pd
import pytest

from recsys.artifacts.catalog import DELIVERY_COLUMNS
from recsys.errors import ArtifactInvalid
from recsys.validation import apply_row_failures
from validation.delivery_builders import HEADER, delivery, flat, picture, row, styles


def test_sound_products_come_sorted_by_id_as_text_with_their_image() -> None:
    images = {"9.png": picture(9), "10.png": picture(10)}
    _, measures, catalog = delivery(styles(row("9"), row("10")), images)
    products = catalog.products
    assert list(products.columns) == [*DELIVERY_COLUMNS, "image", "sha256_bytes", "sha256_pixels"]
    assert products["id"].tolist() == ["10", "9"]
    assert products["image"].tolist() == ["10.png", "9.png"]
    of_ten = measures.set_index("id").loc["10"]
    assert products["sha256_pixels"][0] == of_ten["sha256_pixels"]
    assert len(catalog.quarantine) == 0


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("true", "true"),
        ("Yes", "true"),
        ("1", "true"),
        ("", "true"),
        ("NA", "true"),
        ("false", "false"),
        ("NO", "false"),
        (" 0 ", "false"),
    ],
)
def test_a_product_is_in_stock_unless_its_row_says_no(said: str, kept: str) -> None:
    csv = styles(f"{row('1')},{said}", header=f"{HEADER},in_stock")
    _, _, catalog = delivery(csv, {"1.png": picture()})
    assert catalog.products["in_stock"].tolist() == [kept]


def test_a_stock_that_is_no_flag_sets_the_product_aside() -> None:
    csv = styles(f"{row('1')},some", header=f"{HEADER},in_stock")
    _, _, catalog = delivery(csv, {"1.png": picture()})
    (aside,) = catalog.quarantine.to_dict("records")
    assert aside["reason"] == "bad_stock"
    assert aside["detail"] == "in_stock is 'some'; allowed: true or false"


def test_unknown_attributes_become_na() -> None:
    _, _, catalog = delivery(styles("1,,NA, ,Shirts,,,,,Shirt"), {"1.png": picture()})
    (product,) = catalog.products.to_dict("records")
    assert {product[name] for name in ("gender", "masterCategory", "subCategory", "year")} == {"NA"}


@pytest.mark.parametrize(
    ("line", "image", "reason"),
    [
        (row("", name="x"), None, "missing_field"),
        (row("1", kind=""), picture(), "missing_field"),
        (row("1", kind="NA"), picture(), "missing_field"),
        (row("1", name=" "), picture(), "missing_field"),
        (row("a b"), picture(), "bad_id"),
        (row("../1"), picture(), "bad_id"),
        (row("1"), None, "no_image"),
        (row("1"), b"\xff\xd8\xff nothing", "undecodable_image"),
        (row("1"), flat((200, 200, 200)), "blank_image"),
        (row("1"), picture(width=15), "tiny_image"),
        (row("1", name="one, two"), picture(), "malformed_row"),
    ],
)
def test_a_fault_sets_the_product_aside(line: str, image: bytes | None, reason: str) -> None:
    images = {"1.png": image} if image is not None else {}
    _, _, catalog = delivery(styles(line), images)
    assert len(catalog.products) == 0
    assert catalog.quarantine["reason"].tolist() == [reason]
    assert catalog.quarantine["detail"].tolist()[0]


def test_a_literal_na_is_a_fine_name() -> None:
    _, _, catalog = delivery(styles(row("1", name="NA")), {"1.png": picture()})
    assert catalog.products["productDisplayName"].tolist() == ["NA"]


def test_rows_of_a_repeated_id_after_the_first_are_set_aside() -> None:
    csv = styles(row("1", name="first"), row("2"), row("1", name="second"), row("1", name="third"))
    _, _, catalog = delivery(csv, {"1.png": picture(1), "2.png": picture(2)})
    assert catalog.products["productDisplayName"].tolist() == ["first", "A shirt"]
    assert catalog.quarantine[["id", "reason"]].to_numpy().tolist() == [["1", "duplicate_id"]] * 2


def test_products_may_share_a_picture() -> None:
    _, _, catalog = delivery(styles(row("1"), row("2")), {"1.png": picture(), "2.png": picture()})
    assert catalog.products["sha256_pixels"].nunique() == 1
    assert len(catalog.products) == 2


def test_of_two_images_of_one_product_the_first_by_path_counts() -> None:
    _, _, catalog = delivery(
        styles(row("1")), {"1.png": picture(), "1.jpg": picture(file_format="JPEG")}
    )
    assert catalog.products["image"].tolist() == ["1.jpg"]


def test_images_without_a_row_are_left_out() -> None:
    _, _, catalog = delivery(styles(row("1")), {"1.png": picture(), "2.png": picture(2)})
    assert catalog.products["id"].tolist() == ["1"]
    assert len(catalog.quarantine) == 0


@pytest.mark.parametrize("csv", [b"", b"\xff\xfe garbage", styles()])
def test_nothing_delivered_gives_empty_tables(csv: bytes) -> None:
    _, _, catalog = delivery(csv, {})
    assert len(catalog.products) == len(catalog.quarantine) == 0
    assert catalog.quarantine.columns.tolist() == ["id", "reason", "detail", "expectation"]


def failure(product: str, reason: str = "blurred_image", severity: str = "critical") -> list[str]:
    return [product, reason, "expect_x", "sharpness", severity, "0.01; allowed: min_value 1"]


def failures(*rows: list[str]) -> pd.DataFrame:
    columns = ["id", "reason", "expectation", "column", "severity", "observed"]
    return pd.DataFrame(rows, columns=columns, dtype="str")


def test_products_that_fail_something_critical_are_moved_to_quarantine() -> None:
    images = {f"{number}.png": picture(number) for number in range(4)}
    _, _, catalog = delivery(styles(*[row(str(number)) for number in range(5)]), images)
    found = failures(failure("1"), failure("2", severity="warning"), failure("1", "noise_image"))
    sifted = apply_row_failures(catalog, found)
    assert sifted.products["id"].tolist() == ["0", "2", "3"]
    assert sifted.quarantine.to_numpy().tolist() == [
        ["1", "blurred_image", "0.01; allowed: min_value 1", "expect_x on sharpness"],
        ["4", "no_image", "no image file of this name was delivered", "a product has an image"],
    ]
    assert len(catalog.products) == 4, "the catalog given is left as it was"


def test_without_failures_the_catalog_stays_as_it_is() -> None:
    _, _, catalog = delivery(styles(row("1")), {"1.png": picture()})
    sifted = apply_row_failures(catalog, failures())
    pd.testing.assert_frame_equal(sifted.products, catalog.products)
    pd.testing.assert_frame_equal(sifted.quarantine, catalog.quarantine)


def test_failures_of_another_catalog_are_refused() -> None:
    _, _, catalog = delivery(styles(row("1")), {"1.png": picture()})
    with pytest.raises(ArtifactInvalid, match="1 failures are of no product"):
        apply_row_failures(catalog, failures(failure("2")))
