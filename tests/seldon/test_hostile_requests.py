"""What an attacker would send to a real service: refused in the shape of the contract.

Slow clients and floods are in `test_busy_service`, a token in `test_token`.
"""

import base64
import io
import json
import socket
import struct
import time
import zipfile
import zlib

import psutil
import pytest
from PIL import Image

from recsys.artifacts.live import living_workers, write_live
from serving_release import IDS, make_release, picture_text, service, traceback_in

SECONDS = 10


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    state = tmp_path_factory.mktemp("hostile")
    write_live(state / "releases", make_release(state / "releases").id)
    with service(state, max_image_bytes=100_000, max_image_pixels=10_000) as started:
        yield started


@pytest.fixture(autouse=True)
def _workers_survive_and_answer(running):
    before = {worker.pid for worker in living_workers(running.serving_dir)}
    yield
    assert running.ask(product_id=IDS[0], k=1).status_code == 200
    assert {worker.pid for worker in living_workers(running.serving_dir)} == before
    assert not traceback_in(running.log)


def sent(running, data):
    """All that comes back for some bytes, until the service closes."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) as client:
        client.sendall(data)
        found = b""
        while chunk := client.recv(1 << 16):
            found += chunk
        return found


def head(*lines, request="POST /api/v1.0/predictions HTTP/1.1"):
    return "\r\n".join([request, "Host: shop", *lines, "", ""]).encode("latin-1")


def is_refused(answer, *codes):
    """One answer, with one of these codes and the status shape, and nothing after it."""
    assert answer.count(b"HTTP/1.1 ") == 1, answer[:500]
    top, body = answer.split(b"\r\n\r\n", 1)
    code = int(top.split()[1])
    assert code in codes, answer[:500]
    status = json.loads(body)["status"]
    assert (status["status"], status["code"]) == (1, code)
    return status["info"]


def refused(response, code=400):
    assert response.status_code == code, response.text[:500]
    status = response.json()["status"]
    assert (status["status"], status["code"]) == (1, code)
    return status["info"]


BODY = json.dumps({"jsonData": {"product_id": IDS[0], "k": 1}}).encode()
HIDDEN = b"GET /metadata HTTP/1.1\r\nHost: shop\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5, 6"],
        ["Content-Length: +5"],
        ["Content-Length: 0x5"],
        ["Content-Length: -1"],
        ["Content-Length: 5 5"],
        ["Content-Length:"],
        ["Content-Length: ٥".encode().decode("latin-1")],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: chunked"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding:\x0bchunked"],
        ["Content-Length : 5"],
        ["X: a", " folded: b"],
        ["X\x00Y: a"],
        ["X: a\nContent-Length: 5"],
        ["X: a\rContent-Length: 5"],
        ["X: a\x00"],
        ["no colon"],
        [": no name"],
    ],
)
def test_no_second_request_is_smuggled_behind_one_whose_length_is_in_doubt(running, lines):
    is_refused(sent(running, head(*lines) + b"0\r\n\r\n" + HIDDEN), 400, 411, 501)


def test_a_client_that_leaves_in_the_middle_of_a_request_keeps_no_connection(running):
    started = time.monotonic()
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) as client:
            client.sendall(head("Content-Length: 100"))
            client.sendall(BODY[:20])
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
    assert time.monotonic() - started < SECONDS


def test_a_client_that_sends_no_more_still_gets_its_answer(running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) as client:
        client.sendall(head(f"Content-Length: {len(BODY)}") + BODY)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "start",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
def test_other_protocols_and_proxy_requests_are_refused(running, start):
    is_refused(sent(running, start), 400, 404, 405)


@pytest.mark.parametrize(
    "lines",
    [
        [f"X-{number}: 1" for number in range(500)],
        [f"X: {'a' * 30_000}"],
        [f"X: {'a' * 200_000}"],
        [f"{'X' * 9_000}: a"],
    ],
)
def test_floods_of_headers_are_refused(running, lines):
    is_refused(sent(running, head(*lines, "Content-Length: 0")), 400)


def test_a_very_long_address_is_refused(running):
    long = head(request=f"GET /predict?json={'a' * 50_000} HTTP/1.1")
    is_refused(sent(running, long), 400)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/..\\..\\etc\\passwd",
        "/seldon.json/../../../../etc/passwd",
        "/openapi/seldon.json",
        "//etc/passwd",
        "/static/../../etc/passwd",
        "/%00",
        "/%ff%fe",
        "/file:///etc/passwd",
        "/api/v1.0/predictions/../../../metadata",
        "/METADATA",
        "/metadata/",
    ],
)
def test_no_path_leads_to_a_file(running, path):
    line = f"GET {path} HTTP/1.1"
    is_refused(sent(running, head("Connection: close", request=line)), 404, 400)


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "PROPFIND", "GETX"])
def test_other_methods_are_refused(running, method):
    line = f"{method} /api/v1.0/predictions HTTP/1.1"
    is_refused(sent(running, head("Connection: close", request=line)), 405, 400)


DEEP = 100_000
HUGE = "9" * 5_000


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonData": ' + '{"a": ' * DEEP + "1" + "}" * DEEP + "}",
        '{"jsonData": {"product_id": ' + "[" * DEEP + "]" * DEEP + "}}",
        '{"jsonData": {"product_id": "1", "where": ' + '{"not": ' * 500 + "1" + "}" * 500 + "}}",
        '{"jsonData": {"product_id": "1", "k": NaN}}',
        '{"jsonData": {"product_id": "1", "min_score": NaN}}',
        '{"jsonData": {"product_id": "1", "min_score": -Infinity}}',
        '{"jsonData": {"product_id": "1", "min_score": 1e999}}',
        '{"jsonData": {"product_id": "1", "k": 1e300}}',
        f'{{"jsonData": {{"product_id": "1", "k": {HUGE}}}}}',
        f'{{"jsonData": {{"product_id": {HUGE}}}}}',
        f'{{"jsonData": {{"product_id": "1", "where": {{"year": {{"from": {HUGE}}}}}}}}}',
        '{"jsonData": {"product_id": "\\ud800"}}',
        '{"jsonData": {"product_id": "1"}, "meta": {"puid": "\\ud800"}}',
        '{"jsonData": {"product_id": "1"}, "meta": {"puid": "a\\r\\nX: b"}}',
        '{"jsonData": {"product_id": "1"}}\x00',
        '\ufeff{"jsonData": {"product_id": "1"}}',
        '{"__proto__": {}, "jsonData": {"product_id": "1"}}',
    ],
)
def test_odd_json_is_refused_as_a_body_as_a_form_and_in_the_address(running, text):
    refused(running.post(content=text.encode("utf-8", "surrogatepass")))
    if len(text) < 20_000:
        refused(running.post(data={"json": text}))
    if len(text) < 4_000:
        refused(running.client.get(f"{running.url}/predict", params={"json": text}))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ' * DEEP + "1" + "}" * DEEP,
        f'{{"product_id": "1", "k": {HUGE}}}',
        '{"product_id": "1", "k": NaN}',
        '{"product_id": "1", "min_score": NaN}',
        '{"product_id": "1", "min_score": Infinity}',
        f'{{"product_id": "1", "k": {"9" * 4_000}}}',
        '{"product_id": "1", "exclude": ["\\ud800"], "k": 0}',
        '{"product_id": "1", "where": {"\\ud800": "x"}}',
        '{"product_id": "1", "where": {"gender": "\\ud800"}}',
        '{"product_id": "\\ud800"}',
    ],
)
def test_odd_json_in_a_field_of_a_form_is_refused(running, text):
    field = ("jsonData", (None, text.encode()))
    response = running.post(files=[field])
    refused(response, 404 if response.status_code == 404 else 400)


def test_of_a_key_that_stands_twice_the_last_counts(running):
    text = f'{{"jsonData": {{"product_id": "99", "product_id": "{IDS[0]}", "k": 1, "k": 2}}}}'
    answer = running.post(content=text.encode()).json()
    assert len(answer["jsonData"]["results"]) == 2


@pytest.mark.parametrize(
    "product_id",
    [
        f"{IDS[0]} ",
        f"{IDS[0]}\x00",
        f"\u202e{IDS[0]}",
        "１００００",
        f"{IDS[0]}\u200b",
        "a" * 500_000,
        "../../etc/passwd",
        "'; DROP TABLE products; --",
        "${jndi:ldap://127.0.0.1/x}",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "\U0001f45f",
    ],
)
def test_an_id_is_only_ever_looked_up(running, product_id):
    response = running.ask(product_id=product_id)
    refused(response, 404)
    assert response.headers["Content-Type"] == "application/json"
    assert len(response.text) < 2_000


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, pixels, *more):
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = [chunk(b"IHDR", size), *more, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def saved(kind, side, **options):
    stream = io.BytesIO()
    Image.new("L" if kind != "WEBP" else "RGB", (side, side)).save(stream, kind, **options)
    return stream.getvalue()


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("picture.png", bytes(10_000_000))
    return stream.getvalue()


BOMBS = {
    "a PNG that says it is vast": png(50_000, 50_000, b""),
    "a PNG of more pixels than it says": png(8, 8, bytes(20_000_000)),
    "a PNG of small size with vast text": png(
        8, 8, bytes(200), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000_000)))
    ),
    "a PNG with a vast profile": png(
        8, 8, bytes(200), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(60_000_000)))
    ),
    "a PNG of no size": png(0, 0, b""),
    "a PNG of the largest size": png(2**31 - 1, 2**31 - 1, b""),
    "a vast WebP": saved("WEBP", 4_000),
    "a vast JPEG": saved("JPEG", 2_000),
    "a GIF": saved("GIF", 8_000),
    "a TIFF": saved("TIFF", 9_000, compression="tiff_deflate"),
    "a zip": zipped(),
    "a JPEG that says it is vast": saved("JPEG", 8).replace(
        b"\x00\x08\x00\x08", b"\xff\xff\xff\xff", 1
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_picture_that_would_fill_memory_is_refused_quickly(running, bomb):
    text = base64.b64encode(BOMBS[bomb]).decode()
    before = largest_worker(running)
    started = time.monotonic()
    response = running.ask(image=text, k=1)
    assert time.monotonic() - started < SECONDS / 2
    assert largest_worker(running) < before + (64 << 20)
    if response.status_code != 200:  # a small picture with odd text beside it is one
        refused(response)
    else:
        assert "small size" in bomb or "profile" in bomb or "more pixels" in bomb


def largest_worker(running):
    """Bytes of memory."""
    pids = [worker.pid for worker in living_workers(running.serving_dir)]
    return max(psutil.Process(pid).memory_info().rss for pid in pids)


SVG = """<?xml version="1.0"?>
<!DOCTYPE svg [<!ENTITY x SYSTEM "{url}"><!ENTITY y SYSTEM "file:///etc/passwd">]>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">
<image xlink:href="{url}"/><text>&x;&y;</text></svg>"""


def test_no_address_or_path_in_a_request_is_followed(running, tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(base64.b64decode(picture_text(0)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(1)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.png"
        places = [url, picture.as_uri(), str(picture), "gopher://127.0.0.1/", f"//{url[7:]}"]
        for place in places:
            encoded = base64.b64encode(place.encode()).decode()
            for image in (place, encoded, f"data:image/png;base64,{encoded}"):
                assert str(picture) not in refused(running.ask(image=image))
            refused(running.post(json={"binData": place}))
            refused(running.ask(product_id=place), 404)
            refused(running.ask(product_id=IDS[0], where={place: place}))
        for document in (SVG.format(url=url), f"push graphic-context\nfill 'url({url})'\n"):
            refused(running.ask(image=base64.b64encode(document.encode()).decode()))
        with pytest.raises(TimeoutError):
            listener.accept()
