"""Store tonight's delivery as it came, without what was purged; a delta is laid over the last
accepted catalog, and the changes that shoppers see beside the live release over both.

A delivery that came before says nothing new: what was laid over it then stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from recsys.artifacts.catalog import CatalogSnapshot, ValidatedCatalog
from recsys.artifacts.digests import sha256_bytes
from recsys.artifacts.purge import Purges
from recsys.artifacts.receipt import Receipt
from recsys.catalog import (
    Delivery,
    draw_catalog,
    merge_styles,
    open_delivery,
    without_products,
)
from recsys.errors import DeliveryUnreadable
from recsys.settings import DRAWN, Settings
from recsys.stages.fold_changes import BRANCH, Pending, laid_over, pending_changes
from recsys.stages.fold_changes import STYLES as _STYLES
from recsys.stages.night import Night, Opened
from recsys.stages.purges import current_purges
from recsys.stages.record import commit_record
from recsys.stages.task import Task

_IMAGES = "/images/"


def run(night: Night) -> Receipt:
    """Commit the whole catalog as of tonight to the catalog repo."""
    source = catalog_source(night.settings)
    delivery = open_delivery(
        delivered_folder(night.settings), max_image_bytes=night.settings.max_image_bytes
    )
    layout = DRAWN if source == DRAWN else delivery.layout
    source_digest = delivery.source_digest  # reads the whole delivery: once
    purges = current_purges(night).artifact
    barred = {"barred": purges.barred_digest} if purges.items else {}
    base = _base(night) if delivery.is_delta else _changed_before(night, source_digest)
    pending = pending_changes(night)
    if base is not None and _is_in(night, base, source_digest, barred, pending):
        # This delivery is in the accepted catalog already.
        return Receipt(CatalogSnapshot.kind, base.ref, base.artifact.digest, fresh=False)
    task = Task(
        night,
        "snapshot_catalog",
        inputs=pending.inputs,
        parameters={
            "layout": layout,
            "source_digest": source_digest,
            "base": "" if base is None else base.ref,
            **barred,
            **pending.parameters,
        },
        rooms=("catalog",),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    if base is None:
        files = _delivered_files(night, delivery)
    elif delivery.is_delta:
        files = _merged_files(night, delivery, base)
    else:
        files = _stored_files(night, base)
    if pending.folded is not None:
        files = laid_over(night, files, pending.folded)
    return task.publish(
        CatalogSnapshot(layout, source_digest, pending.through),
        _without_purged(files, purges),
        branch="master" if pending.folded is None else BRANCH,
    )


def catalog_note(settings: Settings) -> Path:
    """The file in which `recsys up --catalog` notes where deliveries come from."""
    return settings.state_dir / "catalog"


def catalog_source(settings: Settings) -> str:
    """A folder or ``drawn``: the setting, else what was noted last, else drawn."""
    if settings.catalog:
        return settings.catalog
    note = catalog_note(settings)
    return note.read_text().strip() if note.is_file() else DRAWN


def delivered_folder(settings: Settings) -> Path:
    """Where tonight's delivery lies; the sample is drawn first."""
    source = catalog_source(settings)
    if source != DRAWN:
        return Path(source)
    return draw_catalog(settings.state_dir / "drawn", settings.drawn_products, settings.drawn_seed)


def _base(night: Night) -> Opened[CatalogSnapshot]:
    """The catalog of the last accepted night: a refused delivery is nothing to build on."""
    accepted = night.newest("validate_catalog", ValidatedCatalog)
    if accepted is None:
        raise DeliveryUnreadable(
            "this delivery is a delta (it has a removed.csv), but no catalog was accepted yet;"
            " deliver the full catalog first"
        )
    return night.open(accepted.artifact.catalog, CatalogSnapshot)


def _changed_before(night: Night, source_digest: str) -> Opened[CatalogSnapshot] | None:
    """The last accepted catalog, if it is this very delivery with changes in it."""
    accepted = night.newest("validate_catalog", ValidatedCatalog)
    if accepted is None:
        return None
    found = night.open(accepted.artifact.catalog, CatalogSnapshot)
    same = found.artifact.source_digest == source_digest and found.artifact.changes_through > 0
    return found if same else None


def _is_in(
    night: Night,
    base: Opened[CatalogSnapshot],
    source_digest: str,
    barred: dict[str, str],
    pending: Pending,
) -> bool:
    """Whether this very delivery is in the accepted catalog already, with the same things
    barred and no change since."""
    if base.artifact.source_digest != source_digest:
        return False
    if base.artifact.changes_through != pending.through:
        return False
    parameters = commit_record(night.store.inspect(base.ref).message)["parameters"]
    return {"barred": parameters["barred"]} == barred if "barred" in parameters else not barred


def _delivered_files(night: Night, delivery: Delivery) -> Iterator[tuple[str, bytes]]:
    yield _STYLES, delivery.styles_csv()
    with night.progress("storing the delivery", 0) as advance:
        for name, content in delivery.images():
            yield f"{_IMAGES}{name}", content
            advance(1)


def _merged_files(
    night: Night, delivery: Delivery, base: Opened[CatalogSnapshot]
) -> Iterator[tuple[str, bytes]]:
    """The delta's rows and pictures, then what the base has beside them."""
    removed = delivery.removed()
    yield _STYLES, merge_styles(night.read(base.ref, _STYLES), delivery.styles_csv(), removed)
    settled = set(removed)
    with night.progress("storing the delta", 0) as advance:
        for name, content in delivery.images():
            settled.add(PurePosixPath(name).stem)
            yield f"{_IMAGES}{name}", content
            advance(1)
        barred = current_purges(night).artifact.barred_pictures
        for file in night.store.files(base.ref, _IMAGES):
            if PurePosixPath(file.path).stem not in settled and file.sha256 not in barred:
                yield file.path, night.read(base.ref, file.path)
                advance(1)


def _stored_files(night: Night, base: Opened[CatalogSnapshot]) -> Iterator[tuple[str, bytes]]:
    """The catalog of an earlier night, but for pictures that were purged since."""
    yield _STYLES, night.read(base.ref, _STYLES)
    barred = current_purges(night).artifact.barred_pictures
    with night.progress("storing the delivery", 0) as advance:
        for file in night.store.files(base.ref, _IMAGES):
            if file.sha256 not in barred:
                yield file.path, night.read(base.ref, file.path)
                advance(1)


def _without_purged(
    files: Iterator[tuple[str, bytes]], purges: Purges
) -> Iterator[tuple[str, bytes]]:
    """The pictures that are not barred, then the table without the products that are."""
    barred = set(purges.barred_products)
    styles = b""
    for path, content in files:
        product = PurePosixPath(path).stem
        if path == _STYLES:
            styles = content
        elif product in barred or sha256_bytes(content) in purges.barred_pictures:
            barred.add(product)
        else:
            yield path, content
    yield _STYLES, without_products(styles, barred) if barred else styles
