"""Plant wrong labels into a real catalog and count how many the label check finds.

    python benchmarks/label_noise.py .recsys                   # a state folder after a night
    python benchmarks/label_noise.py .recsys --retrain 6       # the model learns the wrong labels
    python benchmarks/label_noise.py .recsys --vectors v.npy   # vectors of such a model, again

Half of the wrong labels are swapped between random products; half are replaced by the type
whose pictures are most alike (shirts become tops). A model of the night was trained on the
right labels and so has an easy time; with ``--retrain`` the embedding itself is trained on
the wrong ones, which is what happens in service. Its vectors are kept beside ``--keep``.

Prints JSON lines: ``caught`` shares of the planted, ``false_per_thousand`` of the others
(which hold the catalog's own wrong labels too), and the same when one looks at the worst
``--look`` per cent of all products only.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import names
from recsys.artifacts.catalog import LABEL_COLUMN, NAME_COLUMN
from recsys.labels import (
    cross_fitted_probabilities,
    find_label_issues,
    label_figures,
    label_table,
)
from recsys.provenance import DataStore, open_store
from recsys.settings import load_settings

_LEAST_OF_A_TYPE = 50
_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Planted:
    """Labels of which some are wrong, and the rows of those by kind."""

    labels: list[str]
    rows: dict[str, _Rows]


def plant(labels: list[str], vectors: npt.NDArray[np.float32], share: float, seed: int) -> Planted:
    """Give that share of the products a wrong label, half of either kind."""
    random = np.random.default_rng(seed)
    true = np.asarray(labels, dtype=object)
    wrong = true.copy()
    chosen = random.permutation(len(true))[: round(share * len(true))]
    first, second = np.split(chosen[: len(chosen) // 4 * 2], 2)
    differ = true[first] != true[second]
    first, second = first[differ], second[differ]
    wrong[first], wrong[second] = true[second], true[first]
    alike = _most_alike(np.asarray(labels, str), vectors)
    confused = np.array([row for row in chosen[len(chosen) // 2 :] if true[row] in alike], np.int64)
    wrong[confused] = [alike[name] for name in true[confused]]
    return Planted(
        wrong.tolist(), {"swapped": np.concatenate([first, second]), "confused": confused}
    )


def _most_alike(labels: npt.NDArray[np.str_], vectors: npt.NDArray[np.float32]) -> dict[str, str]:
    """The common type whose mean vector is nearest, of each common type."""
    types, counts = np.unique(labels, return_counts=True)
    common = types[counts >= _LEAST_OF_A_TYPE]
    means = np.stack([vectors[labels == name].mean(axis=0) for name in common])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = means @ means.T
    np.fill_diagonal(cosines, -2)
    return dict(zip(common.tolist(), common[cosines.argmax(axis=1)].tolist(), strict=True))


def check(
    name: str,
    products: pd.DataFrame,
    labels: list[str],
    vectors: npt.NDArray[np.float32],
    planted: dict[str, _Rows],
    look: float,
    with_titles: bool,
) -> None:
    """Run the label check and print what it found."""
    wall, cpu = time.perf_counter(), time.process_time()
    titles = products[NAME_COLUMN].tolist() if with_titles else None
    groups = products["sha256_pixels"].tolist()
    classes, probabilities = cross_fitted_probabilities(vectors, labels, groups, titles)
    issues = find_label_issues(labels, classes, probabilities)
    figures = label_figures(label_table(labels, issues), min_products=100).iloc[0].to_dict()
    worst = issues[issues["rank"] <= look * len(labels)]
    report = {
        "case": name,
        "evidence": "picture and title" if with_titles else "picture",
        "products": len(labels),
        "planted": {kind: len(rows) for kind, rows in planted.items()},
        "all_issues": _found(issues, planted, len(labels)),
        f"worst_{look:.0%}": _found(worst, planted, len(labels)),
        "overall_noise_share": round(figures["overall_noise_share"], 4),
        "worst_class_of_100": [
            figures["worst_class"],
            round(figures["worst_class_noise_share"], 3),
        ],
        "wall_seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }
    print(json.dumps(report), flush=True)


def _found(issues: pd.DataFrame, planted: dict[str, _Rows], products: int) -> dict[str, object]:
    wrong = np.concatenate([*planted.values(), np.zeros(0, np.int64)])
    hit = issues["row"].isin(wrong)
    return {
        "issues": len(issues),
        "caught": round(float(hit.sum()) / len(wrong), 3) if len(wrong) else None,
        **{
            f"caught_{kind}": round(float(np.isin(rows, issues["row"]).mean()), 3)
            for kind, rows in planted.items()
        },
        "false_per_thousand": round(1000 * float((~hit).sum()) / (products - len(wrong)), 1),
    }


def retrain(
    state: Path, store: DataStore, products: pd.DataFrame, labels: list[str], epochs: int, out: Path
) -> npt.NDArray[np.float32]:
    """Vectors of a model trained on these labels, by the night's split and settings."""
    from recsys.embedding import embed_all
    from recsys.stages.train_model import parameters_of
    from recsys.training import train

    ledger = _frame(store, names.SPLITS, "/split.parquet")
    side_of = dict(zip(ledger["pixels_sha256"], ledger["side"], strict=True))
    pixels = np.load(_only(state / "scratch", "pixels-*.npy"), mmap_mode="r")
    parameters = replace(
        parameters_of(load_settings()),
        epochs=epochs,
        image_width=pixels.shape[2],
        image_height=pixels.shape[1],
    )
    heads = {name: products[name].tolist() for name in parameters.likeness}
    with tempfile.TemporaryDirectory() as folder:
        trained = train(
            pixels,
            {**heads, LABEL_COLUMN: labels},
            [side_of[digest] for digest in products["sha256_pixels"]],
            parameters,
            Path(folder) / "model",
            on_epoch=lambda epoch, figures: print(json.dumps({"epoch": epoch, **figures})),
        )
        model = trained.folder / "embedder.tflite"
        return np.asarray(embed_all(model, pixels, workers=os.cpu_count() or 1, out=out))


