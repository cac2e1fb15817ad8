"""A service with a token, asked with and without it."""

import re
import socket
import subprocess

import httpx
import psutil
import pytest

from recsys.artifacts.live import write_live
from recsys.changes import Spool
from recsys.client import Recommender
from recsys.deploy import local_seldon
from recsys.deploy.probing import token_headers
from recsys.errors import OutsideFailed
from recsys.settings import load_settings
from recsys.trial.asking import Question, ask_both
from serving_release import IDS, make_release, picture_text, service, traceback_in

TOKEN = "shop-4711-do-not-tell-anyone"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    state = tmp_path_factory.mktemp("token")
    write_live(state / "releases", make_release(state / "releases").id)
    token_file = state / "token"
    token_file.write_text(f"{TOKEN}\n")
    with service(state, serving_token_file=token_file) as started:
        yield started


def get(running, path, **headers):
    return httpx.get(running.url + path, headers=headers, trust_env=False)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/health/ping", 200),
        ("/health/status", 200),
        ("/openapi.json", 200),
        ("/metadata", 401),
        ("/api/v1.0/metadata", 401),
        ("/predict?json={}", 401),
        ("/nowhere", 404),
    ],
)
def test_health_is_open_and_what_the_shop_has_is_not(running, path, code):
    assert get(running, path).status_code == code


def test_who_sends_no_token_is_told_how(running):
    response = running.ask(product_id=IDS[0])
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    status = response.json()["status"]
    assert (status["code"], status["status"], status["reason"]) == (401, 1, "UNAUTHORIZED")
    assert TOKEN not in response.text
    with Recommender(running.predictions_url) as recommender, pytest.raises(OutsideFailed):
        recommender.similar(product_id=IDS[0])


def test_the_client_and_a_deployment_send_it(running, monkeypatch):
    with Recommender(running.predictions_url, token=TOKEN) as recommender:
        assert len(recommender.similar(product_id=IDS[0], k=3).products) == 3
    monkeypatch.setenv("RECSYS_SERVING_TOKEN", TOKEN)
    settings = load_settings(state_dir=running.state_dir, seldon_port=running.port)
    release = get(running, "/health/status").json()["strData"]
    (row,) = local_seldon(settings).probe([IDS[0]], release)
    assert (row["status_code"], row["release_matches"]) == (200, True)
    assert local_seldon(settings).deploy(release).release == release
    assert Spool(settings.changes_dir).last() == 0


def test_a_candidate_that_is_tried_is_asked_with_it(running):
    question = Question({"product_id": IDS[0]}, "recent", IDS[0])
    headers = token_headers(load_settings(serving_token=TOKEN))
    pair, *_ = ask_both([question], running.predictions_url, None, headers)
    assert pair.candidate.status_code == 200


def test_the_document_says_that_a_token_is_needed(running):
    assert {} not in get(running, "/openapi.json").json()["security"]


def test_it_is_asked_for_before_the_body_is_sent(running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        head = "POST /api/v1.0/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 401")


def test_a_large_picture_without_a_token_is_told_401_and_not_cut_off(running):
    message = {"jsonData": {"image": picture_text(0) + "A" * 3_000_000}}
    assert running.post(json=message).status_code == 401


def test_the_token_is_in_no_log_and_no_list_of_processes(running):
    running.ask(product_id=IDS[0])
    for process in [psutil.Process(running.process.pid), *psutil.Process().children()]:
        assert TOKEN not in " ".join(process.cmdline())
    assert TOKEN not in running.log.read_text()
    found = subprocess.run(
        ["grep", "-rlF", TOKEN, str(running.state_dir)], capture_output=True, text=True, check=False
    )
    assert re.sub(r"\S*/token\n", "", found.stdout) == ""
    assert not traceback_in(running.log)
