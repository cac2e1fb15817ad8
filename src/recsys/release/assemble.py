"""Bind the night's parts into one folder that is named by its content."""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from recsys import names
from recsys.artifacts.base import require
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.files import sync_folder
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.model import ApprovedModel
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import (
    INDEX_FILE,
    MANIFEST,
    MODEL_FILE,
    RELEASE_FILES,
    VECTORS_FILE,
    Release,
    verify_release,
)
from recsys.artifacts.verdict import Verdict
from recsys.errors import ArtifactInvalid

_LOG = logging.getLogger(__name__)
BUILDING: Final = ".building-"
_ABANDONED_SECONDS: Final = 24 * 3600


def assemble(
    releases_dir: Path,
    *,
    model: ApprovedModel,
    embeddings: EmbeddingSet,
    index: SearchIndex,
    products: ProductTable,
    embedder: Path,
    index_file: Path,
    vectors: Path,
    inputs: Mapping[str, str],
    verdicts: Sequence[Verdict],
    changes_through: int = 0,
) -> Release:
    """Write ``releases_dir/<id>/`` and return its manifest; the same parts give the same id.

    The folder is built beside its place, flushed to disk and renamed, so a release is there
    whole or not at all. One that is there already is kept if it verifies, else replaced.

    Parameters
    ----------
    embedder, index_file, vectors
        The files of ``model``, ``index`` and ``embeddings``.
    inputs
        Repo → commit that the release was made of; ``catalog`` must be among them.
    changes_through
        The number of the last change that this catalog has folded in.

    Raises
    ------
    ArtifactInvalid
        The parts do not belong together, or a file is not the one its artefact names.
    """
    _check_records(model, embeddings, index, products, inputs)
    releases_dir.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(releases_dir)
    building = releases_dir / f"{BUILDING}{secrets.token_hex(8)}"
    building.mkdir()
    try:
        shutil.copyfile(embedder, building / MODEL_FILE)
        shutil.copyfile(index_file, building / INDEX_FILE)
        shutil.copyfile(vectors, building / VECTORS_FILE)
        products.save(building)
        files = {name: sha256_file(building / name) for name in RELEASE_FILES}
        _check_files(building, files, model, embeddings, index)
        release = Release(
            model_digest=model.model_digest,
            index_digest=index.index_digest,
            factory=index.factory,
            breadth=index.breadth,
            dimension=index.dimension,
            image_width=model.image_width,
            image_height=model.image_height,
            products=len(products),
            files=files,
            inputs=dict(inputs),
            verdicts=tuple(verdicts),
            changes_through=changes_through,
        )
        (building / MANIFEST).write_bytes(release.to_json())
        _flush(building)
        _publish(building, releases_dir / release.id)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return release


def _check_records(
    model: ApprovedModel,
    embeddings: EmbeddingSet,
    index: SearchIndex,
    products: ProductTable,
    inputs: Mapping[str, str],
) -> None:
    digests = {
        "model": model.model_digest,
        "embeddings": embeddings.model_digest,
        "index": index.model_digest,
    }
    require(
        len(set(digests.values())) == 1,
        "the parts come from different models: "
        + ", ".join(f"{part} {names.model_version(digest)}" for part, digest in digests.items()),
    )
    rows = {"embeddings": embeddings.rows, "index": index.rows, "product table": len(products)}
    require(len(set(rows.values())) == 1, f"the parts hold different numbers of products: {rows}")
    dimensions = {
        "model": model.dimension,
        "embeddings": embeddings.dimension,
        "index": index.dimension,
    }
    require(
        len(set(dimensions.values())) == 1, f"the parts have different dimensions: {dimensions}"
    )
    require(
        names.CATALOG in inputs,
        f"a release must name its {names.CATALOG} commit; got {sorted(inputs)}",
    )
    for repo, ref in inputs.items():
        require(names.parse_ref(ref)[0] == repo, f"input {repo} is {ref}, a commit of another repo")


def _check_files(
    folder: Path,
    files: Mapping[str, str],
    model: ApprovedModel,
    embeddings: EmbeddingSet,
    index: SearchIndex,
) -> None:
    expected = {
        MODEL_FILE: model.model_digest,
        INDEX_FILE: index.index_digest,
        VECTORS_FILE: embeddings.vectors_digest,
    }
    for name, digest in expected.items():
        require(
            files[name] == digest,
            f"{name} has SHA-256 {files[name][:12]}…, but its artefact names {digest[:12]}…",
        )
    vectors = np.load(folder / VECTORS_FILE, mmap_mode="r", allow_pickle=False)
    shape = (embeddings.rows, embeddings.dimension)
    require(
        vectors.shape == shape and vectors.dtype == np.float32,
        f"{VECTORS_FILE} is {vectors.dtype} {vectors.shape}, expected float32 {shape}",
    )


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        sync_folder(path)  # opens read-only and fsyncs, which serves files as well
    sync_folder(folder)


def _publish(building: Path, home: Path) -> None:
    if home.exists():
        try:
            verify_release(home)
        except ArtifactInvalid as damage:
            # Workers that serve it hold its files open, so they do not notice.
            _LOG.warning("replacing a damaged release: %s", damage)
            damaged = building.with_name(f"{BUILDING}{home.name}-{secrets.token_hex(4)}")
            home.rename(damaged)
            building.rename(home)
            shutil.rmtree(damaged, ignore_errors=True)
    else:
        building.rename(home)
    sync_folder(home.parent)


def _remove_abandoned(releases_dir: Path) -> None:
    """Clear what a crash left; younger folders may belong to another process."""
    for folder in releases_dir.glob(f"{BUILDING}*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
