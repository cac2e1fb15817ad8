"""Changes for the tests: rows, pictures, drafts, and folders for the inbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from recsys.artifacts.catalog import ATTRIBUTES, NAME_COLUMN
from recsys.artifacts.change import Action
from recsys.changes import Draft
from serving_release import png


def picture(seed: int = 0) -> bytes:
    """A PNG of 24 x 32 pixels that passes the night's checks: blocks of one hue, smoothed."""
    rough = np.random.default_rng(seed).uniform(0, 255, (8, 6, 1)) * [1, 0.8, 0.6]
    fine = np.kron(rough, np.ones((4, 4, 1)))
    smooth = (fine + np.roll(fine, 1, 0) + np.roll(fine, 1, 1) + np.roll(fine, 2, 1)) / 4
    return png(smooth.astype(np.uint8))


def row(product: str, **values: str) -> dict[str, str]:
    known = {"articleType": "Shirts", "gender": "Men", NAME_COLUMN: f"Shirt {product}"}
    return {"id": product, **dict.fromkeys(ATTRIBUTES, "NA"), **known, **values}


def upsert(product: str, seed: int = 0, **values: str) -> Draft:
    return Draft(Action.UPSERT, product, row(product, **values), f"{product}.png", picture(seed))


def delist(product: str) -> Draft:
    return Draft(Action.DELIST, product)


def moved_in(changes_dir: Path, name: str, asked: Any, pictures: dict[str, bytes]) -> None:
    """A folder of the inbox, written beside it and moved in."""
    inbox = changes_dir / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    written = inbox.parent / f"made-{name}"
    written.mkdir()
    content = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    (written / "change.json").write_bytes(content)
    for file, data in pictures.items():
        (written / file).write_bytes(data)
    written.rename(inbox / name)
