"""Our training beside the field's starting point, on the same pictures: quality per CPU second.

    python benchmarks/training_peers.py CATALOG --plot curve.png
    python benchmarks/training_peers.py CATALOG --only ours --schedules 4:0:0

The starting point is a Keras Sequential: Rescaling, three convolutions of 32, 64 and 128
filters (3×3, ReLU), each with 2×2 max-pooling, Flatten, Dense 256 ReLU, which is the
embedding, and a softmax over the article type; Adam, batches of 128, 5 epochs, on four fifths
of the pictures. A fifth, no picture of which is among the others, asks for its neighbours in
the whole catalog, exactly; for ours a fiftieth of the rest is the validation side.

Every training is a process of its own. Its CPU seconds are those of the training loop: of the
starting point without its evaluation, of ours with the validation of every epoch. Both keep
freed memory (`recsys.training.memory`); oneDNN is on for ours, whose training sets it, and as
TensorFlow has it for the starting point. Each of ours is a schedule of its own, since its rate
falls to nothing at its end: epochs, and where they are given shift and dropout, which a short
training is better without.

Prints JSON lines; at the end what of the starting point's seconds ours takes to reach its
figures, and how far ours is ahead with as many seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
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
from recsys.settings import Settings, load_settings

FIGURES = ("ndcg_at_10", "ndcg_at_10_type_gender_colour")
PEER_EPOCHS, PEER_BATCH = 5, 128
_EMBEDDED_AT_ONCE = 512


def prepare(catalog: Path, folder: Path, settings: Settings) -> None:
    """Decode once: ``pixels.npy`` and ``products.parquet`` with a side for every product."""
    limits = images.ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
    delivery = open_delivery(catalog, max_image_bytes=settings.max_image_bytes)
    (folder / "styles.csv").write_bytes(delivery.styles_csv())
    contents = {Path(name).stem: content for name, content in delivery.images()}
    products = pd.read_csv(folder / "styles.csv", dtype=str, keep_default_na=False)
    products = products[products["id"].isin(contents)].reset_index(drop=True)
    size = (settings.image_width, settings.image_height)
    pixels = images.load_all(
        (contents[product] for product in products["id"]),
        len(products),
        folder / "pixels.npy",
        *size,
        limits,
    )
    products["group"] = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pixels]
    groups, of_group = np.unique(products["group"], return_inverse=True)
    drawn = np.random.default_rng(settings.seed).random(len(groups))[of_group]
    products["side"] = np.select([drawn < 0.2, drawn < 0.22], ["test", "validation"], "train")
    products.to_parquet(folder / "products.parquet")


def measured(
    vectors: npt.NDArray[np.float32], products: pd.DataFrame, seconds: float, **facts: Any
) -> dict[str, Any]:
    """Print and return the figures of one model."""
    found = evaluation.evaluate_retrieval(
        vectors,
        evaluation.relevances(products),
        np.flatnonzero(products["side"] == "test"),
        groups=products["group"].tolist(),
    )
    line = {
        **facts,
        "cpu_seconds": round(seconds, 1),
        **{
            name: round(value, 4)
            for name, value in found.figures.items()
            if name.startswith("ndcg_at_10")
        },
    }
    print(json.dumps(line), flush=True)
    return line


def train_peer(folder: Path, seed: int) -> None:
    """The starting point, measured after every epoch."""
    import keras

    from recsys.training.memory import keep_freed_memory

    keep_freed_memory()
    keras.utils.set_random_seed(seed)
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    products = pd.read_parquet(folder / "products.parquet")
    classes, codes = np.unique(products["articleType"].to_numpy(str), return_inverse=True)
    rows = np.flatnonzero(products["side"] != "test")
    layers = keras.layers
    model = keras.Sequential([keras.Input(pixels.shape[1:]), layers.Rescaling(1 / 255)])
    for filters in (32, 64, 128):
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(256, activation="relu", name="embedding"))
    model.add(layers.Dense(len(classes), activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    embedder = keras.Model(model.inputs[0], model.get_layer("embedding").output)
    taught, seconds = np.asarray(pixels[rows]), 0.0
    for epoch in range(1, PEER_EPOCHS + 1):
        begun = time.process_time()
        model.fit(taught, codes[rows], batch_size=PEER_BATCH, verbose=0)
        seconds += time.process_time() - begun
        vectors = np.concatenate(
            [
                np.asarray(embedder(pixels[at : at + _EMBEDDED_AT_ONCE], training=False))
                for at in range(0, len(pixels), _EMBEDDED_AT_ONCE)
            ]
        )
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        measured(vectors, products, seconds, who="starting point", epochs=epoch)


def train_ours(folder: Path, schedule: str, settings: Settings) -> None:
    """One training of ours."""
    from recsys.embedding import embed_all
    from recsys.stages.train_model import parameters_of
    from recsys.training import train

    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    products = pd.read_parquet(folder / "products.parquet")
    parameters = parameters_of(with_schedule(settings, schedule))
    ended = [0.0]
    with tempfile.TemporaryDirectory() as scratch:
        begun = time.process_time()
        trained = train(
            pixels,
            {name: products[name].tolist() for name in parameters.likeness},
            products["side"].tolist(),
            parameters,
            Path(scratch) / "model",
            on_epoch=lambda epoch, figures: ended.append(time.process_time()),
        )
        vectors = embed_all(
            trained.folder / "embedder.tflite",
            pixels,
            workers=os.cpu_count() or 1,
            out=Path(scratch) / "vectors.npy",
        )
        accuracy = round(trained.validation_accuracy, 4)
        measured(
            np.asarray(vectors),
            products,
            ended[-1] - begun,
            who="ours",
            epochs=parameters.epochs,
            shift=parameters.shift,
            dropout=parameters.dropout,
            validation_accuracy=accuracy,
        )


def with_schedule(settings: Settings, schedule: str) -> Settings:
    """The settings with ``EPOCHS`` or ``EPOCHS:SHIFT:DROPOUT``."""
    names = ("epochs", "shift", "dropout")
    return load_settings(
        **settings.model_dump(exclude=set(names)),
        **dict(zip(names, schedule.split(":"), strict=False)),
    )


def run_apart(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """One training in a process of its own; passes its lines on."""
    command = [sys.executable, __file__, str(folder), "--in-folder", *arguments]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(json.loads(line))
    if process.returncode:
        raise SystemExit(f"a training failed: {' '.join(arguments)}")
    return lines


def compare(peer: list[dict[str, Any]], ours: list[dict[str, Any]]) -> None:
    """Print the share of the seconds that reaches the peer's figures, and the lead at par."""
    end = peer[-1]
    reached = [line for line in ours if all(line[name] >= end[name] for name in FIGURES)]
    within = [line for line in ours if line["cpu_seconds"] <= end["cpu_seconds"]]
    verdict: dict[str, Any] = {"who": "comparison"}
    if reached:
        soonest = min(line["cpu_seconds"] for line in reached)
        verdict["share_of_seconds_to_reach"] = round(soonest / end["cpu_seconds"], 3)
    if within:
        best = max(within, key=lambda line: line["cpu_seconds"])
        verdict |= {f"lead_{name}": round(best[name] - end[name], 4) for name in FIGURES}
    print(json.dumps(verdict))


