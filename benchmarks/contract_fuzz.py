"""Fuzz the REST service: whatever a body holds, the answer is one that the contract knows.

    python benchmarks/contract_fuzz.py --cases 10000
    python benchmarks/contract_fuzz.py --cases 10000 --stock   # under Seldon's own wrapper

Starts the real service with two workers on a release of 48 drawn products, and sends it valid
requests, and such with parts replaced, texts and pictures damaged, fields of forms, whole
HTTP messages damaged, and random bytes. Every case is made from the seed and its number alone.

A finding is a 5xx; an answer that the OpenAPI document does not allow; a 200 to a request that
it does not allow; a refusal of a valid request; no answer at all; a worker that died, or a
traceback in the log. Findings are kept under ``--keep``; the last line is JSON; the exit
status is 1 when there is any.
"""

from __future__ import annotations

import argparse
import base64
import copy
import json
import os
import random
import re
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from jsonschema import Draft202012Validator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from recsys.artifacts.live import living_workers, write_live
from serving_release import (
    GENDERS,
    IDS,
    SERVING_PYTHON,
    TYPES,
    Service,
    free_port,
    make_release,
    pictures,
    png,
    service,
    traceback_in,
)

_SETTINGS: Final = {
    "max_image_bytes": 20_000,
    "max_image_pixels": 10_000,
    "max_k": 20,
    "max_queries": 4,
    "max_listed_products": 6,
}
_SECONDS: Final = 10
_STATUS: Final = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)
_ODD: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 0.5, 1e308, -1e-308, -0.0),
    *("", "0", "\x00", "\u202e", "é" * 300, "../../etc/passwd", "http://127.0.0.1/", "NaN"),
    *([], {}, [[]], [None], {"": None}, {"not": {}}, [0] * 100, {"from": 2, "to": 1}),
]
_KEYS: Final = (
    *("jsonData", "binData", "meta", "status", "data", "strData", "queries", "puid"),
    *("product_id", "image", "k", "where", "only", "exclude", "collapse", "min_score"),
    *("diversity", "boost", "explain", "not", "from", "to", "gender", "in_stock", "", "__class__"),
)


@dataclass(frozen=True)
class Case:
    """One request: how it is sent, the JSON in it if it is known, and whether it is valid."""

    kind: str
    sent: dict[str, Any] = field(default_factory=dict)
    message: Any = None
    valid: bool = False
    raw: bytes = b""


def main() -> None:
    """Run the cases, print the figures."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        write_live(state / "releases", make_release(state / "releases").id)
        command = _stock_wrapper() if arguments.stock else None
        with service(state, command=command, serving_workers=2, **_SETTINGS) as running:
            figures = _run(running, arguments)
    print(json.dumps(figures, indent=1))
    sys.exit(1 if figures["findings"] else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stock", action="store_true", help="Seldon's wrapper, as in the image")
    parser.add_argument("--keep", type=Path, default=Path("contract-findings"))
    return parser.parse_args()


def _stock_wrapper() -> list[str]:
    """Seldon's own launcher, told what ``seldon/Dockerfile`` tells it."""
    told = {"PAYLOAD_PASSTHROUGH": "true", "GUNICORN_WORKERS": "2", "GRPC_WORKERS": "0"}
    os.environ.update(told)
    program = str(SERVING_PYTHON.with_name("seldon-core-microservice"))
    port = ["--metrics-port", str(free_port())]
    return [program, "Recommender", "--service-type", "MODEL", *port]


def _run(running: Service, arguments: argparse.Namespace) -> dict[str, Any]:
    judge = Judge(running.get("/openapi.json").json())
    before = _pids(running)
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    started = time.perf_counter()
    for number in range(arguments.cases):
        case = case_of(arguments.seed, number)
        code, wrong = judge.of(running, case)
        outcomes[f"{case.kind} {code}"] += 1
        if wrong:
            findings.append(f"{number}: {wrong}"[:300])
            _keep(arguments.keep / f"{arguments.seed}-{number}", case, wrong)
    if _pids(running) != before:
        findings.append(f"workers {sorted(before)} became {sorted(_pids(running))}")
    if traceback_in(running.log):
        findings.append("a traceback is in the log")
    return {
        "cases": arguments.cases,
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "workers_that_died": len(before - _pids(running)),
        "outcomes": dict(sorted(outcomes.items())),
        "findings": len(findings),
        "first_findings": findings[:10],
    }


