"""Bind model, index and product table into one release."""

from __future__ import annotations

from pathlib import Path

from recsys import names, release
from recsys.artifacts.catalog import (
    ATTRIBUTES,
    NAME_COLUMN,
    STOCK_COLUMN,
    CatalogSnapshot,
    CatalogSplit,
    ValidatedCatalog,
)
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.model import ApprovedModel, TrainedModel
from recsys.artifacts.products import ProductTable
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import MANIFEST, RELEASE_FILES, VECTORS_FILE, Release
from recsys.errors import ArtifactInvalid
from recsys.stages.build_index import INDEX
from recsys.stages.feature_store import write_vectors
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import products_of
from recsys.stages.split_catalog import groups_of
from recsys.stages.task import Task, refs_by_repo, scratch_folder
from recsys.stages.vectors import MODEL_PATH


def run(night: Night) -> Receipt:
    """Commit the release and put its folder among the releases."""
    search = night.result_of("build_index", SearchIndex)
    embeddings = night.open(search.artifact.embeddings, EmbeddingSet)
    champion = night.open(embeddings.artifact.champion, ApprovedModel)
    validated = night.open(embeddings.artifact.validated, ValidatedCatalog)
    inputs = [search.ref, embeddings.ref, champion.ref, validated.ref]
    task = Task(night, "assemble_release", inputs, {}, rooms=("release", "artifacts/products.py"))
    if (receipt := task.remembered()) is not None:
        restore(night, receipt.ref)
        return receipt
    with scratch_folder(night) as folder:
        ids = _gather(night, folder, search, embeddings, champion)
        bundle = release.assemble(
            night.settings.releases_dir,
            model=champion.artifact,
            embeddings=embeddings.artifact,
            index=search.artifact,
            products=_product_table(night, validated, embeddings.ref, ids, champion),
            embedder=folder / MODEL_PATH[1:],
            index_file=folder / INDEX[1:],
            vectors=folder / VECTORS_FILE,
            inputs={
                **refs_by_repo(inputs),
                names.CATALOG: validated.artifact.catalog,
                names.MODELS: champion.artifact.model,
            },
            verdicts=(
                *validated.artifact.verdicts,
                *champion.artifact.verdicts,
                search.artifact.verdict,
            ),
            changes_through=night.open(
                validated.artifact.catalog, CatalogSnapshot
            ).artifact.changes_through,
        )
    home = night.settings.releases_dir / bundle.id
    return task.publish(bundle, [(f"/{name}", home / name) for name in RELEASE_FILES])


def restore(night: Night, ref: str) -> None:
    """Put a committed release's folder back among the releases if it is gone."""
    bundle = night.open(ref, Release).artifact
    home = night.settings.releases_dir / bundle.id
    if home.is_dir():
        return
    with scratch_folder(night) as folder:
        part = folder / bundle.id
        night.store.materialise(ref, part)
        (part / MANIFEST).write_bytes(bundle.to_json())
        home.parent.mkdir(parents=True, exist_ok=True)
        part.rename(home)


def _gather(
    night: Night,
    folder: Path,
    search: Opened[SearchIndex],
    embeddings: Opened[EmbeddingSet],
    champion: Opened[ApprovedModel],
) -> list[str]:
    """Copy the parts to the folder; returns the products in the order of the vectors."""
    night.store.materialise(search.ref, folder, INDEX)
    night.store.materialise(champion.artifact.model, folder, MODEL_PATH)
    return write_vectors(night, embeddings, folder / VECTORS_FILE)


def _product_table(
    night: Night,
    validated: Opened[ValidatedCatalog],
    embeddings: str,
    ids: list[str],
    champion: Opened[ApprovedModel],
) -> ProductTable:
    """Ids, names and attributes; the stock if it was delivered, and who shows the same picture."""
    products = products_of(night, validated)
    if products["id"].tolist() != ids:
        raise ArtifactInvalid(f"{embeddings} holds vectors of other products than {validated.ref}")
    split = night.open(champion.artifact.model, TrainedModel).artifact.split
    return ProductTable.from_columns(
        ids,
        products[NAME_COLUMN].tolist(),
        {field: products[field].tolist() for field in ATTRIBUTES},
        # The split that the model was made with is of these very products.
        groups=groups_of(night, night.open(split, CatalogSplit)),
        in_stock=(products[STOCK_COLUMN] == "true").tolist() if STOCK_COLUMN in products else None,
    )
