"""What goes the short way, past Flask, is answered as by Seldon's own route."""

import json

import pytest

from recsys.artifacts.live import write_live
from serving_release import IDS, make_release, picture_text, service, traceback_in

TOKEN = "of-a-test-0123456789"
MESSAGES = [
    {"jsonData": {"product_id": IDS[0], "k": 3}},
    {"jsonData": {"image": picture_text(1), "explain": True}},
    {"binData": picture_text(2)},
    {"jsonData": {"queries": [{"product_id": IDS[1]}, {"image": picture_text(2)}]}},
    {"jsonData": {"product_id": "99"}},
    {"jsonData": {"product_id": IDS[0], "k": 0}},
    {"jsonData": {"image": "!"}},
    {"data": {"ndarray": [[1]]}},
    [],
    None,
]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    state = tmp_path_factory.mktemp("short")
    write_live(state / "releases", make_release(state / "releases").id)
    token = state / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with service(state, serving_workers=1, serving_token_file=token) as started:
        yield started
    assert not traceback_in(started.log)


def answers(running, content, path="/api/v1.0/predictions", token=TOKEN):
    """The short way's answer and the long way's: another content type is Flask's affair."""
    for kind in ("application/json", "text/plain"):
        headers = {"Content-Type": kind, "Authorization": f"Bearer {token}"}
        response = running.client.post(running.url + path, content=content, headers=headers)
        told = {name: value for name, value in response.headers.items() if name != "date"}
        yield response.status_code, told, response.json()


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("path", ["/api/v1.0/predictions", "/predict"])
def test_both_ways_say_the_same(running, message, path):
    if isinstance(message, dict):
        message = {**message, "meta": {"puid": "same"}}
    short, long = answers(running, json.dumps(message), path)
    assert short == long


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 9_000])
def test_both_ways_refuse_what_is_no_json_alike(running, content):
    short, long = answers(running, content)
    assert short == long
    assert short[0] == 400


def test_neither_way_lets_in_who_has_not_the_token(running):
    short, long = answers(running, json.dumps(MESSAGES[0]), token="wrong")
    assert short == long
    assert short[0] == 401
