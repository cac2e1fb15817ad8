"""Neighbours found by our index: beside peers, under filters, and by the number of products.

    python benchmarks/neighbours.py peers --vectors vectors.npy --peers-python ~/peers/bin/python
    python benchmarks/neighbours.py filters --vectors vectors.npy
    python benchmarks/neighbours.py scale --like vectors.npy --rows 10000 100000 1000000

``peers`` asks one query at a time, a product for its ten neighbours, and gives the median, in
wall and in CPU milliseconds, and the recall beside exact search. The field's starting point is
scikit-learn's NearestNeighbors, brute force, cosine, fitted anew for every request. hnswlib
(M 32, ef_construction 200) and usearch (its defaults) are no dependencies of the platform: they
run by the Python of an environment of their own, with the smallest width of 16, 32, 64 …
that reaches ``--recall``. Everything runs on one thread. ``filters`` is what the night's gate
measures, on the index that ``auto`` chooses. ``scale`` builds that index over vectors made
for it, each size in a process of its own: seconds, memory at the peak, recall, times. ``--like``
makes them of real ones: some of them, or ever denser between neighbours; without it they are
drawn in crowds.

``--vectors`` is a .npy of [rows, dimension] float32 of unit norm; without it they are drawn.
Prints JSON lines.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before numpy and FAISS ask how many there are.
if "--threads" not in sys.argv:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

K = 10
Vectors = npt.NDArray[np.float32]
Ask = Callable[[int], list[int]]


def drawn(rows: int, dimension: int, out: Path) -> None:
    """Vectors in crowds, as embeddings by article type are: a centre for each 300 products."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(max(2, rows // 300), dimension)).astype(np.float32)
    file = np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=(rows, dimension))
    for start in range(0, rows, 65_536):
        count = min(65_536, rows - start)
        # Most of the looks of a kind vary in few directions.
        looks = rng.normal(size=(count, 24)).astype(np.float32)
        directions = np.random.default_rng(2).normal(size=(24, dimension)).astype(np.float32)
        block = centres[rng.integers(0, len(centres), count)] + 0.12 * looks @ directions
        file[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    file.flush()


def drawn_like(real: Vectors, rows: int, out: Path) -> None:
    """Some of the real vectors; or all, and others on the way from one to one of its neighbours.

    What a larger catalog of the same kind of shop looks like: denser, and as crooked.
    """
    import faiss

    rng = np.random.default_rng(1)
    file = np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=(rows, real.shape[1]))
    known = min(rows, len(real))
    file[:known] = real[rng.permutation(len(real))[:known]]
    index = faiss.IndexFlatIP(real.shape[1])
    index.add(np.ascontiguousarray(real))
    _, near = index.search(np.ascontiguousarray(real), K + 1) if rows > known else (None, real)
    for start in range(known, rows, 65_536):
        count = min(65_536, rows - start)
        origins = rng.integers(0, len(real), count)
        ends = near[origins, rng.integers(1, K + 1, count)]
        way = real[ends] - real[origins]
        aside = rng.normal(size=way.shape).astype(np.float32)
        aside *= 0.3 * np.linalg.norm(way, axis=1, keepdims=True) / real.shape[1] ** 0.5
        block = real[origins] + rng.random((count, 1), np.float32) * way + aside
        file[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    file.flush()


def truth(vectors: Vectors, rows: list[int]) -> list[float]:
    """The exact score of the k-th neighbour of each row."""
    kth = []
    for row in rows:
        scores = vectors @ vectors[row]
        scores[row] = -2
        kth.append(float(np.partition(scores, -K)[-K]))
    return kth


def asked(ask: Ask, vectors: Vectors, rows: list[int], kth: list[float]) -> dict[str, Any]:
    """Recall and times of one query at a time."""
    ask(rows[0])
    right, wall, cpu = 0, [], []
    for row, lowest in zip(rows, kth, strict=True):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        found = ask(row)
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - begun_cpu)
        others = np.array([other for other in found if other != row][:K], int)
        right += int((vectors[others] @ vectors[row] >= lowest - 1e-6).sum())
    p50, p99 = np.percentile(wall, [50, 99]) * 1000
    return {
        "recall_at_10": round(right / (K * len(rows)), 4),
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "p50_cpu_ms": round(float(np.median(cpu)) * 1000, 3),
    }


