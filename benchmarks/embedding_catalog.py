"""Embedding a catalog beside the field's starting point: one picture a Keras `predict`.

    python benchmarks/embedding_catalog.py .recsys              # a state folder after a night
    python benchmarks/embedding_catalog.py .recsys --products 400 --sample 100

Everything runs in one process, one after the other, on the same picture files held in memory
and with the same champion, of the live release. Every round measures in turn:

- the starting point: Pillow opens and resizes, `model.predict` takes a batch of one; on a
  sample drawn once, since all of it would take most of an hour;
- ours: decode, embed, write the shards, as a night does, from the files to the shards on disk;
- ours, a night with 1 % new pictures and the same model: the earlier shards are read, the rest
  is decoded and embedded, all shards are written; its vectors must be those of the full night;
- the floor: the same pictures decoded and nothing else, then the same pixels through the
  exported model and nothing else, on as many threads. The share of the floor that ours reaches
  is the sum of the two over ours: 1 would say that nothing but decoding and computing takes
  time.

Prints JSON lines: medians over ``--rounds`` of wall and CPU seconds, and of the ratios within
each round, so that what slows a whole round down leaves them as they are.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from recsys import embedding, images, names
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.embedding.shards import EmbeddingShards, ShardSchema, write_shards
from recsys.settings import load_settings
from recsys.stages.find_release import find_live_release
from recsys.stages.model_files import model_folder
from recsys.stages.night import Night
from recsys.stages.pixels import picture_place, products_of
from recsys.training import TrainedClassifier

NEW_SHARE = 0.01
WORKERS = os.cpu_count() or 1
PEER, FULL, NEW = "Keras predict, picture by picture", "ours, the whole catalog", "ours, 1 % new"
DECODE, COMPUTE = "only decode", "only compute"

T = TypeVar("T")
Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shop:
    """Some products of a release, their picture files, and the model that embeds them."""

    products: list[str]
    digests: list[str]
    files: list[bytes]
    model: Path
    size: tuple[int, int]
    limits: images.ImageLimits
    schema: ShardSchema

    @classmethod
    def of(cls, night: Night, folder: Path, most: int) -> Shop:
        """The first products of the live release; 0: all."""
        release = find_live_release(night).artifact
        validated = night.open(release.inputs[names.VALIDATED], ValidatedCatalog)
        table = products_of(night, validated).head(most or None)
        places = zip(table["image"], table["kept"], strict=True)
        schema = ShardSchema(
            release.model_version,
            release.model_digest,
            release.dimension,
            release.inputs[names.MODELS],
            release.inputs[names.CATALOG],
        )
        return cls(
            table["id"].tolist(),
            table["sha256_bytes"].tolist(),
            [night.read(*picture_place(validated, image, kept)) for image, kept in places],
            folder / "embedder.tflite",
            (release.image_width, release.image_height),
            night.image_limits,
            schema,
        )

    def decoded(self, rows: Sequence[int]) -> Pixels:
        """[rows, height, width, 3], through a file, as a night decodes them."""
        with tempfile.TemporaryDirectory() as folder:
            files = (self.files[row] for row in rows)
            out = Path(folder) / "pixels.npy"
            return np.array(images.load_all(files, len(rows), out, *self.size, self.limits))

    def embedded(self, folder: Path, earlier: list[Path], changed: frozenset[int]) -> list[Path]:
        """The shards of all products, taking over what the earlier ones hold.

        ``changed`` are the rows whose picture the earlier night did not have.
        """
        digests = [
            f"{row:064x}" if row in changed else digest for row, digest in enumerate(self.digests)
        ]
        known = _known(earlier, self.schema.model_digest)
        folder.mkdir()
        out = folder / "vectors.npy"
        embedding.embed_new(
            self.model,
            digests,
            known,
            self.decoded,
            workers=WORKERS,
            parts=folder / "parts",
            out=out,
        )
        vectors = np.load(out, mmap_mode="r", allow_pickle=False)
        return write_shards(folder / "shards", self.products, digests, vectors, self.schema)


def _known(shards: list[Path], model_digest: str) -> embedding.KnownVectors:
    if not shards:
        return embedding.NOTHING_KNOWN
    with ExitStack() as closing:
        files = [closing.enter_context(path.open("rb")) for path in shards]
        earlier = EmbeddingShards(files, model_digest=model_digest)
        return embedding.KnownVectors.of(earlier.pictures(), earlier.vectors())


@dataclass(frozen=True)
class Run:
    """Seconds that one measured thing took for so many pictures."""

    pictures: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.pictures / self.wall


def timed(what: Callable[[], T], pictures: int) -> tuple[T, Run]:
    """What it returns, and how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = what()
    return found, Run(pictures, time.perf_counter() - wall, time.process_time() - cpu)


