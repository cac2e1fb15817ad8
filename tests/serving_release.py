"""Tiny but real releases, and a real Seldon microservice that serves them.

48 products are random pictures of the size that the tiny model in ``tests/embedding/data``
takes; their vectors come from that model. Another ``seed`` gives other pictures, and so
another release.
"""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from recsys import index as index_room
from recsys import release as release_room
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.live import living_workers
from recsys.artifacts.model import ApprovedModel
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import Release
from recsys.artifacts.verdict import Failure, Verdict
from recsys.embedding.encoder import Encoder
from recsys.settings import PROJECT_ROOT

EMBEDDER = Path(__file__).parent / "embedding" / "data" / "embedder.tflite"
WIDTH, HEIGHT = 6, 8
PRODUCTS = 48
IDS = tuple(str(10_000 + row) for row in range(PRODUCTS))
GENDERS = ("Men", "Women")
TYPES = ("Shirts", "Shoes", "Watches")

SERVING_PYTHON = PROJECT_ROOT / ".venv-serving" / "bin" / "python"
SERVE = PROJECT_ROOT / "seldon" / "serve.py"
START_SECONDS = 60


def verdict(*, passed: bool = True) -> Verdict:
    failures = () if passed else (Failure("expect_less", "x", "critical", "3", "why"),)
    return Verdict("model", "0" * 64, "subject", 3, failures, "docs.html")


def ref(repo: str, digit: str = "a") -> str:
    return f"{repo}@{digit * 32}"


def pictures(seed: int = 0) -> np.ndarray:
    """[48, 8, 6, 3] uint8."""
    shape = (PRODUCTS, HEIGHT, WIDTH, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def picture_text(row: int, seed: int = 0) -> str:
    """A product's own picture, as base64."""
    return base64.b64encode(png(pictures(seed)[row])).decode()


def products() -> ProductTable:
    return ProductTable.from_columns(
        IDS,
        [f"Product {product_id} – é" for product_id in IDS],
        {
            "gender": [GENDERS[row % 2] for row in range(PRODUCTS)],
            "articleType": [TYPES[row % 3] for row in range(PRODUCTS)],
        },
    )


@cache
def vectors(seed: int = 0) -> np.ndarray:
    """[48, 8] float32, unit norm."""
    return Encoder(EMBEDDER).embed(pictures(seed))


def parts(folder: Path, seed: int = 0) -> dict[str, Any]:
    """The arguments of `recsys.release.assemble`, their files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    found = vectors(seed)
    np.save(folder / "vectors.npy", found)
    index_room.save(index_room.build(found, "Flat", 1, 0), folder / "index.faiss")
    rows, dimension = found.shape
    model_digest = sha256_file(EMBEDDER)
    model = ApprovedModel(
        ref("models"), model_digest, dimension, WIDTH, HEIGHT, "1", (verdict(), verdict())
    )
    embeddings = EmbeddingSet(
        ref("champions"),
        ref("validated"),
        ref("models"),
        ref("catalog"),
        model_digest,
        rows,
        dimension,
        sha256_file(folder / "vectors.npy"),
        0,
    )
    index = SearchIndex(
        embeddings=ref("embeddings"),
        model_digest=model_digest,
        index_digest=sha256_file(folder / "index.faiss"),
        factory="Flat",
        breadth=1,
        rows=rows,
        dimension=dimension,
        recall_at_10=1.0,
        recall_queries=10,
        filtered_recall_at_10={},
        verdict=verdict(),
    )
    return {
        "model": model,
        "embeddings": embeddings,
        "index": index,
        "products": products(),
        "embedder": EMBEDDER,
        "index_file": folder / "index.faiss",
        "vectors": folder / "vectors.npy",
        "inputs": {"catalog": ref("catalog"), "models": ref("models")},
        "verdicts": (verdict(),),
    }


def make_release(releases_dir: Path, seed: int = 0, changes_through: int = 0) -> Release:
    """Assemble a release among ``releases_dir``."""
    given = parts(releases_dir.parent / f"parts-{seed}", seed)
    return release_room.assemble(releases_dir, **given, changes_through=changes_through)


def damage(folder: Path, name: str = "vectors.npy") -> None:
    """Change one byte of a release's file, and nothing of its size."""
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True)
class Service:
    """A running microservice."""

    state_dir: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client

    @property
    def releases_dir(self) -> Path:
        return self.state_dir / "releases"

    @property
    def serving_dir(self) -> Path:
        return self.state_dir / "serving"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def predictions_url(self) -> str:
        return f"{self.url}/api/v1.0/predictions"

    def post(self, **options: Any) -> httpx.Response:
        return self.client.post(self.predictions_url, **options)

    def ask(self, **query: Any) -> httpx.Response:
        return self.post(json={"jsonData": query})

    def get(self, path: str) -> httpx.Response:
        return self.client.get(self.url + path)


@contextmanager
def service(
    state_dir: Path, *, command: list[str] | None = None, **settings: Any
) -> Iterator[Service]:
    """Run ``seldon/serve.py``, or another command, until the block ends; every worker is up."""
    port = free_port()
    settings = {"serving_workers": 2, "seldon_port": port, "state_dir": state_dir, **settings}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RECSYS_")},
        **{f"RECSYS_{name}".upper(): str(value) for name, value in settings.items()},
        "PYTHONPATH": str(SERVE.parent),
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(port),
    }
    log = state_dir / "service.log"
    state_dir.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command or [str(SERVING_PYTHON), str(SERVE)],
            stdout=stream,
            stderr=stream,
            cwd=state_dir,
            env=environment,
            start_new_session=True,
        )
    try:
        with httpx.Client(timeout=30, trust_env=False) as client:
            running = Service(state_dir, port, process, log, client)
            _wait_until_up(running, int(settings["serving_workers"]))
            yield running
    finally:
        _stop(process)


def _wait_until_up(running: Service, workers: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and running.process.poll() is None:
        try:
            if running.get("/health/ping").text == "pong" and workers <= len(
                living_workers(running.serving_dir)
            ):
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the service did not come up:\n{running.log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def traceback_in(log: Path) -> bool:
    return re.search(r"Traceback \(most recent call last\)", log.read_text()) is not None
