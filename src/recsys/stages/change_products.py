"""Put a product on the shelf, or take it off, between two nights."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from recsys import catalog, deploy, gates, names, quarantine, validation
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.artifacts.change import Action, Change, last_of_each
from recsys.artifacts.live import read_live
from recsys.artifacts.products import ProductTable
from recsys.changes import Draft, Spool
from recsys.errors import BadInput, DeployFailed
from recsys.stages.fold_changes import STYLES, folded_by_live
from recsys.stages.night import Night
from recsys.stages.overrides import current_overrides
from recsys.stages.purges import current_purges
from recsys.stages.snapshot_catalog import delivered_folder
from recsys.stages.task import scratch_folder

_IMAGES = "/images/"
_NAMED = 6


@dataclass(frozen=True)
class Changed:
    """Changes in effect, on so many workers (0: no service runs), after so many seconds."""

    changes: tuple[Change, ...]
    workers: int
    seconds: float


def upsert_products(
    night: Night, products: Sequence[str], source: Path | None, who: str
) -> Changed:
    """Put products in effect as a delivery has them; of a delta, what it lacks is the catalog's.

    Without ``products`` all of the delivery, whose ``source`` must then be named: those that
    it removes are delisted. All of them or none.

    Raises
    ------
    BadInput
        The delivery lacks a product, the night's gates would set one aside, it was purged,
        or too many changes are in effect.
    DeliveryUnreadable
        The delivery cannot be opened.
    DeployFailed
        A worker did not take the changes up; they stay.
    """
    if not products and source is None:
        raise BadInput("name products, or a delivery to take them all from (--from)")
    settings = night.settings
    delivery = catalog.open_delivery(
        source or delivered_folder(settings), max_image_bytes=settings.max_image_bytes
    )
    wanted = tuple(dict.fromkeys(products)) or _all_of(delivery)
    removed = () if products else delivery.removed()
    if len(wanted) + len(removed) > settings.max_changes:
        raise BadInput(
            f"the delivery changes {len(wanted) + len(removed)} products; at most"
            f" {settings.max_changes} (RECSYS_MAX_CHANGES) may change between nights: run the night"
        )
    if not wanted and not removed:
        raise BadInput("the delivery changes nothing: it has no row, picture or removed product")
    drafts = [Draft(Action.DELIST, product) for product in removed]
    if wanted:
        drafts += _upserts(night, *_delivered(night, delivery, wanted), wanted)
    return _put_in_effect(night, drafts, who)


def delist_products(night: Night, products: Sequence[str], who: str) -> Changed:
    """Take products off the shelf until a delivery brings them back.

    Raises
    ------
    BadInput
        A product is not on the shelf, or too many changes are in effect.
    DeployFailed
        A worker did not take the changes up; they stay.
    """
    wanted = tuple(dict.fromkeys(products))
    shown = _shown(night)
    if unknown := [product for product in wanted if product not in shown]:
        raise BadInput(f"not on the shelf, so there is nothing to delist: {_listed(unknown)}")
    return _put_in_effect(night, [Draft(Action.DELIST, product) for product in wanted], who)


def _all_of(delivery: catalog.Delivery) -> tuple[str, ...]:
    """Every product that a delivery brings: by a row, or in a delta by a picture alone."""
    ids = dict.fromkeys(catalog.products_in(delivery.styles_csv()))
    if delivery.is_delta:
        ids |= dict.fromkeys(PurePosixPath(name).stem for name, _ in delivery.images())
    return tuple(ids)


def _delivered(
    night: Night, delivery: catalog.Delivery, wanted: Collection[str]
) -> tuple[bytes, dict[str, bytes]]:
    """The product table with these products' rows, and their pictures by file name."""
    styles = delivery.styles_csv()
    pictures = dict(delivery.images(frozenset(wanted)))
    accepted = night.newest("validate_catalog", ValidatedCatalog) if delivery.is_delta else None
    if accepted is not None:
        base = accepted.artifact.catalog
        styles = catalog.merge_styles(night.read(base, STYLES), styles, delivery.removed())
        for product in set(wanted) - {PurePosixPath(name).stem for name in pictures}:
            for file in night.store.files(base, f"{_IMAGES}{product}."):
                if PurePosixPath(file.path).stem == product:
                    pictures[PurePosixPath(file.path).name] = night.read(base, file.path)
    found = catalog.products_in(styles)
    if missing := sorted(set(wanted) - set(found)):
        raise BadInput(f"the delivery has no row of {_listed(missing)}")
    return catalog.only_products(styles, wanted), pictures


