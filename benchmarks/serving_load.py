"""The service under load, beside the field's starting point and beside a bare floor.

    python benchmarks/serving_load.py .recsys                # a state folder after a night
    python benchmarks/serving_load.py .recsys --seconds 1 --clients 4 --rounds 1     # a quick look

`wrk` asks three servers in turn, each over the live release of the state folder:

- ours: ``seldon/serve.py`` as it is started every day, with one and with two workers;
- the starting point, as notebooks and tutorials have it: Flask's development server, Keras
  `predict` on the decoded picture, scikit-learn's brute `NearestNeighbors` over the same
  vectors, a process of one;
- the floor: our decoder, encoder, search and product table behind bare FastAPI and uvicorn
  (with uvloop and httptools where they are there), nothing checked, logged or collapsed.

Of each: throughput, p50 and p99 of the latency, and CPU seconds of the server's processes for
each request, which a busy machine moves least. Three kinds of requests: ``image``, the pictures
of products; ``id``, every product once and in no order, so that nothing is known of it yet; and
``id again``, few products over and over. A request that is not answered with 200 counts as
failed. Prints JSON lines, then a table and how each stands to the others.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

PATH = "/api/v1.0/predictions"
K = 10
HERE = Path(__file__).resolve()
PROJECT = HERE.parents[1]
OURS, FLOOR, START = "ours", "floor", "starting point"
IMAGE, ID, AGAIN = "image", "id", "id again"
FOLDER = "SERVING_LOAD_FOLDER"
START_SECONDS = 180

# Each request another line of the file; the answer's figures as one line of JSON.
LUA = """
local bodies, place = {}, 0
for line in io.lines("%s") do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.path = "%s"
wrk.headers["Content-Type"] = "application/json"
function request()
  place = place %% #bodies + 1
  return wrk.format(nil, nil, nil, bodies[place])
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "failed": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Line:
    """One server under one load."""

    server: str
    workers: int
    kind: str
    clients: int
    requests: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_request: float


def floor() -> Any:
    """The app that uvicorn serves: what cannot be left out."""
    from fastapi import FastAPI, Response

    from recsys import images
    from recsys.artifacts.products import ProductTable
    from recsys.artifacts.release import verify_release
    from recsys.embedding.encoder import Encoder
    from recsys.index import open_index, search

    folder = Path(os.environ[FOLDER])
    release = verify_release(folder)
    table = ProductTable.load(folder)
    vectors = np.asarray(np.load(folder / "vectors.npy", mmap_mode="r"))
    index = open_index(
        folder / "index.faiss",
        rows=release.products,
        dimension=release.dimension,
        breadth=release.breadth,
    )
    encoder = Encoder(folder / "embedder.tflite")
    limits = images.ImageLimits(10 << 20, 50_000_000)
    size = release.image_width, release.image_height
    app = FastAPI()

    async def predict(request: Any) -> Response:
        asked = orjson.loads(await request.body())["jsonData"]
        if "product_id" in asked:
            row = table.row(asked["product_id"])
            query = vectors[row : row + 1]
        else:
            row = None
            pixels = images.load(base64.b64decode(asked["image"]), *size, limits)
            query = encoder.embed(pixels[None])
        (found,) = search(index, vectors, query, K, exclude=[row])
        results = [{**table.describe(other), "score": score} for other, score in found]
        answer = orjson.dumps({"jsonData": {"results": results}})
        return Response(answer, media_type="application/json")

    app.add_route(PATH, predict, methods=["POST"])
    return app


def starting_point(folder: Path, keras: Path, port: int) -> None:
    """Serve as a tutorial does, until the process is ended."""
    import logging

    from flask import Flask, jsonify, request
    from PIL import Image
    from sklearn.neighbors import NearestNeighbors

    from recsys.artifacts.products import ProductTable
    from recsys.training import TrainedClassifier

    table = ProductTable.load(folder)
    vectors = np.load(folder / "vectors.npy")
    size = tuple(
        json.loads((folder / "manifest.json").read_bytes())[f"image_{side}"]
        for side in ("width", "height")
    )
    model = TrainedClassifier.load(keras)._embedder()
    neighbours = NearestNeighbors(n_neighbors=K + 1, metric="cosine", algorithm="brute")
    neighbours.fit(vectors)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Flask("starting_point")

    @app.post(PATH)
    def predict() -> Any:
        asked = request.get_json()["jsonData"]
        if "product_id" in asked:
            query = vectors[table.row(asked["product_id"])][np.newaxis]
        else:
            picture = Image.open(io.BytesIO(base64.b64decode(asked["image"])))
            pixels = np.asarray(picture.convert("RGB").resize(size))[np.newaxis]
            query = model.predict(pixels, verbose=0)
        distances, rows = neighbours.kneighbors(query)
        results = [
            {**table.describe(int(row)), "score": 1 - float(distance)}
            for row, distance in zip(rows[0], distances[0], strict=True)
        ]
        return jsonify({"jsonData": {"results": results}})

    app.run("127.0.0.1", port)