def _pids(running: Service) -> set[int]:
    return {worker.pid for worker in living_workers(running.serving_dir)}


def _keep(path: Path, case: Case, wrong: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{wrong}\n{case.kind}\n{case.sent!r}\n{case.raw!r}\n")


class Judge:
    """What the document allows."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._of = {
            name: Draft202012Validator(
                {
                    "$ref": f"#/components/schemas/{name}",
                    "components": document["components"],
                }
            )
            for name in ("Request", "Prediction", "Failure")
        }
        operation = document["paths"]["/api/v1.0/predictions"]["post"]
        self._codes = {int(code) for code in operation["responses"]} - {503}

    def of(self, running: Service, case: Case) -> tuple[int, str]:
        """The status code, 0 for none, and what is wrong with the answer, if anything is."""
        if case.raw:
            return self._of_raw(running, case.raw)
        try:
            response = running.post(**case.sent)
        except httpx.HTTPError as error:
            return 0, f"no answer: {error!r}"
        return response.status_code, self._wrong(case, response)

    def _wrong(self, case: Case, response: httpx.Response) -> str:
        code = response.status_code
        if code not in self._codes:
            return f"{code} is no answer of the contract: {response.text[:200]}"
        name = "Prediction" if code == httpx.codes.OK else "Failure"
        try:
            error = next(self._of[name].iter_errors(response.json()), None)
        except ValueError:
            return f"not JSON: {response.text[:200]}"
        if error is not None:
            return f"{code} is no {name}: {error.message[:200]}"
        allowed = case.message is None or self._of["Request"].is_valid(case.message)
        if code == httpx.codes.OK and not allowed:
            return "answered, though the document does not allow it"
        if code != httpx.codes.OK and case.valid:
            return f"valid, but refused: {response.text[:200]}"
        return ""

    def _of_raw(self, running: Service, data: bytes) -> tuple[int, str]:
        """For damaged HTTP: whatever is answered is no 5xx; to answer nothing is right as well."""
        found = b""
        try:
            with socket.create_connection(("127.0.0.1", running.port), _SECONDS) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                while chunk := client.recv(1 << 16):
                    found += chunk
        except TimeoutError:
            return 0, "the connection stayed open"
        except OSError:
            pass  # closed while we were sending
        codes = [int(code) for code in _STATUS.findall(found)]
        bad = [code for code in codes if code >= 500]
        return (codes or [0])[0], f"answered {bad}" if bad else ""


def case_of(seed: int, number: int) -> Case:
    """A case; the same for the same two numbers."""
    rng = random.Random(f"{seed}-{number}")  # noqa: S311 - to be repeated
    makers: list[Callable[[random.Random], Case]] = [
        *(_valid, _valid, _changed, _changed, _changed, _damaged_text, _damaged_text),
        *(_damaged_picture, _form, _random_bytes, _damaged_http),
    ]
    return rng.choice(makers)(rng)


def _valid(rng: random.Random) -> Case:
    message = _message(rng)
    return Case("valid", {"json": message}, message, valid=True)


def _message(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.1:
        return {"binData": _picture(rng)}
    data = _query(rng)
    if rng.random() < 0.3:
        data = {"queries": [data, *(_query(rng) for _ in range(rng.randrange(4)))]}
    meta = {"meta": {"puid": f"fuzz-{rng.random()}"}} if rng.random() < 0.3 else {}
    return {"jsonData": data, **meta}


def _query(rng: random.Random) -> dict[str, Any]:
    by_id = rng.random() < 0.7
    query: dict[str, Any] = {"product_id": rng.choice(IDS)} if by_id else {"image": _picture(rng)}
    options: dict[str, Callable[[], Any]] = {
        "k": lambda: rng.randint(1, 20),
        "where": lambda: rng.choice(
            [
                {},
                {"gender": rng.choice(GENDERS)},
                {"articleType": {"not": [rng.choice(TYPES)]}, "in_stock": True},
                {"gender": list(GENDERS), "in_stock": {"not": False}},
            ]
        ),
        "only": lambda: [*rng.sample(IDS, rng.randint(1, 5)), "gone"],
        "exclude": lambda: rng.sample(IDS, rng.randint(0, 5)),
        "collapse": lambda: rng.random() < 0.5,
        "min_score": lambda: round(rng.uniform(-1, 1), 3),
        "diversity": lambda: round(rng.uniform(0, 0.95), 3),
        "boost": lambda: {"gender": {rng.choice(GENDERS): round(rng.uniform(-1, 1), 3)}},
        "explain": lambda: rng.random() < 0.7,
    }
    for name in rng.sample(sorted(options), rng.randrange(5)):
        query[name] = options[name]()
    return query


def _picture(rng: random.Random) -> str:
    return base64.b64encode(png(pictures()[rng.randrange(len(IDS))])).decode()


def _changed(rng: random.Random) -> Case:
    """A valid message whose parts are replaced, renamed, added or taken away."""
    message: Any = _message(rng)
    for _ in range(rng.randint(1, 3)):
        message = _with_one_change(rng, copy.deepcopy(message))
    return Case("changed", {"json": message}, message)


def _with_one_change(rng: random.Random, message: Any) -> Any:
    holders = [item for item in _parts(message) if isinstance(item, dict | list) and item]
    if not holders or rng.random() < 0.03:
        return rng.choice(_ODD)
    holder = rng.choice(holders)
    key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    change = rng.randrange(4)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, dict):
        holder[rng.choice(_KEYS)] = rng.choice([*_ODD, holder[key]])
    elif change == 2:
        holder[key] = [holder[key]] * rng.randint(0, 8)
    else:
        holder[key] = rng.choice(_ODD)
    return message


def _parts(value: Any) -> Iterator[Any]:
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from _parts(item)


def _damaged_text(rng: random.Random) -> Case:
    text = json.dumps(_message(rng), ensure_ascii=rng.random() < 0.5).encode()
    headers = {"Content-Type": rng.choice(["application/json", "text/plain", "", "é".encode()])}
    return Case("damaged text", {"content": _damaged(rng, text), "headers": headers})


def _damaged(rng: random.Random, data: bytes) -> bytes:
    content = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((1, 1, 2, 8, 100)))
        piece = rng.choice(
            [
                b"",
                rng.randbytes(end - start),
                content[start:end] * 2,
                rng.choice(
                    [b"[" * 2_000, b"\\ud800", b"1e999", b"NaN", b"\xff", b"\0", b'"', b"}"]
                ),
            ]
        )
        content[start:end] = piece
    return bytes(content)


def _damaged_picture(rng: random.Random) -> Case:
    picture = _damaged(rng, png(pictures()[rng.randrange(len(IDS))]))
    message = {"jsonData": {"image": base64.b64encode(picture).decode(), "k": 2}}
    return Case("damaged picture", {"json": message}, message)


def _form(rng: random.Random) -> Case:
    """Fields of a form, which Seldon puts together itself."""
    text = json.dumps(_message(rng).get("jsonData", {})).encode()
    text = _damaged(rng, text) if rng.random() < 0.5 else text
    if rng.random() < 0.3:
        return Case("form", {"data": {"json": text.decode("latin-1")}})
    name = rng.choice(("jsonData", "binData", "strData", "meta", "data", "x"))
    file = rng.choice([None, "x.png"])
    parts = [(name, (file, text)), ("meta", (None, b'{"puid": "fuzz"}'))]
    return Case("form", {"files": parts[: rng.randint(1, 2)]})


def _random_bytes(rng: random.Random) -> Case:
    headers = {"Content-Type": rng.choice(["application/json", "multipart/form-data; boundary=b"])}
    return Case("random bytes", {"content": rng.randbytes(rng.randrange(400)), "headers": headers})


def _damaged_http(rng: random.Random) -> Case:
    body = json.dumps(_message(rng)).encode()
    path = rng.choice(("/api/v1.0/predictions", "/predict", "/metadata", "/health/status"))
    method = rng.choice(("POST", "GET", "HEAD", "OPTIONS"))
    head = f"{method} {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: {len(body)}\r\n\r\n"
    return Case("damaged HTTP", raw=_damaged(rng, head.encode()) + body)


if __name__ == "__main__":
    main()