def told(**facts: Any) -> dict[str, Any]:
    """Print and return one line."""
    print(json.dumps(facts), flush=True)
    return facts


def chosen_index(vectors: Vectors) -> tuple[Any, str, int, float]:
    """What ``auto`` chooses, with its factory, lists visited and CPU seconds to choose."""
    from recsys.index import build, choose, plan
    from recsys.settings import load_settings

    settings = load_settings()
    begun = time.process_time()
    factories = plan(*vectors.shape, "auto", settings.index_max_bytes)
    if len(factories) == 1:
        built = build(vectors, factories[0], 1, settings.seed)
        return built, factories[0], 1, time.process_time() - begun
    choice = choose(
        vectors, factories, recall_target=settings.recall_target, k=K, seed=settings.seed
    )
    best = choice.chosen
    return choice.index, best.factory, best.breadth, time.process_time() - begun


def ours(vectors: Vectors, rows: list[int], kth: list[float]) -> dict[str, Any]:
    """Our search over the chosen index."""
    from recsys.index import search

    built, factory, breadth, seconds = chosen_index(vectors)

    def ask(row: int) -> list[int]:
        (found,) = search(built, vectors, np.asarray(vectors[row : row + 1]), K, exclude=[row])
        return [other for other, _ in found]

    figures = asked(ask, vectors, rows, kth)
    return told(
        who="ours", index=factory, breadth=breadth, build_cpu_s=round(seconds, 1), **figures
    )


def starting_point(vectors: Vectors, rows: list[int], kth: list[float]) -> dict[str, Any]:
    """Fitted anew for every request."""
    from sklearn.neighbors import NearestNeighbors

    def ask(row: int) -> list[int]:
        model = NearestNeighbors(n_neighbors=K + 1, algorithm="brute", metric="cosine")
        found = model.fit(vectors).kneighbors(vectors[row : row + 1], return_distance=False)
        return [int(other) for other in found[0]]

    return told(who="scikit-learn brute, refitted", **asked(ask, vectors, rows, kth))


def peer(name: str, vectors: Vectors, rows: list[int], kth: list[float], recall: float) -> None:
    """A graph of a peer, searched with the smallest width that finds enough."""
    begun = time.process_time()
    if name == "hnswlib":
        import hnswlib

        graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
        graph.init_index(max_elements=len(vectors), ef_construction=200, M=32, random_seed=1)
        graph.set_num_threads(1)
        graph.add_items(vectors, np.arange(len(vectors)))

        def ask(row: int) -> list[int]:
            return [int(other) for other in graph.knn_query(vectors[row : row + 1], K + 1)[0][0]]

        widen = graph.set_ef
    else:
        from usearch.index import Index

        graph = Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
        graph.add(np.arange(len(vectors)), vectors, threads=1)

        def ask(row: int) -> list[int]:
            return [int(other) for other in graph.search(vectors[row], K + 1, threads=1).keys]

        def widen(width: int) -> None:
            graph.expansion_search = width

    seconds = time.process_time() - begun
    for width in (16, 32, 64, 128, 256, 512):
        widen(width)
        figures = asked(ask, vectors, rows, kth)
        if figures["recall_at_10"] >= recall or width == 512:
            told(who=name, width=width, build_cpu_s=round(seconds, 1), **figures)
            return


