"""Embedding a catalog beside the field's starting point: one picture a Keras `predict`.

    python benchmarks/embedding_catalog.py .recsys              # a state folder after a night
    python benchmarks/embedding_catalog.py .recsys --products 400 --sample 100

Everything runs in one process, one after the other, on the same picture files held in memory
and with the same champion, of the live release:

- the starting point: Pillow opens and resizes, `model.predict` takes a batch of one; on a
  sample, its images per second are told;
- ours: decode, embed, write the shards, as a night does, from the files to the shards on disk;
- the floor: the same pictures decoded and nothing else, then the same pixels through the
  exported model and nothing else, on as many threads; the share of the floor that ours reaches
  is the sum of the two over ours;
- a night with 1 % new pictures and the same model: the earlier shards are read, the rest is
  decoded and embedded, all shards are written; its result must be that of embedding everything.

Prints JSON lines. Wall seconds are medians of ``--repeat`` rounds; CPU seconds beside them,
which say more on a busy machine.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from recsys import embedding, images, names
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.artifacts.model import TrainedModel
from recsys.embedding.shards import EmbeddingShards, ShardSchema, write_shards
from recsys.settings import load_settings
from recsys.stages.find_release import find_live_release
from recsys.stages.model_files import model_folder
from recsys.stages.night import Night
from recsys.stages.pixels import picture_place, products_of
from recsys.training import TrainedClassifier

NEW_SHARE = 0.01
WORKERS = os.cpu_count() or 1

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


def timed(what: Callable[[], Any], pictures: int, repeat: int) -> dict[str, float]:
    """Medians of several runs: wall and CPU seconds, images per second."""
    runs = []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        what()
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (statistics.median(seconds) for seconds in zip(*runs, strict=True))
    return {
        "pictures": pictures,
        "wall_seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
        "images_per_second": round(pictures / wall, 1),
        "images_per_cpu_second": round(pictures / cpu, 1),
    }


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


def fresh_folders(root: Path) -> Iterator[Path]:
    """A new folder for every run: nothing of the run before is found."""
    while True:
        yield Path(tempfile.mkdtemp(dir=root))


def ours(shop: Shop, root: Path, repeat: int) -> tuple[dict[str, float], dict[str, float], bool]:
    """A full night, a night with some new pictures, and whether both end in the same vectors."""
    folders = fresh_folders(root)
    full = timed(lambda: shop.embedded(next(folders), [], frozenset()), len(shop.files), repeat)
    earlier = shop.embedded(next(folders), [], frozenset())
    count = max(1, round(NEW_SHARE * len(shop.files)))
    drawn = np.random.default_rng(20).permutation(len(shop.files))[:count]
    changed = frozenset(drawn.tolist())
    some = timed(lambda: shop.embedded(next(folders), earlier, changed), len(shop.files), repeat)
    last = shop.embedded(next(folders), earlier, changed)
    both = [_known(shards, shop.schema.model_digest).vectors for shards in (earlier, last)]
    return full, {**some, "new": count}, bool(np.array_equal(*both))


def main() -> None:
    """Measure, and print JSON lines."""
    options = _options()
    night = Night(load_settings(state_dir=options.state), "0001-01-01")
    model = find_live_release(night).artifact.inputs[names.MODELS]
    night.open(model, TrainedModel)
    with tempfile.TemporaryDirectory() as scratch, model_folder(night, model) as folder:
        shop = Shop.of(night, folder, options.products)
        random = np.random.default_rng(20)
        sample = random.permutation(len(shop.files))[: options.sample].tolist()
        keras_model = TrainedClassifier.load(folder)._embedder()
        peer(shop, keras_model, sample[:3])  # the first calls trace the graph
        theirs = timed(lambda: peer(shop, keras_model, sample), len(sample), 1)
        print(json.dumps({"what": "Keras predict, picture by picture", **theirs}), flush=True)
        full, some, equal = ours(shop, Path(scratch), options.repeat)
        print(json.dumps({"what": "ours, the whole catalog", **full}), flush=True)
        print(json.dumps({"what": "ours, 1 % new", **some, "same_vectors": equal}), flush=True)
        rows = list(range(len(shop.files)))
        pixels = shop.decoded(rows)
        decode = timed(lambda: only_decode(shop), len(rows), options.repeat)
        compute = timed(lambda: only_compute(shop, pixels), len(rows), options.repeat)
    print(json.dumps({"what": "only decode", **decode}))
    print(json.dumps({"what": "only compute", **compute}))
    ratio = full["images_per_second"] / theirs["images_per_second"]
    for clock in ("wall_seconds", "cpu_seconds"):
        floor = decode[clock] + compute[clock]
        told = {
            "by": clock,
            "share_of_floor": round(floor / full[clock], 3),
            "new_night_over_full": round(some[clock] / full[clock], 4),
        }
        print(json.dumps(told))
    print(json.dumps({"images_per_second_over_keras": round(ratio, 1)}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="embedding a catalog beside Keras predict")
    parser.add_argument("state", type=Path, help="a state folder after a night")
    parser.add_argument("--products", type=int, default=0, help="products to take (0: all)")
    parser.add_argument("--sample", type=int, default=500, help="pictures for the peer")
    parser.add_argument("--repeat", type=int, default=3, help="runs of ours; medians are told")
    return parser.parse_args()


if __name__ == "__main__":
    main()
