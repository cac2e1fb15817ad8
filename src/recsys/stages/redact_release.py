"""A release without some of its products: the same model, a smaller index."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from recsys import names, release
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.digests import canonical_json, sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.model import ApprovedModel
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import (
    INDEX_FILE,
    MODEL_FILE,
    RELEASE_FILES,
    VECTORS_FILE,
    Release,
    read_manifest,
)
from recsys.errors import BadInput, GateRefused, StoreError
from recsys.stages.build_index import built_index
from recsys.stages.night import Night
from recsys.stages.record import outcome_of
from recsys.stages.task import scratch_folder

_EXACT = "Flat"


def redact(night: Night, release_id: str, products: Collection[str], purge_ref: str) -> Release:
    """Assemble the release anew without these products, beside the old one.

    The index is built and gated as on any night; one that no longer reaches its recall
    gives way to an exact one.

    Raises
    ------
    BadInput
        Nothing would be left.
    """
    home = night.settings.releases_dir / release_id
    old = read_manifest(home)
    table = ProductTable.load(home)
    gone = {product.encode() for product in products}
    keep = np.array([product not in gone for product in table.ids.tolist()])
    if not keep.any():
        raise BadInput(f"release {release_id} holds nothing else; take it out of service instead")
    with scratch_folder(night) as folder:
        vectors = folder / VECTORS_FILE
        np.save(vectors, np.load(home / VECTORS_FILE, mmap_mode="r", allow_pickle=False)[keep])
        return _assembled(night, old, home, table.kept(keep), vectors, purge_ref)


def commit_redacted(night: Night, release_id: str, purge_ref: str) -> None:
    """Commit a redacted release, made of the purge and of those inputs that are still there.

    On a branch of its own, since which inputs a purge leaves is not the same every time.
    One that was committed before, or replaced by a later purge, is left alone.
    """
    branch = f"purged-{release_id}"
    home = night.settings.releases_dir / release_id
    if not home.is_dir() or night.store.head(names.RELEASES, branch) is not None:
        return
    bundle = read_manifest(home)
    inputs = [purge_ref, *(ref for ref in bundle.inputs.values() if ref != purge_ref)]
    there = [ref for ref in inputs if _is_there(night, ref)]
    record = {"stage": "redact_release", **outcome_of(bundle), "night": night.date}
    with night.store.commit(
        names.RELEASES,
        inputs=there,
        message=canonical_json(record).decode(),
        branch=branch,
        replace=True,
    ) as writer:
        writer.put(ARTIFACT_FILE, bundle.to_json())
        for name in RELEASE_FILES:
            writer.put(f"/{name}", home / name)


def _assembled(
    night: Night, old: Release, home: Path, table: ProductTable, vectors: Path, purge_ref: str
) -> Release:
    embeddings = EmbeddingSet(
        champion=old.inputs[names.CHAMPIONS],
        validated=old.inputs[names.VALIDATED],
        model=old.inputs[names.MODELS],
        catalog=old.inputs[names.CATALOG],
        model_digest=old.model_digest,
        rows=len(table),
        dimension=old.dimension,
        vectors_digest=sha256_file(vectors),
        taken_over=len(table),
    )
    search = _index(night, old, embeddings, vectors)
    verdicts = [verdict for verdict in old.verdicts if verdict.suite != names.SUITE_INDEX]
    return release.assemble(
        night.settings.releases_dir,
        model=night.open(old.inputs[names.CHAMPIONS], ApprovedModel).artifact,
        embeddings=embeddings,
        index=search,
        products=table,
        embedder=home / MODEL_FILE,
        index_file=vectors.with_name(INDEX_FILE),
        vectors=vectors,
        inputs={**old.inputs, names.PURGES: purge_ref},
        verdicts=(*verdicts, search.verdict),
        changes_through=old.changes_through,
    )


def _index(night: Night, old: Release, embeddings: EmbeddingSet, vectors: Path) -> SearchIndex:
    subject = old.inputs[names.EMBEDDINGS]
    out = vectors.with_name(INDEX_FILE)
    for factory in (old.factory, _EXACT):
        try:
            return built_index(night, subject, embeddings, vectors, factory, old.breadth, out)
        except GateRefused:
            if factory == _EXACT:
                raise
    raise AssertionError("unreachable")


def _is_there(night: Night, ref: str) -> bool:
    try:
        night.store.inspect(ref)
    except StoreError:
        return False
    return True