def run_peers(file: Path, chosen: argparse.Namespace) -> None:
    """Ours, the starting point, and those peers that the other environment has."""
    vectors = np.load(file)
    rng = np.random.default_rng(3)
    rows = [int(row) for row in np.sort(rng.choice(len(vectors), chosen.queries, replace=False))]
    kth = truth(vectors, rows)
    for _ in range(chosen.rounds):
        mine = ours(vectors, rows, kth)
        few = slice(0, None, max(1, len(rows) // 40))
        base = starting_point(vectors, rows[few], kth[few])
        told(
            who="comparison",
            times_the_starting_point=round(base["p50_ms"] / mine["p50_ms"], 1),
            of_cpu=round(base["p50_cpu_ms"] / mine["p50_cpu_ms"], 1),
        )
        for name in ("hnswlib", "usearch") if chosen.peers_python else ():
            asks = ["--queries", str(chosen.queries), "--recall", str(mine["recall_at_10"])]
            subprocess.run(
                [chosen.peers_python, __file__, name, "--vectors", str(file), *asks], check=True
            )


def run_filters(file: Path, chosen: argparse.Namespace) -> None:
    """What the gate measures, with times."""
    from dataclasses import asdict

    from recsys.index import measure_recall

    vectors = np.load(file, mmap_mode="r")
    built, factory, breadth, _ = chosen_index(vectors)
    for seed in range(chosen.rounds):
        begun = time.process_time()
        report = measure_recall(built, vectors, queries=chosen.queries, k=K, seed=seed)
        seconds = round(time.process_time() - begun, 1)
        facts = asdict(report)
        filtered = facts.pop("filtered")
        told(index=factory, breadth=breadth, selectivity="all", cpu_s=seconds, **facts)
        for item in filtered:
            told(**item)


def run_one_scale(file: Path, chosen: argparse.Namespace) -> None:
    """Build and ask over one file of vectors; memory is this process's at its peak."""
    vectors = np.load(file, mmap_mode="r")
    rows = [int(row) for row in np.random.default_rng(3).choice(len(vectors), chosen.queries)]
    begun = time.perf_counter()
    from recsys.index import search

    built, factory, breadth, seconds = chosen_index(vectors)
    wall = time.perf_counter() - begun

    def ask(row: int) -> list[int]:
        (found,) = search(built, vectors, np.asarray(vectors[row : row + 1]), K, exclude=[row])
        return [other for other, _ in found]

    figures = asked(ask, vectors, rows, truth(vectors, rows))
    told(
        rows=len(vectors),
        dimension=vectors.shape[1],
        index=factory,
        breadth=breadth,
        build_s=round(wall, 1),
        build_cpu_s=round(seconds, 1),
        peak_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        **figures,
    )


def run_scale(folder: Path, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Each size in a process of its own."""
    lines = []
    for rows in chosen.rows:
        file = folder / "vectors.npy"
        if chosen.like is not None:
            drawn_like(np.load(chosen.like, mmap_mode="r"), rows, file)
        else:
            drawn(rows, chosen.dimension, file)
        asks = ["--queries", str(chosen.queries)]
        done = subprocess.run(
            [sys.executable, __file__, "one-scale", "--vectors", str(file), *asks],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        print(done.stdout, end="", flush=True)
        lines.append(json.loads(done.stdout))
    return lines


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """Time, memory and build against the number of products."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, 3), ("p50_ms", "build_cpu_s", "peak_gb"), strict=True):
        shown = [max(0.1, line[name]) for line in lines]  # exact search is not built at all
        axes.plot([line["rows"] for line in lines], shown, marker="o")
        axes.set(xlabel="products", ylabel=name, xscale="log", yscale="log")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Parse arguments, measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    inner = ["hnswlib", "usearch", "one-scale"]
    parser.add_argument("what", choices=["peers", "filters", "scale", *inner])
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--like", type=Path, help="of scale: real vectors")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recall", type=float, default=0.99, help=argparse.SUPPRESS)
    parser.add_argument("--threads", action="store_true", help="use every core to build")
    parser.add_argument("--peers-python", help="Python that has hnswlib and usearch")
    parser.add_argument("--plot", type=Path, help="of scale")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.what == "scale":
            lines = run_scale(Path(folder), chosen)
            if chosen.plot is not None:
                draw(lines, chosen.plot)
            return
        file = chosen.vectors
        if file is None:
            file = Path(folder) / "drawn.npy"
            drawn(chosen.rows[0], chosen.dimension, file)
        if chosen.what in ("hnswlib", "usearch"):
            vectors = np.load(file)
            rng = np.random.default_rng(3)
            rows = [int(row) for row in np.sort(rng.choice(len(vectors), chosen.queries, False))]
            peer(chosen.what, vectors, rows, truth(vectors, rows), chosen.recall)
        else:
            {"peers": run_peers, "filters": run_filters, "one-scale": run_one_scale}[chosen.what](
                file, chosen
            )


if __name__ == "__main__":
    main()
