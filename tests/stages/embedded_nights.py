"""Nights up to the champion, committed by hand: tiny pictures and the tiny model of the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE, Artifact
from recsys.artifacts.catalog import (
    ATTRIBUTES,
    LABEL_COLUMN,
    NAME_COLUMN,
    CatalogSnapshot,
    CatalogSplit,
    ValidatedCatalog,
)
from recsys.artifacts.digests import sha256_bytes
from recsys.artifacts.index import EmbeddingSet
from recsys.artifacts.model import ApprovedModel, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.settings import Settings
from recsys.stages import embed_catalog, frames
from recsys.stages.night import Night, Opened
from serving_release import EMBEDDER, HEIGHT, WIDTH, png, ref, verdict

DIMENSION = 8


def picture(seed: int) -> bytes:
    """A PNG of the model's size."""
    drawn = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return png(drawn)


def reach_champion(
    settings: Settings,
    date: str,
    pictures: Mapping[str, bytes],
    model: bytes | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    types: Mapping[str, str] | None = None,
) -> Night:
    """A night whose catalog holds these pictures by product, and whose champion is the model.

    ``size`` is what the model takes, (width, height); ``types`` are article types by product.
    """
    width, height = size
    night = Night(settings, date)
    catalog = _commit(
        night,
        names.CATALOG,
        CatalogSnapshot("drawn", sha256_bytes(repr(sorted(pictures.items())).encode())),
        [],
        {f"/images/{product}.png": content for product, content in pictures.items()},
    )
    ids = sorted(pictures)
    products = pd.DataFrame(
        {
            "id": ids,
            "image": [f"{product}.png" for product in ids],
            "kept": False,
            "sha256_bytes": [sha256_bytes(pictures[product]) for product in ids],
            NAME_COLUMN: [f"Product {product}" for product in ids],
            **dict.fromkeys(ATTRIBUTES, "NA"),
            LABEL_COLUMN: [(types or {}).get(product, "NA") for product in ids],
        }
    )
    validated = _commit(
        night,
        names.VALIDATED,
        ValidatedCatalog(catalog, ref("measured"), len(ids), 0, 0, {}, (verdict(),)),
        [catalog],
        {frames.PRODUCTS: frames.to_parquet(products)},
    )
    content = model or EMBEDDER.read_bytes()
    digest = sha256_bytes(content)
    split = _commit(
        night,
        names.SPLITS,
        CatalogSplit(validated, max(1, len(ids) - 2), 1, 1, 0, 0, 0),
        [validated],
        {frames.GROUPS: frames.to_parquet(pd.DataFrame({"id": ids, "group": ids}))},
    )
    trained = TrainedModel(validated, split, digest, DIMENSION, width, height, "run", {})
    models = _commit(
        night, names.MODELS, trained, [validated, split], {"/embedder.tflite": content}
    )
    approved = ApprovedModel(models, digest, DIMENSION, width, height, "1", (verdict(),))
    champion = _commit(night, names.CHAMPIONS, approved, [models], {})
    night.receipts["approve_model"] = Receipt(approved.kind, champion, approved.digest, fresh=True)
    return night


def embed(night: Night) -> Opened[EmbeddingSet]:
    receipt = embed_catalog.run(night)
    return night.open(receipt.ref, EmbeddingSet)


def other_model() -> bytes:
    """The same model in another file."""
    return EMBEDDER.read_bytes() + b"\0" * 16


def _commit(
    night: Night, repo: str, artifact: Artifact, inputs: list[str], files: dict[str, Any]
) -> str:
    night.store.ensure_repo(repo)
    with night.store.commit(repo, inputs=inputs, message="{}", replace=True) as writer:
        writer.put(ARTIFACT_FILE, artifact.to_json())
        for path, content in files.items():
            writer.put(path, content)
    return writer.ref
