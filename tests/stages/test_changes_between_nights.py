"""A change is judged like a night's product, and the next night folds it in exactly once."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from changes.changed import delist, picture, row, upsert
from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.catalog import DELIVERY_COLUMNS, CatalogSnapshot, ValidatedCatalog
from recsys.artifacts.change import FoldedChanges
from recsys.artifacts.live import write_live
from recsys.artifacts.purge import Purge, Purges
from recsys.artifacts.receipt import Receipt
from recsys.changes import Draft, Spool
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages import snapshot_catalog
from recsys.stages.change_products import delist_products, upsert_products
from recsys.stages.night import Night
from recsys.stages.purges import commit_purges
from recsys.stages.record import commit_record
from serving_release import IDS, make_release, png, ref, verdict

SHOP = {f"p{number}": number for number in range(6)}


def deliver(
    folder: Path,
    products: dict[str, int],
    removed: Iterable[str] | None = None,
    pictures: Iterable[str] | None = None,
    **values: str,
) -> Path:
    """A delivery of these products, the pictures by their seeds; with ``removed`` a delta."""
    (folder / "images").mkdir(parents=True)
    table = io.StringIO()
    lines = csv.DictWriter(table, DELIVERY_COLUMNS, lineterminator="\n")
    lines.writeheader()
    lines.writerows(row(product, **values) for product in products)
    (folder / "styles.csv").write_text(table.getvalue())
    for product in products if pictures is None else pictures:
        (folder / "images" / f"{product}.png").write_bytes(picture(products[product]))
    if removed is not None:
        (folder / "removed.csv").write_text("\n".join(["id", *removed]) + "\n")
    return folder


@pytest.fixture
def night(tmp_path: Path) -> Night:
    source = deliver(tmp_path / "shop", SHOP)
    settings = load_settings(state_dir=tmp_path / "state", catalog=str(source), max_changes=8)
    return Night(settings, "2026-01-01")


def spool_of(night: Night) -> Spool:
    return Spool(night.settings.changes_dir)


def add(night: Night, *drafts: Draft) -> None:
    spool_of(night).add(drafts, "me", folded=0, most=100)


def stored(night: Night, receipt: Receipt) -> tuple[dict[str, str], dict[str, bytes]]:
    """Name by product, and the bytes of the pictures."""
    table = csv.DictReader(io.StringIO(night.read(receipt.ref, "/styles.csv").decode()))
    files = night.store.files(receipt.ref, "/images/")
    return (
        {line["id"]: line["productDisplayName"] for line in table},
        {Path(file.path).stem: night.read(receipt.ref, file.path) for file in files},
    )


def go_live(night: Night, changes_through: int) -> None:
    """A release that has these changes."""
    made = make_release(night.settings.releases_dir, changes_through=changes_through)
    write_live(night.settings.releases_dir, made.id)


def accept(night: Night, catalog: str) -> None:
    """The night let this catalog go on."""
    accepted = ValidatedCatalog(catalog, ref("measured"), 6, 0, 0, {}, (verdict(),))
    night.store.ensure_repo(names.VALIDATED)
    with night.store.commit(names.VALIDATED, inputs=[catalog], replace=True) as writer:
        writer.put(ARTIFACT_FILE, accepted.to_json())


def test_without_changes_a_catalog_is_what_it_always_was(night: Night) -> None:
    receipt = snapshot_catalog.run(night)
    commit = night.store.inspect(receipt.ref)
    assert (commit.branch, commit.inputs) == ("master", ())
    assert b"changes" not in night.read(receipt.ref, ARTIFACT_FILE)
    assert "changes_through" not in commit_record(commit.message)["parameters"]
    assert night.commits(names.CHANGES) == []


def test_changes_are_laid_over_the_delivery_and_are_an_input_of_the_catalog(night: Night) -> None:
    add(night, upsert("new", 11), delist("p1"), upsert("p2", 12, productDisplayName="Other shirt"))
    add(night, delist("p3"), upsert("p3", 13), upsert("gone", 14), delist("gone"))
    receipt = snapshot_catalog.run(night)
    titles, pictures = stored(night, receipt)
    assert list(titles) == ["p0", "p2", "p3", "p4", "p5", "new"]
    assert titles["p2"] == "Other shirt"
    seeds = {"p0": 0, "p2": 12, "p3": 13, "p4": 4, "p5": 5, "new": 11}
    assert pictures == {product: picture(seed) for product, seed in seeds.items()}
    assert night.open(receipt.ref, CatalogSnapshot).artifact.changes_through == 7
    (folded,) = night.store.inspect(receipt.ref).inputs
    changes = night.open(folded, FoldedChanges).artifact.changes
    assert [change.number for change in changes] == [1, 2, 3, 4, 5, 6, 7]
    assert night.read(folded, "/changes/0000000006/gone.png") == picture(14)
    again = snapshot_catalog.run(night)
    assert (again.ref, again.fresh) == (receipt.ref, False)


def test_only_what_the_live_release_lacks_is_folded_in(night: Night) -> None:
    add(night, delist("p1"), delist("p2"))
    go_live(night, changes_through=1)
    receipt = snapshot_catalog.run(night)
    assert sorted(stored(night, receipt)[0]) == ["p0", "p1", "p3", "p4", "p5"]
    go_live(night, changes_through=0)  # a rollback gets them back
    receipt = snapshot_catalog.run(night)
    assert sorted(stored(night, receipt)[0]) == ["p0", "p3", "p4", "p5"]


def test_a_delivery_that_came_before_keeps_what_was_folded_in_and_another_one_rules(
    night: Night, tmp_path: Path
) -> None:
    add(night, upsert("new", 11), delist("p1"))
    first = snapshot_catalog.run(night)
    accept(night, first.ref)
    go_live(night, changes_through=2)
    assert snapshot_catalog.run(night).ref == first.ref
    add(night, delist("p4"))
    second = snapshot_catalog.run(night)
    titles, pictures = stored(night, second)
    assert sorted(titles) == sorted(pictures) == ["new", "p0", "p2", "p3", "p5"]
    accept(night, second.ref)
    go_live(night, changes_through=3)
    other = deliver(tmp_path / "other", {**SHOP, "p6": 6})
    later = Night(night.settings.model_copy(update={"catalog": str(other)}), "2026-01-02")
    third = snapshot_catalog.run(later)
    assert sorted(stored(later, third)[0]) == sorted([*SHOP, "p6"])
    assert later.open(third.ref, CatalogSnapshot).artifact.changes_through == 3
    assert later.store.inspect(third.ref).inputs == ()


def test_a_delta_and_changes_are_laid_over_the_accepted_catalog(
    night: Night, tmp_path: Path
) -> None:
    accept(night, snapshot_catalog.run(night).ref)
    add(night, upsert("p2", 12), delist("p3"))
    delta = deliver(tmp_path / "delta", {"p2": 22, "p6": 6}, removed=["p0"])
    later = Night(night.settings.model_copy(update={"catalog": str(delta)}), "2026-01-02")
    receipt = snapshot_catalog.run(later)
    titles, pictures = stored(later, receipt)
    assert sorted(titles) == ["p1", "p2", "p4", "p5", "p6"]
    assert pictures["p2"] == picture(12)
    accept(later, receipt.ref)
    assert snapshot_catalog.run(later).ref == receipt.ref


def test_a_damaged_change_is_set_aside_and_the_others_are_folded_in(night: Night) -> None:
    add(night, upsert("new", 11), delist("p1"))
    (night.settings.changes_dir / "0000000001" / "new.png").write_bytes(b"other")
    titles, _ = stored(night, snapshot_catalog.run(night))
    assert sorted(titles) == ["p0", "p2", "p3", "p4", "p5"]
    assert len(spool_of(night).rejected()) == 1


def test_products_are_taken_from_where_the_delivery_is(night: Night) -> None:
    done = upsert_products(night, ["p3", "p1", "p3"], None, "me")
    assert [(item.number, item.product, item.who) for item in done.changes] == [
        (1, "p3", "me"),
        (2, "p1", "me"),
    ]
    assert done.workers == 0
    assert spool_of(night).picture(done.changes[0]) == picture(3)
    assert done.changes[0].row == row("p3")


def test_all_of_a_delta_is_taken_with_what_it_removes_and_what_it_lacks(
    night: Night, tmp_path: Path
) -> None:
    accept(night, snapshot_catalog.run(night).ref)
    delta = deliver(tmp_path / "delta", {"p2": 2, "p6": 6}, ["p0"], ["p6"], usage="Sports")
    (delta / "images" / "p4.png").write_bytes(picture(44))
    done = upsert_products(night, [], delta, "me")
    made = {item.product: item for item in done.changes}
    assert {product: str(item.action) for product, item in made.items()} == {
        "p0": "delist",
        "p2": "upsert",
        "p4": "upsert",
        "p6": "upsert",
    }
    spool = spool_of(night)
    assert (made["p2"].row["usage"], spool.picture(made["p2"])) == ("Sports", picture(2))
    assert (made["p4"].row, spool.picture(made["p4"])) == (row("p4"), picture(44))


def bad(folder: Path, content: bytes | None = None, **values: str) -> Path:
    deliver(folder, {"new": 7}, **values)
    if content is not None:
        (folder / "images" / "new.png").write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("content", "values", "why"),
    [
        (png(np.full((32, 24, 3), 200, np.uint8)), {}, "new: blank_image"),
        (b"no picture", {}, "new: undecodable_image"),
        (None, {"articleType": ""}, "new: missing_field"),
        (None, {"productDisplayName": "Shirt, only Rs. 99"}, "new: junk_name"),
    ],
)
def test_what_a_night_would_set_aside_is_refused_with_its_reason(
    night: Night, tmp_path: Path, content: bytes | None, values: dict[str, str], why: str
) -> None:
    source = bad(tmp_path / "bad", content, **values)
    with pytest.raises(BadInput, match=why):
        upsert_products(night, ["new"], source, "me")
    assert spool_of(night).last() == 0


def test_what_is_not_there_and_what_is_too_much_is_refused(night: Night, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no row of px, py"):
        upsert_products(night, ["py", "p1", "px"], None, "me")
    with pytest.raises(BadInput, match="--from"):
        upsert_products(night, [], None, "me")
    many = deliver(tmp_path / "many", {f"q{number}": number for number in range(9)})
    with pytest.raises(BadInput, match="changes 9 products; at most 8"):
        upsert_products(night, [], many, "me")
    with pytest.raises(BadInput, match="not on the shelf, so there is nothing to delist: p1"):
        delist_products(night, ["p1"], "me")


def test_only_what_is_on_the_shelf_can_be_delisted_and_only_once(night: Night) -> None:
    go_live(night, changes_through=0)
    upsert_products(night, ["p1"], None, "me")
    done = delist_products(night, [IDS[0], "p1"], "me")
    assert [item.number for item in done.changes] == [2, 3]
    with pytest.raises(BadInput, match=f"{IDS[0]}, p1"):
        delist_products(night, [IDS[0], "p1"], "me")


def test_what_was_purged_does_not_come_back_as_a_change(night: Night) -> None:
    purge = Purge("p1", "why", "me", "now", (), ("p1",), False, {}, 0, (), (), True)
    commit_purges(night, Purges(), purge)
    with pytest.raises(BadInput, match="p1 or its picture was purged"):
        upsert_products(night, ["p1"], None, "me")