def _upserts(
    night: Night, styles: bytes, pictures: dict[str, bytes], wanted: Sequence[str]
) -> list[Draft]:
    """The products as changes, judged as the night judges them."""
    sound = _sound(night, styles, pictures)
    rows = catalog.rows_by_product(styles)
    image_of = dict(zip(sound["id"], sound["image"], strict=True))
    return [
        Draft(Action.UPSERT, product, rows[product], image_of[product], pictures[image_of[product]])
        for product in wanted
    ]


def _sound(night: Night, styles: bytes, pictures: dict[str, bytes]) -> pd.DataFrame:
    rows = validation.parse_rows(styles)
    if rows.columns_missing:
        raise BadInput(f"the delivery lacks the columns {', '.join(rows.columns_missing)}")
    measures = validation.measure_images(sorted(pictures.items()), night.image_limits)
    found = validation.sort_out(rows, measures)
    if len(found.products):
        found = validation.apply_row_failures(found, _failures(night, found, measures))
    if len(found.quarantine):
        reasons = [
            f"{case['id']}: {case['reason']} ({case['detail']})"
            for case in found.quarantine.to_dict("records")
        ]
        raise BadInput(
            f"nothing was changed, since a night would set {len(reasons)} aside:\n"
            + "\n".join(reasons[:_NAMED])
            + ("\n…" if len(reasons) > _NAMED else "")
        )
    return found.products


def _failures(
    night: Night, found: validation.SortedCatalog, measures: pd.DataFrame
) -> pd.DataFrame:
    """What the suite that judges rows says of these; what people let through passes."""
    with scratch_folder(night) as docs:
        sifted = gates.sift(
            names.SUITE_PRODUCT_ROWS,
            validation.candidates_table(found, measures),
            id_column="id",
            subject="changes between nights",
            expectations_dir=night.settings.expectations_dir,
            docs_dir=docs,
            night=night.date,
        )
    pictures = found.products.set_index("id")["sha256_bytes"]
    overrides = current_overrides(night).artifact
    return quarantine.without_released(sifted.failures, pictures, overrides)


def _put_in_effect(night: Night, drafts: Sequence[Draft], who: str) -> Changed:
    started = time.monotonic()
    settings = night.settings
    if settings.deploy_target != "local":
        raise BadInput(
            "changes between nights are for the service on this machine: pods hold a release and"
            " see no spool; put them into the delivery and run the night"
        )
    spool = Spool(settings.changes_dir)
    purges = current_purges(night).artifact
    if purges.items:
        spool.bar(purges.barred_products, purges.barred_pictures)
    folded = folded_by_live(settings)
    made = spool.add(drafts, who, folded=folded, most=settings.max_changes)
    workers = 0
    if made:
        workers = deploy.local_seldon(settings).take_up_changes(made[-1].number)
        _require_all_there(spool, made)
    return Changed(tuple(made), workers, time.monotonic() - started)


def _require_all_there(spool: Spool, made: Sequence[Change]) -> None:
    there = {change.number for change in spool.after(made[0].number - 1, made[-1].number)}
    lost = [change.product for change in made if change.number not in there]
    if lost:
        raise DeployFailed(f"the service set {_listed(lost)} aside; `recsys changes` says why")


def _shown(night: Night) -> frozenset[str]:
    """The products on the shelf now: the live release's with the changes since."""
    settings = night.settings
    live = read_live(settings.releases_dir)
    spool = Spool(settings.changes_dir)
    holding = last_of_each(spool.after(folded_by_live(settings), spool.last()))
    ids: set[str] = set()
    if live is not None:
        table = ProductTable.load(settings.releases_dir / live)
        ids = {bytes(item).decode() for item in table.ids}
    new = {product for product, item in holding.items() if item.action is Action.UPSERT}
    gone = {product for product, item in holding.items() if item.action is Action.DELIST}
    return frozenset((ids | new) - gone)


def _listed(products: Sequence[str]) -> str:
    more = len(products) - _NAMED
    shown = ", ".join(product[:80] for product in products[:_NAMED])
    return shown + (f" and {more} more" if more > 0 else "")
