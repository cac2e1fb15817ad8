"""A shop whose releases are made without training, and answered by a real microservice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recsys import index as index_room
from recsys import release
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.model import ApprovedModel
from recsys.artifacts.products import ProductTable
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import INDEX_FILE, RELEASE_FILES, VECTORS_FILE, Release
from recsys.settings import Settings
from recsys.stages import assemble_release, build_index
from recsys.stages.night import Night
from recsys.stages.task import Task
from serving_release import HEIGHT, WIDTH, Service
from stages.embedded_nights import embed, picture, reach_champion

DATA = Path(__file__).parent / "data"
SHOWN = {str(10_000 + number): picture(number) for number in range(40)}


@dataclass(frozen=True)
class Shop:
    """A shop whose first release answers."""

    settings: Settings
    service: Service
    deployed: list[Receipt] = field(default_factory=list)
    size: tuple[int, int] = (WIDTH, HEIGHT)
    types: Mapping[str, str] = field(default_factory=dict)

    def night(
        self, date: str, model: str | bytes = "good", shown: Mapping[str, bytes] = SHOWN
    ) -> Night:
        """A night up to its release; the model's file, or the name of one in ``data``."""
        content = model if isinstance(model, bytes) else (DATA / f"{model}.tflite").read_bytes()
        night = reach_champion(self.settings, date, shown, content, self.size, self.types)
        embed(night)
        night.receipts["build_index"] = build_index.run(night)
        night.receipts["assemble_release"] = assemble_release.run(night)
        return night

    def answer(self) -> str:
        """The release that answers a shopper now."""
        found: str = self.service.ask(product_id="10001").json()["jsonData"]["release"]
        return found


def halved(night: Night) -> None:
    """Tonight's release with every other product left out by mistake."""
    settings = night.settings
    bundle = night.result_of("assemble_release", Release)
    home = settings.releases_dir / bundle.artifact.id
    mask = np.arange(bundle.artifact.products) % 2 == 0
    part = settings.scratch_dir / "halved"
    part.mkdir(parents=True, exist_ok=True)
    vectors = np.load(home / VECTORS_FILE)[mask]
    np.save(part / VECTORS_FILE, vectors)
    index_room.save(index_room.build(vectors, "Flat", 1, 0), part / INDEX_FILE)
    rows = {"rows": len(vectors)}
    search = night.result_of("build_index", SearchIndex).artifact
    embeddings = night.open(search.embeddings, EmbeddingSet).artifact
    made = release.assemble(
        settings.releases_dir,
        model=night.open(embeddings.champion, ApprovedModel).artifact,
        embeddings=EmbeddingSet(
            **{
                **vars(embeddings),
                **rows,
                "taken_over": 0,
                "vectors_digest": sha256_file(part / VECTORS_FILE),
            }
        ),
        index=SearchIndex(
            **{**vars(search), **rows, "index_digest": sha256_file(part / INDEX_FILE)}
        ),
        products=ProductTable.load(home).kept(mask),
        embedder=home / "embedder.tflite",
        index_file=part / INDEX_FILE,
        vectors=part / VECTORS_FILE,
        inputs=bundle.artifact.inputs,
        verdicts=bundle.artifact.verdicts,
    )
    inputs = night.store.inspect(bundle.ref).inputs
    folder = settings.releases_dir / made.id
    night.receipts["assemble_release"] = Task(
        night, "assemble_release", inputs, {"halved": True}, rooms=("release",)
    ).publish(made, [(f"/{name}", folder / name) for name in RELEASE_FILES])
