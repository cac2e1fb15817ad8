"""Put every good product through the champion: the feature store."""

from __future__ import annotations

import numpy as np

from recsys.artifacts.catalog import ValidatedCatalog
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet
from recsys.artifacts.model import ApprovedModel, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.embedding.shards import SHARD_ROWS, ShardSchema, write_shards
from recsys.stages.feature_store import SHARDS
from recsys.stages.night import Night
from recsys.stages.pixels import products_of
from recsys.stages.task import Task, scratch_folder
from recsys.stages.vectors import ROOMS, known_vectors, vectors_file


def run(night: Night) -> Receipt:
    """Commit the vectors of the catalog that the champion was trained on."""
    champion = night.result_of("approve_model", ApprovedModel)
    approved = champion.artifact
    validated = night.open(
        night.open(approved.model, TrainedModel).artifact.validated, ValidatedCatalog
    )
    task = Task(night, "embed_catalog", [champion.ref, validated.ref], {}, rooms=ROOMS)
    if (receipt := task.remembered()) is not None:
        return receipt
    products = products_of(night, validated)
    pictures = products["sha256_bytes"].tolist()
    known = known_vectors(night, approved.model_digest)
    vectors = vectors_file(night, validated, approved.model, approved.model_digest)
    embeddings = EmbeddingSet(
        champion=champion.ref,
        validated=validated.ref,
        model=approved.model,
        catalog=validated.artifact.catalog,
        model_digest=approved.model_digest,
        rows=len(products),
        dimension=approved.dimension,
        vectors_digest=sha256_file(vectors),
        taken_over=sum(picture in known for picture in pictures),
    )
    schema = ShardSchema(
        embeddings.version,
        embeddings.model_digest,
        embeddings.dimension,
        embeddings.model,
        embeddings.catalog,
    )
    with scratch_folder(night) as folder:
        mapped = np.load(vectors, mmap_mode="r", allow_pickle=False)
        ids = products["id"].tolist()
        shards = write_shards(folder, ids, pictures, mapped, schema, shard_rows=SHARD_ROWS)
        return task.publish(embeddings, [(f"{SHARDS}{path.name}", path) for path in shards])
