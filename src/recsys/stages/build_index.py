"""Build the index over tonight's vectors and gate its recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import drawing, index, names
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import VECTORS_FILE
from recsys.stages import frames
from recsys.stages.feature_store import write_vectors
from recsys.stages.judge import judge
from recsys.stages.night import Night
from recsys.stages.task import Task, scratch_folder, suite_digest

INDEX = "/index.faiss"
TRADE_OFF = "/trade_off.png"
_ROOMS = ("index", "gates", "drawing/paper.py", "drawing/trade_off.py")
_K = 10


def run(night: Night) -> Receipt:
    """Commit the index, or refuse it when it misses true neighbours.

    An index that was chosen is committed with what it was chosen from.
    """
    embeddings = night.result_of("embed_catalog", EmbeddingSet)
    settings = night.settings
    factories = index.plan(
        embeddings.artifact.rows,
        embeddings.artifact.dimension,
        settings.index_factory,
        settings.index_max_bytes,
    )
    parameters = {
        "factory": factories[0] if len(factories) == 1 else list(factories),
        "breadth": settings.index_breadth,
        "recall_target": settings.recall_target,
        "seed": settings.seed,
        "recall_queries": settings.recall_queries,
        **suite_digest(night, names.SUITE_INDEX),
    }
    task = Task(night, "build_index", [embeddings.ref], parameters, rooms=_ROOMS)
    if (receipt := task.remembered()) is not None:
        return receipt
    with scratch_folder(night) as folder:
        vectors, out = folder / VECTORS_FILE, folder / INDEX[1:]
        write_vectors(night, embeddings, vectors)
        subject, of = embeddings.ref, embeddings.artifact
        if len(factories) == 1:
            breadth = settings.index_breadth
            artifact = built_index(night, subject, of, vectors, factories[0], breadth, out)
            return task.publish(artifact, [(INDEX, out)])
        artifact = chosen_index(night, subject, of, vectors, factories, folder)
        files = [(path, folder / path[1:]) for path in (INDEX, frames.CANDIDATES, TRADE_OFF)]
        return task.publish(artifact, files)


def built_index(
    night: Night,
    subject: str,
    embeddings: EmbeddingSet,
    vectors_file: Path,
    factory: str,
    breadth: int,
    out: Path,
) -> SearchIndex:
    """Write the index over a file of vectors to ``out``, and gate its recall.

    ``subject`` is the embeddings commit that is judged.

    Raises
    ------
    GateRefused
        It misses true neighbours.
    """
    vectors = np.load(vectors_file, mmap_mode="r", allow_pickle=False)
    index.save(index.build(vectors, factory, breadth, night.settings.seed), out)
    return _gated(night, subject, embeddings, vectors, factory, breadth, out)


def chosen_index(
    night: Night,
    subject: str,
    embeddings: EmbeddingSet,
    vectors_file: Path,
    factories: Sequence[str],
    folder: Path,
) -> SearchIndex:
    """Write the cheapest index that finds enough into ``folder``, and what it was chosen from.

    Raises
    ------
    GateRefused
        It misses true neighbours all the same.
    """
    settings, out = night.settings, folder / INDEX[1:]
    vectors = np.load(vectors_file, mmap_mode="r", allow_pickle=False)
    choice = index.choose(
        vectors, factories, recall_target=settings.recall_target, k=_K, seed=settings.seed
    )
    index.save(choice.index, out)
    table = pd.DataFrame(
        {**asdict(item), "chosen": item == choice.chosen} for item in choice.candidates
    )
    (folder / frames.CANDIDATES[1:]).write_bytes(frames.to_parquet(table))
    drawing.draw_trade_off(table, folder / TRADE_OFF[1:], target=settings.recall_target)
    chosen = choice.chosen
    return _gated(night, subject, embeddings, vectors, chosen.factory, chosen.breadth, out)


def _gated(
    night: Night,
    subject: str,
    embeddings: EmbeddingSet,
    vectors: npt.NDArray[np.float32],
    factory: str,
    breadth: int,
    out: Path,
) -> SearchIndex:
    settings = night.settings
    rows, dimension = embeddings.rows, embeddings.dimension
    built = index.open_index(out, rows=rows, dimension=dimension, breadth=breadth)
    recall = index.measure_recall(
        built, vectors, queries=settings.recall_queries, k=_K, seed=settings.seed
    )
    verdict = judge(night, names.SUITE_INDEX, _table(recall, built, embeddings), subject=subject)
    return SearchIndex(
        embeddings=subject,
        model_digest=embeddings.model_digest,
        index_digest=sha256_file(out),
        factory=factory,
        breadth=breadth,
        rows=rows,
        dimension=dimension,
        recall_at_10=recall.recall_at_k,
        recall_queries=recall.queries,
        filtered_recall_at_10={item.selectivity: item.recall_at_k for item in recall.filtered},
        verdict=verdict,
    )


def _table(
    recall: index.RecallReport, built: index.Index, embeddings: EmbeddingSet
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "recall_at_10": recall.recall_at_k,
                **{
                    f"recall_at_10_of_{item.selectivity}": item.recall_at_k
                    for item in recall.filtered
                },
                "self_found_share": recall.self_found_share,
                "rows_share": built.ntotal / embeddings.rows,
                "dimension_matches": int(built.d == embeddings.dimension),
            }
        ]
    )
