"""Store tonight's delivery as it came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recsys.artifacts.catalog import CatalogSnapshot
from recsys.artifacts.receipt import Receipt
from recsys.catalog import Delivery, draw_catalog, open_delivery
from recsys.settings import DRAWN, Settings
from recsys.stages.night import Night
from recsys.stages.task import Task


def run(night: Night) -> Receipt:
    """Commit the delivered bytes to the catalog repo."""
    source = catalog_source(night.settings)
    folder = _draw(night) if source == DRAWN else Path(source)
    delivery = open_delivery(folder, max_image_bytes=night.settings.max_image_bytes)
    layout = DRAWN if source == DRAWN else delivery.layout
    source_digest = delivery.source_digest  # reads the whole delivery: once
    task = Task(
        night,
        "snapshot_catalog",
        inputs=(),
        parameters={"layout": layout, "source_digest": source_digest},
        rooms=("catalog",),
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    return task.publish(CatalogSnapshot(layout, source_digest), _delivered_files(night, delivery))


def catalog_note(settings: Settings) -> Path:
    """The file in which `recsys up --catalog` notes where deliveries come from."""
    return settings.state_dir / "catalog"


def catalog_source(settings: Settings) -> str:
    """A folder or ``drawn``: the setting, else what was noted last, else drawn."""
    if settings.catalog:
        return settings.catalog
    note = catalog_note(settings)
    return note.read_text().strip() if note.is_file() else DRAWN


def _draw(night: Night) -> Path:
    settings = night.settings
    return draw_catalog(settings.state_dir / "drawn", settings.drawn_products, settings.drawn_seed)


def _delivered_files(night: Night, delivery: Delivery) -> Iterator[tuple[str, bytes]]:
    yield "/styles.csv", delivery.styles_csv()
    with night.progress("storing the delivery", 0) as advance:
        for name, content in delivery.images():
            yield f"/images/{name}", content
            advance(1)