def collect(state: Path, folder: Path, pictures: int) -> str:
    """Copy the live release and its Keras model to ``folder``, write the bodies; its id."""
    from recsys import names
    from recsys.artifacts.catalog import ValidatedCatalog
    from recsys.settings import load_settings
    from recsys.stages.find_release import find_live_release
    from recsys.stages.model_files import model_folder
    from recsys.stages.night import Night
    from recsys.stages.pixels import picture_place, products_of

    settings = load_settings(state_dir=state)
    night = Night(settings, "0001-01-01")
    release = find_live_release(night).artifact
    validated = night.open(release.inputs[names.VALIDATED], ValidatedCatalog)
    table = products_of(night, validated)
    drawn = table.sample(pictures, random_state=21)
    files = [
        night.read(*picture_place(validated, image, kept))
        for image, kept in zip(drawn["image"], drawn["kept"], strict=True)
    ]
    ids = np.random.default_rng(21).permutation(table["id"].to_numpy()).tolist()
    _write(folder, IMAGE, [{"image": base64.b64encode(data).decode()} for data in files])
    _write(folder, ID, [{"product_id": product} for product in ids])
    _write(folder, AGAIN, [{"product_id": product} for product in ids[:500]])
    ours = folder / "state" / "releases"
    shutil.copytree(settings.releases_dir / release.id, ours / release.id)
    (ours / "live").symlink_to(release.id)
    with model_folder(night, release.inputs[names.MODELS]) as model:
        shutil.copytree(model, folder / "keras")
    return str(release.id)


def _write(folder: Path, kind: str, asked: list[dict[str, str]]) -> None:
    lines = [orjson.dumps({"jsonData": query}) for query in asked]
    bodies = folder / f"{kind}.txt"
    bodies.write_bytes(b"\n".join(lines) + b"\n")
    (folder / f"{kind}.lua").write_text(LUA % (bodies, PATH))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server(name: str, workers: int, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run one of the three until the block ends; it answers by then."""
    port = free_port()
    releases = folder / "state" / "releases"
    release = releases / (releases / "live").readlink()
    if name == OURS:
        command = [PROJECT / ".venv-serving" / "bin" / "python", PROJECT / "seldon" / "serve.py"]
    elif name == FLOOR:
        command = [sys.executable, "-m", "uvicorn", "--app-dir", HERE.parent, "--factory"]
        command += ["serving_load:floor", "--port", port, "--workers", workers]
        command += ["--log-level", "warning", "--no-access-log"]
    else:
        command = [sys.executable, HERE, "--starting-point", release, folder / "keras", port]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RECSYS_")},
        "RECSYS_STATE_DIR": str(folder / "state"),
        "RECSYS_SELDON_PORT": str(port),
        "RECSYS_SERVING_WORKERS": str(workers),
        "OMP_NUM_THREADS": "1",
        FOLDER: str(release),
    }
    log = folder / f"{name}-{workers}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=environment,
            stdout=stream,
            stderr=stream,
            cwd=folder,
        )
    try:
        _wait(process, port, folder, log)
        yield process, port
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path, log: Path) -> None:
    import httpx

    body = (folder / f"{IMAGE}.txt").read_bytes().split(b"\n", 1)[0]
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{port}{PATH}",
                content=body,
                timeout=60,
                headers={"Content-Type": "application/json"},
                trust_env=False,
            )
            if answer.status_code == httpx.codes.OK:
                time.sleep(2)  # the other workers
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"the server did not come up:\n{log.read_text()[-2000:]}")


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Of a process and all that it started."""
    import psutil

    family = [psutil.Process(process.pid)]
    family += family[0].children(recursive=True)
    times = [member.cpu_times() for member in family]
    return sum(time.user + time.system for time in times)


def measure(
    process: subprocess.Popen[bytes],
    port: int,
    folder: Path,
    line: Callable[..., Line],
    kind: str,
    clients: int,
    seconds: float,
) -> Line:
    """One load on one server."""
    before = cpu_seconds(process)
    command = [
        "wrk",
        "-t1",
        f"-c{clients}",
        f"-d{seconds:g}s",
        "--timeout",
        "30s",
        "-s",
        str(folder / f"{kind}.lua"),
        f"http://127.0.0.1:{port}",
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(said.strip().splitlines()[-1])
    requests = max(1, found["requests"])
    return line(
        kind=kind,
        clients=clients,
        requests=found["requests"],
        failed=found["failed"],
        per_second=round(found["requests"] / found["seconds"], 1),
        p50_ms=round(found["p50_ms"], 2),
        p99_ms=round(found["p99_ms"], 2),
        cpu_ms_per_request=round((cpu_seconds(process) - before) / requests * 1e3, 3),
    )


def one_round(folder: Path, workers: int, options: argparse.Namespace) -> Iterator[Line]:
    """All servers with so many workers, in turns; the starting point has but one."""
    chosen = [name for name in options.servers if name != START or workers == 1]
    with ExitStack() as running:
        up = {name: running.enter_context(server(name, workers, folder)) for name in chosen}
        for kind in options.kinds:
            for clients in options.clients:
                for name, (process, port) in up.items():

                    def line(name: str = name, **found: Any) -> Line:
                        return Line(server=name, workers=workers, **found)

                    yield measure(process, port, folder, line, kind, clients, options.seconds)


def medians(lines: list[Line]) -> list[Line]:
    """One line for each server and load: the medians over the rounds."""
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.kind, line.workers, line.clients, line.server), []).append(line)
    found = []
    for (kind, workers, clients, name), group in groups.items():
        figures = {
            field: round(statistics.median(getattr(line, field) for line in group), 3)
            for field in ("per_second", "p50_ms", "p99_ms", "cpu_ms_per_request")
        }
        counts = {
            field: sum(getattr(line, field) for line in group) for field in ("requests", "failed")
        }
        found.append(Line(name, workers, kind, clients, **counts, **figures))
    return found