def _frame(store: DataStore, repo: str, path: str) -> pd.DataFrame:
    head = store.head(repo)
    if head is None:
        raise SystemExit(f"the repo {repo} has no commit; run a night first")
    with store.open(head.ref, path) as file:
        return pd.read_parquet(io.BytesIO(file.read()))


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise SystemExit(f"{folder} holds {len(found)} files {pattern}, expected one")
    return found[0]


def main() -> None:
    """Measure; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path, help="holds store/ and scratch/ of a whole night")
    parser.add_argument("--share", type=float, default=0.02)
    parser.add_argument("--look", type=float, default=0.04)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--retrain", type=int, metavar="EPOCHS")
    parser.add_argument("--vectors", type=Path, help="of a model trained on the planted labels")
    parser.add_argument("--keep", type=Path, default=Path("noisy-vectors.npy"))
    chosen = parser.parse_args()
    store = open_store(load_settings(state_dir=chosen.state))
    products = _frame(store, names.VALIDATED, "/products.parquet")
    labels = products[LABEL_COLUMN].tolist()
    vectors = np.load(_only(chosen.state / "scratch", "vectors-*.npy"))
    planted = plant(labels, vectors, chosen.share, chosen.seed)
    cases = [
        ("nothing planted", labels, vectors, {}),
        ("model trained on the right labels", planted.labels, vectors, planted.rows),
    ]
    noisy = None if chosen.vectors is None else np.load(chosen.vectors)
    if chosen.retrain:
        noisy = retrain(chosen.state, store, products, planted.labels, chosen.retrain, chosen.keep)
    if noisy is not None:
        cases.append(("model trained on the wrong labels", planted.labels, noisy, planted.rows))
    for name, given, judged_by, rows in cases:
        for with_titles in (True, False):
            check(name, products, given, judged_by, rows, chosen.look, with_titles)


if __name__ == "__main__":
    main()
