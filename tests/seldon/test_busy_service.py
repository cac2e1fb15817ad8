"""Slow clients, too many clients, and the end: what the worker around Seldon's app does."""

import json
import signal
import socket
import time
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse

import pytest

from recsys.artifacts.live import write_live
from recsys.client import Recommender
from serving_release import IDS, make_release, picture_text, service, traceback_in

MAX_WAITING = 4
MAX_QUERIES = 32


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    state = tmp_path_factory.mktemp("busy")
    write_live(state / "releases", make_release(state / "releases").id)
    with service(state, serving_workers=1, max_waiting=MAX_WAITING) as started:
        yield started


@pytest.fixture(autouse=True)
def _no_traceback(running):
    yield
    assert not traceback_in(running.log)


def request(queries=1, path="/api/v1.0/predictions", headers=""):
    query = {"image": picture_text(1)}
    body = json.dumps({"jsonData": {"queries": [query] * queries}})
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body.encode()


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def answer(sock):
    """One answer: its status, headers and JSON."""
    response = HTTPResponse(sock)
    response.begin()
    return response.status, response.headers, json.loads(response.read())


def test_a_connection_is_kept_for_the_next_request(running):
    connection = HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.connect()
    ours = connection.sock
    for _ in range(3):
        connection.request("GET", "/health/status")
        assert connection.getresponse().read()
        assert connection.sock is ours
    connection.close()


def test_requests_that_come_together_are_answered_in_their_order(running):
    with connected(running.port) as sock:
        sock.sendall(request(queries=2) + request(queries=3))
        stream = sock.makefile("rb")
        for queries in (2, 3):
            length = 0
            while line := stream.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = json.loads(stream.read(length))
            assert len(body["jsonData"]["answers"]) == queries


def test_a_client_that_asks_first_is_told_to_go_on(running):
    head, _, body = request(headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with connected(running.port) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert answer(sock)[0] == 200


def test_slow_clients_hold_nobody_up(running):
    whole = request()
    with ExitStack() as slow:
        for place in range(60):
            sock = slow.enter_context(connected(running.port))
            sock.sendall(whole[: place * len(whole) // 60])
        started = time.monotonic()
        for _ in range(10):
            assert running.ask(product_id=IDS[0]).status_code == 200
        assert time.monotonic() - started < 2
        sock.sendall(whole[59 * len(whole) // 60 :])  # the last of them, and at last
        assert answer(sock)[0] == 200


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"HELLO\r\n\r\n", "HELLO"),
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", "no header"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n", "CONTENT-LENGTH"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "CONTENT-LENGTH"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n", "headers"),
        (b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 100_000, "do not end"),
    ],
)
def test_what_is_no_http_is_told_so(running, head, says):
    with connected(running.port) as sock:
        sock.sendall(head)
        status, _, body = answer(sock)
        assert (status, body["status"]["code"]) == (400, 400)
        assert says in body["status"]["info"]


def test_a_flood_is_answered_in_part_the_rest_told_to_come_again_and_then_all_is_well(running):
    with ExitStack() as flood:
        sockets = [flood.enter_context(connected(running.port)) for _ in range(60)]
        for sock in sockets:
            sock.sendall(request(queries=MAX_QUERIES))
        assert running.get("/health/status").status_code == 200
        answers = [answer(sock) for sock in sockets]
    refused = [(headers, body) for status, headers, body in answers if status == 503]
    answered = [body for status, _, body in answers if status == 200]
    assert len(refused) + len(answered) == 60
    assert len(answered) >= MAX_WAITING
    assert len(refused) >= MAX_WAITING
    for headers, body in refused:
        assert headers["Retry-After"] == "1"
        assert (body["status"]["code"], body["status"]["reason"]) == (503, "BUSY")
    assert all(len(body["jsonData"]["answers"]) == MAX_QUERIES for body in answered)
    for _ in range(10):
        assert running.ask(product_id=IDS[0]).status_code == 200


def test_the_client_that_was_told_so_comes_again(running):
    with ExitStack() as flood, Recommender(running.predictions_url) as recommender:
        for _ in range(40):
            sock = flood.enter_context(connected(running.port))
            sock.sendall(request(queries=MAX_QUERIES))
        assert recommender.similar(product_id=IDS[0]).products


def test_told_to_end_it_answers_what_was_asked_and_says_that_it_was_the_last_time(tmp_path):
    write_live(tmp_path / "releases", make_release(tmp_path / "releases").id)
    with service(tmp_path) as running, ExitStack() as clients:
        sockets = [clients.enter_context(connected(running.port)) for _ in range(12)]
        for sock in sockets[:10]:
            sock.sendall(request(queries=8))
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        sockets[10].sendall(request())
        answers = [answer(sock) for sock in sockets[:11]]
        assert [status for status, _, _ in answers] == [200] * 11
        assert answers[10][1]["Connection"] == "close"
        assert sockets[11].recv(1) == b""
        assert running.process.wait(timeout=15) == 0
        assert not traceback_in(running.log)
