"""Build the index over tonight's vectors and gate its recall."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys import index, names
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.receipt import Receipt
from recsys.stages.embed_catalog import VECTORS
from recsys.stages.judge import judge
from recsys.stages.night import Night, Opened
from recsys.stages.task import Task, scratch_folder, suite_digest

INDEX = "/index.faiss"
_K = 10


def run(night: Night) -> Receipt:
    """Commit the index, or refuse it when it misses true neighbours."""
    embeddings = night.result_of("embed_catalog", EmbeddingSet)
    settings = night.settings
    rows, dimension = embeddings.artifact.rows, embeddings.artifact.dimension
    factory = index.plan(rows, dimension, settings.index_factory)
    parameters = {
        "factory": factory,
        "nprobe": settings.index_nprobe,
        "seed": settings.seed,
        "recall_queries": settings.recall_queries,
        **suite_digest(night, names.SUITE_INDEX),
    }
    task = Task(night, "build_index", [embeddings.ref], parameters, rooms=("index", "gates"))
    if (receipt := task.remembered()) is not None:
        return receipt
    with scratch_folder(night) as folder:
        night.store.materialise(embeddings.ref, folder, VECTORS)
        vectors = np.load(folder / VECTORS[1:], mmap_mode="r", allow_pickle=False)
        path = folder / INDEX[1:]
        index.save(index.build(vectors, factory, settings.index_nprobe, settings.seed), path)
        built = index.open_index(path, rows=rows, dimension=dimension, nprobe=settings.index_nprobe)
        recall = index.measure_recall(
            built, vectors, queries=settings.recall_queries, k=_K, seed=settings.seed
        )
        verdict = judge(
            night, names.SUITE_INDEX, _table(recall, built, embeddings), subject=embeddings.ref
        )
        artifact = SearchIndex(
            embeddings=embeddings.ref,
            model_digest=embeddings.artifact.model_digest,
            index_digest=sha256_file(path),
            factory=factory,
            nprobe=settings.index_nprobe,
            rows=rows,
            dimension=dimension,
            recall_at_10=recall.recall_at_k,
            recall_queries=recall.queries,
            verdict=verdict,
        )
        return task.publish(artifact, [(INDEX, path)])


def _table(
    recall: index.RecallReport, built: index.Index, embeddings: Opened[EmbeddingSet]
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "recall_at_10": recall.recall_at_k,
                "self_found_share": recall.self_found_share,
                "rows_share": built.ntotal / embeddings.artifact.rows,
                "dimension_matches": int(built.d == embeddings.artifact.dimension),
            }
        ]
    )
