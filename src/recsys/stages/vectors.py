"""A catalog's vectors by one model, computed once a night."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recsys import embedding, names
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.artifacts.digests import sha256_bytes
from recsys.artifacts.model import TrainedModel
from recsys.errors import ArtifactInvalid
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of, products_of

MODEL_PATH = "/embedder.tflite"
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
    run beside each other the first one embeds, and the others wait for it.
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


def _embed(
    night: Night, validated: Opened[ValidatedCatalog], model: str, digest: str, path: Path
) -> None:
    trained = night.open(model, TrainedModel).artifact
    size = (trained.image_width, trained.image_height)
    pixels = pixels_of(night, validated, products_of(night, validated), size)
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix="embed-") as folder,
        night.progress("embedding products", len(pixels)) as advance,
    ):
        embedder = Path(folder) / "embedder.tflite"
        embedder.write_bytes(model_bytes(night, model, digest))
        part = Path(folder) / path.name
        embedding.embed_all(
            embedder, pixels, workers=os.cpu_count() or 1, out=part, on_progress=advance
        )
        part.replace(path)


def model_bytes(night: Night, model: str, digest: str) -> bytes:
    """The exported model of a models commit, checked against its digest."""
    content = night.read(model, MODEL_PATH)
    if sha256_bytes(content) != digest:
        raise ArtifactInvalid(f"{model}{MODEL_PATH} is not the model {digest[:12]}…")
    return content
