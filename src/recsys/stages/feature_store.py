"""The feature store in provenance: reading the vectors that `embed_catalog` commits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from recsys.artifacts.base import require
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet
from recsys.embedding.shards import EmbeddingShards, pictures_in
from recsys.errors import ArtifactInvalid, ContentRemoved
from recsys.stages.night import Night, Opened

SHARDS: Final = "/vectors/"


def shard_paths(night: Night, ref: str) -> list[str]:
    """The paths of a commit's shards, in order."""
    return [file.path for file in night.store.files(ref, SHARDS)]


def shards_showing(night: Night, ref: str, pictures: Collection[str]) -> Iterator[str]:
    """The paths of a commit's shards with the vector of one of these pictures (SHA-256).

    Those that were purged or collected before are left out.
    """
    for path in shard_paths(night, ref):
        try:
            stream = night.store.open(ref, path)
        except ContentRemoved:
            continue
        with stream:
            shown = not pictures_in(stream).isdisjoint(pictures)
        if shown:
            yield path


@contextmanager
def open_embeddings(night: Night, ref: str, model_digest: str) -> Iterator[EmbeddingShards]:
    """The vectors that an embeddings commit holds of the model that is asked for.

    Look-ups of single products read only what they need; `write_vectors` makes a map.

    Raises
    ------
    ArtifactInvalid
        They are another model's, or the commit holds no shards.
    ContentRemoved
        A shard was purged or collected.
    """
    paths = shard_paths(night, ref)
    if not paths:
        raise ArtifactInvalid(
            f"{ref} holds no shards of vectors; it was made before there were any:"
            " run a night, which embeds the catalog again"
        )
    with ExitStack() as closing:
        files = [closing.enter_context(night.store.open(ref, path)) for path in paths]
        yield EmbeddingShards(files, model_digest=model_digest)


def write_vectors(night: Night, embeddings: Opened[EmbeddingSet], out: Path) -> list[str]:
    """Write a commit's vectors to one ``.npy``, [rows, dimension] float32, to be mapped.

    It holds the bytes that ``vectors_digest`` names, which a release ships. Returns the
    products in row order.

    Raises
    ------
    ArtifactInvalid
        The shards are another model's, or not what the artefact names.
    """
    named = embeddings.artifact
    with open_embeddings(night, embeddings.ref, named.model_digest) as shards:
        require(
            (len(shards), shards.schema.dimension) == (named.rows, named.dimension),
            f"{embeddings.ref} holds {len(shards)} vectors of {shards.schema.dimension}"
            f" components, its artefact names {named.rows} of {named.dimension}",
        )
        vectors = np.lib.format.open_memmap(
            out, mode="w+", dtype=np.float32, shape=(named.rows, named.dimension)
        )
        shards.read_into(vectors)
        vectors.flush()
        products = shards.products()
    require(
        sha256_file(out) == named.vectors_digest,
        f"the vectors of {embeddings.ref} are not those that its artefact names",
    )
    return products
