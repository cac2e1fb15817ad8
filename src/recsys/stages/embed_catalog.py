"""Put every good product through the champion: the feature store."""

from __future__ import annotations

from recsys.artifacts.catalog import ValidatedCatalog
from recsys.artifacts.digests import canonical_json, sha256_file
from recsys.artifacts.index import EmbeddingSet
from recsys.artifacts.model import ApprovedModel, TrainedModel
from recsys.artifacts.receipt import Receipt
from recsys.stages.night import Night
from recsys.stages.pixels import products_of
from recsys.stages.task import Task
from recsys.stages.vectors import vectors_file

VECTORS = "/vectors.npy"
IDS = "/ids.json"


def run(night: Night) -> Receipt:
    """Commit the vectors of the catalog that the champion was trained on."""
    champion = night.result_of("approve_model", ApprovedModel)
    approved = champion.artifact
    validated = night.open(
        night.open(approved.model, TrainedModel).artifact.validated, ValidatedCatalog
    )
    task = Task(
        night, "embed_catalog", [champion.ref, validated.ref], {}, rooms=("embedding", "images")
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    products = products_of(night, validated)
    vectors = vectors_file(night, validated, approved.model, approved.model_digest)
    embeddings = EmbeddingSet(
        champion=champion.ref,
        validated=validated.ref,
        model_digest=approved.model_digest,
        rows=len(products),
        dimension=approved.dimension,
        vectors_digest=sha256_file(vectors),
    )
    ids = canonical_json(products["id"].tolist())
    return task.publish(embeddings, [(VECTORS, vectors), (IDS, ids)])
