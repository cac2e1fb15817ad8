"""What the client does when the service is busy, away, or wrong; over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from recsys.client import Question, Recommender
from recsys.errors import OutsideFailed, ProductUnknown, QueryRejected, ServiceUnavailable

RESULT = {
    "product_id": "7",
    "score": 0.5,
    "name": "Shirt",
    "attributes": {"gender": "Men"},
    "part": "tail",
}
ANSWER = {"results": [RESULT], "release": "r-0", "changes": 4, "underfilled": True}
FOUND = {"jsonData": ANSWER, "meta": {"puid": "p"}}
SEVERAL = {"jsonData": {"answers": [ANSWER, ANSWER]}, "meta": {"puid": "p"}}


def status(info: str) -> dict[str, Any]:
    return {"status": {"status": "FAILURE", "reason": "BAD_QUERY", "info": info}}


class Service:
    """Gives one prepared reply after another; keeps what it was asked."""

    def __init__(self, *replies: tuple[int, Any, dict[str, str]]) -> None:
        self.replies = list(replies)
        self.asked: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.asked.append(json.loads(body))
        self.headers.append(dict(handler.headers))
        code, reply, headers = self.replies.pop(0)
        content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        handler.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)


@contextmanager
def serving(*replies: tuple[int, Any, dict[str, str]]) -> Iterator[Service]:
    service = Service(*replies)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            service.answer(self)

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}/api/v1.0/predictions"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def recommender(service: Service, **options: Any) -> Recommender:
    return Recommender(service.url, longest_pause_seconds=0.05, **options)


def test_an_answer_is_read_into_products() -> None:
    with serving((200, FOUND, {})) as service, recommender(service) as client:
        found = client.similar(product_id="1", k=3, where={"gender": "Men"})
    assert service.asked == [{"jsonData": {"product_id": "1", "k": 3, "where": {"gender": "Men"}}}]
    (product,) = found.products
    assert (product.product_id, product.score, product.rank_score) == ("7", 0.5, 0.5)
    assert product.part == "tail"
    assert (found.underfilled, found.release, found.changes, found.puid) == (True, "r-0", 4, "p")


def test_several_questions_are_one_request() -> None:
    with serving((200, SEVERAL, {})) as service, recommender(service) as client:
        found = client.answer([Question(product_id="1"), Question(image=b"\x00", collapse=False)])
    assert len(found) == 2
    assert service.asked == [
        {"jsonData": {"queries": [{"product_id": "1"}, {"image": "AA==", "collapse": False}]}}
    ]


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_a_busy_service_is_asked_again(code: int) -> None:
    busy = (code, status("busy"), {"Retry-After": "0"})
    with serving(busy, busy, (200, FOUND, {})) as service, recommender(service) as client:
        assert client.similar(product_id="1").release == "r-0"
    assert len(service.asked) == 3


def test_a_service_that_stays_busy_is_said_so_with_its_words() -> None:
    busy = (503, status("no release is live"), {})
    with (
        serving(busy, busy) as service,
        recommender(service, attempts=2) as client,
        pytest.raises(ServiceUnavailable, match="no release is live"),
    ):
        client.similar(product_id="1")


@pytest.mark.parametrize(("code", "expected"), [(400, QueryRejected), (404, ProductUnknown)])
def test_a_refused_question_is_not_asked_again(code: int, expected: type[Exception]) -> None:
    with serving((code, status("k must be …"), {})) as service, recommender(service) as client:
        with pytest.raises(expected, match="k must be …"):
            client.similar(product_id="1")
        assert len(service.asked) == 1


@pytest.mark.parametrize("code", [404, 500])
def test_an_error_of_something_before_the_service_is_no_word_on_the_question(code: int) -> None:
    with (
        serving((code, b"<html>nginx</html>", {})) as service,
        recommender(service) as client,
        pytest.raises(OutsideFailed, match=f"answered {code}: <html>nginx"),
    ):
        client.similar(product_id="1")


@pytest.mark.parametrize("reply", [b"<html>", {"jsonData": {"results": [{}]}, "meta": {}}, []])
def test_an_answer_of_another_form_is_an_error_of_ours(reply: Any) -> None:
    with (
        serving((200, reply, {})) as service,
        recommender(service) as client,
        pytest.raises(OutsideFailed),
    ):
        client.similar(product_id="1")


def test_where_nobody_listens_the_error_says_what_to_do() -> None:
    with serving() as service:
        pass
    with (
        recommender(service, attempts=2) as client,
        pytest.raises(ServiceUnavailable, match="make up"),
    ):
        client.similar(product_id="1")


def test_a_token_is_sent_where_there_is_one() -> None:
    with serving((200, FOUND, {})) as service, recommender(service, token="t") as client:
        client.similar(product_id="1")
    assert service.headers[0]["Authorization"] == "Bearer t"
