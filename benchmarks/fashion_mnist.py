"""Fashion-MNIST as a second catalog: accuracy on its own test side, to set beside its table.

    python benchmarks/fashion_mnist.py FOLDER
    python benchmarks/fashion_mnist.py FOLDER --epochs 4 --dropout 0.1

The folder holds the four IDX files. They are read as a delivery, decoded by the shared decoder
and trained on by `recsys.training.train`, with settings for small pictures. A twelfth of the
training side chooses the epoch; the ten thousand of ``t10k`` are asked once, at the end.

Prints one JSON line: accuracy, nDCG at 10 of the test side's neighbours among all products, and
the CPU seconds of decoding and of the whole training, export included.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys import evaluation, images
from recsys.catalog import open_delivery
from recsys.embedding import embed_all
from recsys.settings import Settings, load_settings
from recsys.stages.train_model import parameters_of
from recsys.training import classify, train

SIDE = 28
VALIDATION_SHARE = 1 / 12


def read(folder: Path, out: Path, settings: Settings) -> tuple[pd.DataFrame, npt.NDArray[np.uint8]]:
    """The products with their sides, and their pictures [n, 28, 28, 3]."""
    delivery = open_delivery(folder, max_image_bytes=settings.max_image_bytes)
    (out / "styles.csv").write_bytes(delivery.styles_csv())
    products = pd.read_csv(out / "styles.csv", dtype=str, keep_default_na=False)
    pixels = images.load_all(
        (content for _, content in delivery.images()),
        len(products),
        out / "pixels.npy",
        SIDE,
        SIDE,
        images.ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
    )
    chosen = np.random.default_rng(settings.seed).random(len(products)) < VALIDATION_SHARE
    taught = np.where(chosen, "validation", "train")
    products["side"] = np.where(products["id"].str.startswith("t10k"), "test", taught)
    return products, pixels


def measure(
    folder: Path, scratch: Path, products: pd.DataFrame, pixels: npt.NDArray[np.uint8]
) -> dict[str, Any]:
    """Accuracy and nDCG of the test side."""
    test = np.flatnonzero(products["side"] == "test")
    named = classify(folder, pixels, products["articleType"].tolist(), test)
    vectors = embed_all(
        folder / "embedder.tflite", pixels, workers=os.cpu_count() or 1, out=scratch / "vectors.npy"
    )
    found = evaluation.evaluate_retrieval(
        np.asarray(vectors),
        evaluation.relevances(products),
        test,
        groups=products["id"].tolist(),
    )
    return {
        "test_accuracy": round(named.accuracy, 4),
        "least_recall": min((share, name) for name, share in named.recall.items()),
        "ndcg_at_10": round(found.figures["ndcg_at_10"], 4),
    }


def main() -> None:
    """Read, train, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="with the four IDX files")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--patch", type=int, default=2)
    parser.add_argument("--shift", type=int, default=1)
    parser.add_argument("--dropout", type=float, default=0.2)
    chosen = parser.parse_args()
    settings = load_settings(
        image_width=SIDE,
        image_height=SIDE,
        epochs=chosen.epochs,
        patch=chosen.patch,
        shift=chosen.shift,
        dropout=chosen.dropout,
    )
    with tempfile.TemporaryDirectory() as made:
        scratch = Path(made)
        begun = time.process_time()
        products, pixels = read(chosen.folder, scratch, settings)
        decoded = time.process_time()

        def told(epoch: int, figures: dict[str, float]) -> None:
            accuracy, seconds = figures["validation_accuracy"], time.process_time() - decoded
            print(f"epoch {epoch}: {accuracy:.4f} after {seconds:.0f} CPU s", file=sys.stderr)

        trained = train(
            pixels,
            {"articleType": products["articleType"].tolist()},
            products["side"].tolist(),
            parameters_of(settings),
            scratch / "model",
            on_epoch=told,
        )
        print(
            json.dumps(
                {
                    **measure(trained.folder, scratch, products, pixels),
                    "validation_accuracy": round(trained.validation_accuracy, 4),
                    "epochs": chosen.epochs,
                    "best_epoch": trained.best_epoch,
                    "cpu_seconds_decoding": round(decoded - begun, 1),
                    "cpu_seconds_training": round(trained.cpu_seconds, 1),
                }
            )
        )


if __name__ == "__main__":
    main()