def peer(shop: Shop, keras_model: Any, sample: Sequence[int]) -> Vectors:
    """One picture after the other, as notebooks and tutorials do it."""
    found = []
    for row in sample:
        picture = Image.open(io.BytesIO(shop.files[row])).convert("RGB").resize(shop.size)
        found.append(keras_model.predict(np.asarray(picture)[np.newaxis], verbose=0)[0])
    return np.stack(found)


def only_decode(shop: Shop) -> None:
    """Each picture at the model's size, and forgotten."""

    def some(start: int) -> None:
        for data in shop.files[start::WORKERS]:
            images.load(data, *shop.size, shop.limits)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(some, range(WORKERS)))


def only_compute(shop: Shop, pixels: Pixels) -> None:
    """Pixels in memory through the exported model, one interpreter a thread."""
    encoders = [embedding.Encoder(shop.model) for _ in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda one: encoders[one].embed(pixels[one::WORKERS]), range(WORKERS)))


def one_round(shop: Shop, keras_model: Any, sample: Sequence[int], folder: Path) -> dict[str, Run]:
    """Everything once, one after the other; ``folder`` is empty."""
    count = len(shop.files)
    new = np.random.default_rng(20).permutation(count)[: max(1, round(NEW_SHARE * count))]
    changed = frozenset(new.tolist())
    _, theirs = timed(lambda: peer(shop, keras_model, sample), len(sample))
    first, full = timed(lambda: shop.embedded(folder / "first", [], frozenset()), count)
    again, some = timed(lambda: shop.embedded(folder / "again", first, changed), count)
    digest = shop.schema.model_digest
    if not np.array_equal(_known(first, digest).vectors, _known(again, digest).vectors):
        raise SystemExit("a night with new pictures ends in other vectors than a full one")
    pixels = shop.decoded(range(count))
    _, decode = timed(lambda: only_decode(shop), count)
    _, compute = timed(lambda: only_compute(shop, pixels), count)
    return {PEER: theirs, FULL: full, NEW: some, DECODE: decode, COMPUTE: compute}


def told(runs: Sequence[Run]) -> dict[str, float]:
    """Medians over the rounds."""
    wall = statistics.median(run.wall for run in runs)
    cpu = statistics.median(run.cpu for run in runs)
    return {
        "pictures": runs[0].pictures,
        "wall_seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
        "images_per_second": round(runs[0].pictures / wall, 1),
        "images_per_cpu_second": round(runs[0].pictures / cpu, 1),
    }


def ratios(rounds: Sequence[dict[str, Run]]) -> dict[str, float]:
    """Medians of what each round says by itself."""

    def median(of: Callable[[dict[str, Run]], float]) -> float:
        return round(statistics.median(of(one) for one in rounds), 4)

    return {
        "images_per_second_over_keras": median(lambda one: one[FULL].rate / one[PEER].rate),
        "images_per_cpu_second_over_keras": median(
            lambda one: (one[PEER].cpu / one[PEER].pictures) / (one[FULL].cpu / one[FULL].pictures)
        ),
        "share_of_floor": median(
            lambda one: (one[DECODE].wall + one[COMPUTE].wall) / one[FULL].wall
        ),
        "share_of_floor_by_cpu": median(
            lambda one: (one[DECODE].cpu + one[COMPUTE].cpu) / one[FULL].cpu
        ),
        "new_night_over_full": median(lambda one: one[NEW].wall / one[FULL].wall),
        "new_night_over_full_by_cpu": median(lambda one: one[NEW].cpu / one[FULL].cpu),
    }


def main() -> None:
    """Measure, and print JSON lines."""
    options = _options()
    night = Night(load_settings(state_dir=options.state), "0001-01-01")
    model = find_live_release(night).artifact.inputs[names.MODELS]
    rounds = []
    with tempfile.TemporaryDirectory() as scratch, model_folder(night, model) as folder:
        shop = Shop.of(night, folder, options.products)
        drawn = np.random.default_rng(20).permutation(len(shop.files))
        sample = drawn[: options.sample].tolist()
        keras_model = TrainedClassifier.load(folder)._embedder()
        peer(shop, keras_model, sample[:3])  # the first calls trace the graph
        for number in range(options.rounds):
            place = Path(scratch) / str(number)
            place.mkdir()
            rounds.append(one_round(shop, keras_model, sample, place))
            shutil.rmtree(place)
    for what in (PEER, FULL, NEW, DECODE, COMPUTE):
        print(json.dumps({"what": what, **told([one[what] for one in rounds])}))
    print(json.dumps({"rounds": len(rounds), **ratios(rounds)}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="embedding a catalog beside Keras predict")
    parser.add_argument("state", type=Path, help="a state folder after a night")
    parser.add_argument("--products", type=int, default=0, help="products to take (0: all)")
    parser.add_argument("--sample", type=int, default=500, help="pictures for the peer")
    parser.add_argument("--rounds", type=int, default=3, help="of everything; medians are told")
    return parser.parse_args()


if __name__ == "__main__":
    main()
