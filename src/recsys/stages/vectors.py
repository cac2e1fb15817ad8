"""A catalog's vectors by one model, computed once a night, and only for pictures that are new."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys import embedding, names
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.artifacts.digests import sha256_bytes
from recsys.artifacts.model import TrainedModel
from recsys.embedding.shards import EmbeddingShards
from recsys.errors import ArtifactInvalid, ContentRemoved
from recsys.stages.feature_store import shard_paths
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of_rows, products_of
from recsys.stages.record import commit_record, library_versions
from recsys.stages.task import code_digest, scratch_folder

MODEL_PATH = "/embedder.tflite"
# Whose code, and whose libraries, decide a vector's bits: under any others vectors are made
# anew.
ROOMS: Final = ("embedding", "images", "stages/pixels.py", "stages/vectors.py")
_CODE: Final = ("stages/embed_catalog.py", *ROOMS)
_LIBRARIES: Final = ("ai-edge-litert", "numpy", "pillow", "simplejpeg")
_LOCK = "vectors.lock"


def vectors_of(
    night: Night, validated: Opened[ValidatedCatalog], model: str, model_digest: str
) -> npt.NDArray[np.float32]:
    """[n_products, dimension] float32, unit norm, mapped from `vectors_file`."""
    path = vectors_file(night, validated, model, model_digest)
    vectors: npt.NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors


def vectors_file(
    night: Night, validated: Opened[ValidatedCatalog], model: str, model_digest: str
) -> Path:
    """A ``.npy`` in the scratch folder with the catalog's vectors by one model.

    ``model`` is the models commit. The file's name holds model digest and catalog commit,
    so vectors of another model, or of another catalog, are never picked up. Of stages that
    run beside each other the first one embeds, and the others wait for it. Pictures that the
    model embedded on an earlier night are not embedded again (`known_vectors`).
    """
    commit = names.parse_ref(validated.ref)[1]
    path = night.settings.scratch_dir / f"vectors-{model_digest[:32]}-{commit}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            for other in path.parent.glob("vectors-*.npy"):
                if not other.name.endswith(f"-{commit}.npy"):
                    other.unlink(missing_ok=True)
            _embed(night, validated, model, model_digest, path)
    return path


def known_vectors(night: Night, model_digest: str) -> embedding.KnownVectors:
    """The vectors that today's code made with this model for an earlier catalog.

    Of the newest such commit; shards that were purged or collected since are left out.
    """
    code, libraries = code_digest(_CODE), _deciding(library_versions())
    for commit in night.commits(names.EMBEDDINGS):
        record = commit_record(commit.message)
        made_alike = record.get("code_digest") == code and libraries == _deciding(
            record.get("libraries", {})
        )
        if made_alike and record["names"]["model"] == names.model_version(model_digest):
            return _known_of(night, commit.ref, model_digest)
    return embedding.NOTHING_KNOWN


def _deciding(libraries: Mapping[str, str]) -> dict[str, str]:
    return {name: libraries.get(name, "") for name in _LIBRARIES}


def _known_of(night: Night, ref: str, model_digest: str) -> embedding.KnownVectors:
    pictures: list[str] = []
    vectors: list[npt.NDArray[np.float32]] = []
    for path in shard_paths(night, ref):
        try:
            stream = night.store.open(ref, path)
        except ContentRemoved:
            continue
        with stream:
            shard = EmbeddingShards([stream], model_digest=model_digest)
            pictures += shard.pictures()
            vectors.append(shard.vectors())
    if not vectors:
        return embedding.NOTHING_KNOWN
    return embedding.KnownVectors.of(pictures, np.concatenate(vectors))


def _embed(
    night: Night, validated: Opened[ValidatedCatalog], model: str, digest: str, path: Path
) -> None:
    trained = night.open(model, TrainedModel).artifact
    size = (trained.image_width, trained.image_height)
    products = products_of(night, validated)
    pictures = products["sha256_bytes"].tolist()
    known = known_vectors(night, digest)
    unknown = sum(picture not in known for picture in pictures)
    # It outlives a run that is killed: the next one goes on after the parts that are there.
    parts = path.parent / f"parts-{digest[:32]}"
    with scratch_folder(night) as folder, night.progress("embedding products", unknown) as advance:
        embedder = folder / MODEL_PATH[1:]
        embedder.write_bytes(model_bytes(night, model, digest))
        embedding.embed_new(
            embedder,
            pictures,
            known,
            lambda rows: pixels_of_rows(night, validated, products, rows, size, wanted=unknown),
            workers=os.cpu_count() or 1,
            parts=parts,
            out=path,
            on_progress=advance,
        )
    shutil.rmtree(parts)


def model_bytes(night: Night, model: str, digest: str) -> bytes:
    """The exported model of a models commit, checked against its digest."""
    content = night.read(model, MODEL_PATH)
    if sha256_bytes(content) != digest:
        raise ArtifactInvalid(f"{model}{MODEL_PATH} is not the model {digest[:12]}…")
    return content