def draw(lines: list[dict[str, Any]], path: Path) -> None:
    """Quality against CPU seconds, one panel a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, 2), FIGURES, strict=True):
        for who in ("starting point", "ours"):
            points = [(line["cpu_seconds"], line[name]) for line in lines if line["who"] == who]
            axes.plot(*zip(*sorted(points), strict=True), marker="o", label=who)
        axes.set(xlabel="CPU seconds of training", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Parse arguments, train, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("catalog", type=Path)
    parser.add_argument(
        "--schedules",
        nargs="+",
        default=["3:0:0", "4:0:0", "8", "12"],
        metavar="EPOCHS[:SHIFT:DROPOUT]",
        help="of ours; shift and dropout are the settings' own unless given",
    )
    parser.add_argument("--only", choices=["ours", "peer"], help="train only one of them")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--in-folder", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    settings = load_settings()
    if chosen.in_folder:
        if chosen.only == "peer":
            train_peer(chosen.catalog, settings.seed)
        else:
            train_ours(chosen.catalog, chosen.schedules[0], settings)
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(chosen.catalog, Path(folder), settings)
        lines = []
        if chosen.only != "ours":
            lines += run_apart(Path(folder), "--only", "peer")
        if chosen.only != "peer":
            for schedule in chosen.schedules:
                lines += run_apart(Path(folder), "--only", "ours", "--schedules", schedule)
    if chosen.only is None:
        compare(
            [line for line in lines if line["who"] != "ours"],
            [line for line in lines if line["who"] == "ours"],
        )
        if chosen.plot is not None:
            draw(lines, chosen.plot)


if __name__ == "__main__":
    main()
