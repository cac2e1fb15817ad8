"""Build the index over tonight's vectors and gate its recall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recsys import index, names
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.receipt import Receipt
from recsys.stages.embed_catalog import VECTORS
from recsys.stages.judge import judge
from recsys.stages.night import Night
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
        vectors, out = folder / VECTORS[1:], folder / INDEX[1:]
        artifact = built_index(
            night, embeddings.ref, embeddings.artifact, vectors, factory, settings.index_nprobe, out
        )
        return task.publish(artifact, [(INDEX, out)])


def built_index(
    night: Night,
    subject: str,
    embeddings: EmbeddingSet,
    vectors_file: Path,
    factory: str,
    nprobe: int,
    out: Path,
) -> SearchIndex:
    """Write the index over a file of vectors to ``out``, and gate its recall.

    ``subject`` is the embeddings commit that is judged.

    Raises
    ------
    GateRefused
        It misses true neighbours.
    """
    settings = night.settings
    rows, dimension = embeddings.rows, embeddings.dimension
    vectors = np.load(vectors_file, mmap_mode="r", allow_pickle=False)
    index.save(index.build(vectors, factory, nprobe, settings.seed), out)
    built = index.open_index(out, rows=rows, dimension=dimension, nprobe=nprobe)
    recall = index.measure_recall(
        built, vectors, queries=settings.recall_queries, k=_K, seed=settings.seed
    )
    verdict = judge(night, names.SUITE_INDEX, _table(recall, built, embeddings), subject=subject)
    return SearchIndex(
        embeddings=subject,
        model_digest=embeddings.model_digest,
        index_digest=sha256_file(out),
        factory=factory,
        nprobe=nprobe,
        rows=rows,
        dimension=dimension,
        recall_at_10=recall.recall_at_k,
        recall_queries=recall.queries,
        verdict=verdict,
    )


def _table(
    recall: index.RecallReport, built: index.Index, embeddings: EmbeddingSet
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "recall_at_10": recall.recall_at_k,
                "self_found_share": recall.self_found_share,
                "rows_share": built.ntotal / embeddings.rows,
                "dimension_matches": int(built.d == embeddings.dimension),
            }
        ]
    )