def told(lines: list[Line]) -> None:
    """The table, and each of ours beside the others."""
    print(
        "\n| request | workers | clients | server | a second | p50 ms | p99 ms | CPU ms | failed |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for line in lines:
        print(
            f"| {line.kind} | {line.workers} | {line.clients} | {line.server}"
            f" | {line.per_second:g} | {line.p50_ms:g} | {line.p99_ms:g}"
            f" | {line.cpu_ms_per_request:g} | {line.failed} |"
        )
    by = {(line.server, line.kind, line.workers, line.clients): line for line in lines}
    print()
    for (name, kind, workers, clients), ours in by.items():
        if name != OURS:
            continue
        said: dict[str, Any] = {"kind": kind, "workers": workers, "clients": clients}
        bare = by.get((FLOOR, kind, workers, clients))
        start = by.get((START, kind, 1, clients))
        if bare:
            said["cpu_over_floor"] = round(ours.cpu_ms_per_request / bare.cpu_ms_per_request, 3)
        if start:
            said["throughput_over_start"] = round(ours.per_second / start.per_second, 1)
            said["cpu_below_start"] = round(start.cpu_ms_per_request / ours.cpu_ms_per_request, 1)
        print(json.dumps(said))


def main() -> None:
    """Measure, and print."""
    options = _options()
    if options.starting_point:
        release, keras, port = options.starting_point
        starting_point(Path(release), Path(keras), int(port))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        release = collect(options.state, folder, options.pictures)
        print(
            json.dumps(
                {
                    "release": release,
                    "seconds": options.seconds,
                    "cores": os.cpu_count(),
                    "load": os.getloadavg(),
                }
            )
        )
        lines = []
        for _ in range(options.rounds):
            for workers in options.workers:
                for line in one_round(folder, workers, options):
                    print(json.dumps(asdict(line)), flush=True)
                    lines.append(line)
        told(medians(lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("state", type=Path, nargs="?", default=Path(".recsys"))
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--kinds", nargs="+", choices=(IMAGE, ID, AGAIN), default=[IMAGE, ID, AGAIN]
    )
    parser.add_argument(
        "--servers", nargs="+", choices=(OURS, FLOOR, START), default=[OURS, FLOOR, START]
    )
    parser.add_argument("--pictures", type=int, default=1_000, help="different ones that are asked")
    parser.add_argument("--starting-point", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
