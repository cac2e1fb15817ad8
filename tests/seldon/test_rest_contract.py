"""The REST contract, asked of a real Seldon microservice process."""

import base64
import http.client
import json
import statistics
import time

import psutil
import pytest
from jsonschema import Draft202012Validator

from recsys.artifacts.live import living_workers, write_live
from recsys.client import Question, Recommender
from recsys.errors import ProductUnknown, QueryRejected
from serving_release import (
    IDS,
    make_release,
    picture_text,
    pictures,
    png,
    service,
    traceback_in,
)

MAX_IMAGE_BYTES = 10_000


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    state = tmp_path_factory.mktemp("contract")
    release = make_release(state / "releases")
    write_live(state / "releases", release.id)
    with service(
        state, max_image_bytes=MAX_IMAGE_BYTES, max_image_pixels=10_000, max_queries=4
    ) as started:
        yield started


@pytest.fixture(scope="module")
def release(running):
    return make_release(running.releases_dir)


@pytest.fixture(autouse=True)
def _workers_survive(request):
    running = request.getfixturevalue("running")
    before = {worker.pid for worker in living_workers(running.serving_dir)}
    yield
    assert {worker.pid for worker in living_workers(running.serving_dir)} == before
    assert not traceback_in(running.log)


def ids(data):
    return [result["product_id"] for result in data["results"]]


def test_a_product_gets_its_neighbours_and_the_answer_says_where_from(running, release):
    response = running.ask(product_id=IDS[0], k=5, where={"gender": "Women"})
    body = response.json()
    assert response.status_code == 200
    assert body["jsonData"]["release"] == release.id
    assert body["meta"]["tags"] == {
        "release": release.id,
        "model_version": release.model_version,
        "index_version": release.index_version,
        "catalog_commit": release.inputs["catalog"],
    }
    results = body["jsonData"]["results"]
    assert len(results) == 5
    assert set(results[0]) == {"product_id", "score", "name", "attributes", "part"}
    assert (results[0]["part"], body["jsonData"]["changes"]) == ("release", 0)
    assert all(result["attributes"]["gender"] == "Women" for result in results)
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)


def test_the_query_product_is_never_in_its_own_results(running):
    for product_id in IDS[:8]:
        data = running.ask(product_id=product_id, k=100).json()["jsonData"]
        assert len(data["results"]) == len(IDS) - 1
        assert product_id not in ids(data)
        assert data["underfilled"] is True


def test_an_image_may_come_by_jsondata_bindata_or_as_a_form_file(running):
    text = picture_text(4)
    by_json = running.ask(image=text).json()["jsonData"]
    by_bin = running.post(json={"binData": text}).json()["jsonData"]
    by_file = running.post(files={"binData": ("x.png", png(pictures()[4]))}).json()["jsonData"]
    assert by_json == by_bin == by_file
    assert ids(by_json)[0] == IDS[4]
    assert len(by_json["results"]) == 10


def test_several_queries_are_answered_in_order_by_one_release(running, release):
    queries = [{"product_id": IDS[1], "k": 1}, {"image": picture_text(2), "k": 2}]
    response = running.post(json={"jsonData": {"queries": queries}})
    answers = response.json()["jsonData"]["answers"]
    assert [len(answer["results"]) for answer in answers] == [1, 2]
    assert ids(answers[1])[0] == IDS[2]
    assert {answer["release"] for answer in answers} == {release.id}


def test_products_to_avoid_and_lists_of_products_are_kept_to(running):
    options = {"where": {"articleType": {"not": ["Shoes"]}, "in_stock": True}, "k": 100}
    data = running.ask(product_id=IDS[0], exclude=[IDS[2]], **options).json()["jsonData"]
    expected = [product for row, product in enumerate(IDS) if row % 3 != 1 and row not in (0, 2)]
    assert sorted(ids(data)) == expected
    assert data["underfilled"] is True
    data = running.ask(product_id=IDS[0], only=[IDS[0], IDS[3], "gone"]).json()["jsonData"]
    assert ids(data) == [IDS[3]]
    assert data["unknown_products"] == ["gone"]


def test_a_boost_lifts_products_and_says_what_they_were_ranked_by(running):
    lifted = {"articleType": {"Watches": 1}}
    plain = running.ask(product_id=IDS[0], k=40).json()["jsonData"]["results"]
    results = running.ask(product_id=IDS[0], k=40, boost=lifted).json()["jsonData"]["results"]
    scores = {result["product_id"]: result["score"] for result in plain}
    for result in results:
        watch = result["attributes"]["articleType"] == "Watches"
        assert result["score"] == scores.get(result["product_id"], result["score"])
        assert ("rank_score" in result) is watch
    ranked_by = [result.get("rank_score", result["score"]) for result in results]
    assert ranked_by == sorted(ranked_by, reverse=True)


def test_an_answer_is_explained_where_that_is_asked_for(running):
    with Recommender(running.predictions_url) as recommender:
        by_id = recommender.similar(product_id=IDS[0], k=4, diversity=0.2, explain=True)
        by_picture = recommender.similar(image=png(pictures()[4]), explain=True)
        plain = recommender.similar(product_id=IDS[0])
    for product in by_id.products:
        why = product.explanation
        parts = why.cosine + why.boost + why.diversity
        assert parts == pytest.approx(product.rank_score, abs=3e-6)
        assert why.shared_attributes.get("gender", "Women") == product.attributes["gender"]
        assert (why.same_picture, why.picture_products) == (False, 1)
    why = by_picture.products[0].explanation
    assert (why.cosine, why.boost, why.diversity) == (by_picture.products[0].score, 0, 0)
    assert (why.likeness, why.same_picture, why.shared_attributes) == (None, None, {})
    assert {product.explanation for product in plain.products} == {None}


def test_a_threshold_and_diversity_are_kept_to(running):
    results = running.ask(product_id=IDS[0], k=100, min_score=0.5).json()["jsonData"]["results"]
    assert all(result["score"] >= 0.5 for result in results)
    diverse = running.ask(product_id=IDS[0], k=8, diversity=0.5).json()["jsonData"]["results"]
    assert len({result["product_id"] for result in diverse}) == 8
    ranked_by = [result["rank_score"] for result in diverse]
    assert ranked_by == sorted(ranked_by, reverse=True)


def test_a_puid_is_kept_or_made(running):
    def puid(meta):
        message = {"jsonData": {"product_id": IDS[0]}, "meta": meta}
        return running.post(json=message).json()["meta"]["puid"]

    assert puid({"puid": "mine"}) == "mine"
    assert puid({}) != puid({})


BAD = [
    ({"product_id": "99"}, 404, "'99' is not among the 48 products"),
    ({"product_id": IDS[0], "k": 101}, 400, "k must be a whole number from 1 to 100, not 101"),
    ({"product_id": IDS[0], "k": True}, 400, "not True"),
    ({"product_id": IDS[0], "where": {"size": "L"}}, 400, "allowed: gender, articleType"),
    ({"product_id": IDS[0], "where": {"gender": "x"}}, 400, "allowed: Men, Women"),
    (
        {"product_id": IDS[0], "where": {"gender": {"not": ["x"]}}},
        400,
        "gender has no value 'x'; allowed: Men, Women",
    ),
    (
        {"product_id": IDS[0], "where": {"gender": {"from": 1}}},
        400,
        "from and to work on: no field of this release",
    ),
    ({"product_id": IDS[0], "only": ["1"] * 1_001}, 400, "only must be a list of 1 to 1000"),
    ({"product_id": IDS[0], "boost": {"size": {"L": 1}}}, 400, "boost: unknown field 'size'"),
    ({"product_id": IDS[0], "diversity": 1}, 400, "diversity must be a number from 0 to 0.95"),
    ({"product_id": IDS[0], "colour": "x"}, 400, "unknown key 'colour'"),
    ({}, 400, "needs one of product_id and image"),
    ({"image": "not base64!"}, 400, "image is not base64"),
    ({"image": base64.b64encode(b"hello").decode()}, 400, "not a JPEG, PNG or WebP"),
    ({"image": base64.b64encode(png(pictures()[0])[:40]).decode()}, 400, "damaged or cut short"),
    ({"image": "A" * (4 * MAX_IMAGE_BYTES)}, 400, "larger than 10000 bytes"),
    ({"queries": [{"product_id": IDS[0]}] * 5}, 400, "a list of 1 to 4, not a list of 5"),
    ({"queries": [{"product_id": IDS[0]}, {"product_id": "99"}]}, 404, "queries[1]: product_id"),
]


@pytest.mark.parametrize(("query", "status_code", "says"), BAD)
def test_a_bad_query_is_told_so(running, query, status_code, says):
    check_error(running.ask(**query), status_code, says)


BODIES = [
    (b"", {}, "not JSON"),
    (b"{", {}, "not JSON"),
    (b"\xff\xfe", {}, "not JSON"),
    (b"[" * 50_000, {}, "not JSON"),
    (b"[]", {}, "the body must be an object, not a list"),
    (b"null", {}, "the body must be an object, not null"),
    (b'{"data": {"ndarray": [[1]]}}', {}, "unknown key 'data'"),
    (b'{"strData": "x"}', {}, "unknown key 'strData'"),
    (b'{"jsonData": null}', {}, "one of jsonData and binData"),
    (b'{"binData": 3}', {}, "binData must be an image file as base64 text"),
    (b'{"jsonData": {"product_id": "1"}, "meta": 3}', {}, "meta must be an object"),
    (b"\xff\xd8\xff picture", {"Content-Type": "image/jpeg"}, "not JSON"),
    (b"json={", {"Content-Type": "application/x-www-form-urlencoded"}, "not JSON"),
    (
        b'--b\r\nContent-Disposition: form-data; name="jsonData"\r\n\r\n{\r\n--b--\r\n',
        {"Content-Type": "multipart/form-data; boundary=b"},
        "not JSON",
    ),
    (
        b'--b\r\nContent-Disposition: form-data; name="strData"; filename="x"\r\n\r\n\xff\r\n--b--',
        {"Content-Type": "multipart/form-data; boundary=b"},
        "not JSON",
    ),
    (b"x", {"Content-Type": "multipart/form-data"}, ""),
]


@pytest.mark.parametrize(("body", "headers", "says"), BODIES)
def test_a_bad_body_is_told_so(running, body, headers, says):
    headers = {"Content-Type": "application/json", **headers}
    check_error(running.post(content=body, headers=headers), 400, says)


def check_error(response, status_code, says):
    status = response.json()["status"]
    assert response.status_code == status_code
    assert status["code"] == status_code
    assert status["status"] == 1
    assert says in status["info"]
    assert "Traceback" not in response.text


def test_a_body_that_is_too_large_is_told_so(running):
    content = b'{"jsonData": {"image": "' + b"A" * (2 << 20) + b'"}}'
    check_error(running.post(content=content), 400, "at most")
    check_error(running.post(content=iter([content])), 411, "Content-Length")


@pytest.mark.parametrize(
    ("method", "path", "status_code"),
    [
        ("GET", "/", 404),
        ("POST", "/", 404),
        ("GET", "/nowhere", 404),
        ("POST", "/nowhere", 404),
        ("POST", "/api/v1.0/feedback", 404),
        ("POST", "/aggregate", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/api/v1.0/predictions", 405),
        ("DELETE", "/api/v1.0/predictions", 405),
        ("BREW", "/api/v1.0/predictions", 405),
        ("POST", "/health/ping", 405),
    ],
)
def test_other_addresses_and_methods_are_told_so(running, method, path, status_code):
    # http.client sends the path as it is.
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.request(method, path, body=b"{}")
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert response.status == status_code
    assert body["status"]["code"] == status_code
    if status_code == 405:
        assert response.headers["Allow"] == ("GET" if "health" in path else "POST")


def test_predictions_may_be_asked_by_get_as_seldon_allows(running):
    query = json.dumps({"jsonData": {"product_id": IDS[0], "k": 1}})
    ok = running.get(f"/predict?json={query}")
    assert len(ok.json()["jsonData"]["results"]) == 1
    check_error(running.get("/predict?json={"), 400, "not JSON")


def test_health_names_the_release(running, release):
    assert running.get("/health/ping").text == "pong"
    assert running.get("/health/status").json()["strData"] == release.id


def test_metadata_tells_what_the_live_release_was_made_of(running, release):
    said = running.get("/metadata").json()
    assert said == running.get("/api/v1.0/metadata").json()
    assert (said["name"], said["versions"]) == ("recommender", [release.id])
    custom = said["custom"]
    assert custom["commit_catalog"] == release.inputs["catalog"]
    assert custom["commit_models"] == release.inputs["models"]
    assert (custom["model_version"], custom["index_version"]) == (
        release.model_version,
        release.index_version,
    )
    assert (custom["products"], custom["dimension"], custom["image_size"]) == ("48", "8", "6x8")
    assert (custom["limit_max_queries"], custom["changes"]) == ("4", "0")


def test_every_answer_is_as_the_document_it_gives_says(running):
    document = running.get("/openapi.json").json()
    answers = {
        "Prediction": [
            running.ask(product_id=IDS[0], explain=True, diversity=0.1, only=[*IDS[1:9], "gone"]),
            running.ask(image=picture_text(1), explain=True, k=100, boost={"gender": {"Men": 1}}),
            running.post(json={"jsonData": {"queries": [{"product_id": IDS[1]}] * 2}}),
        ],
        "Failure": [running.ask(), running.ask(product_id="99"), running.get("/nowhere")],
        "Health": [running.get("/health/status")],
        "Metadata": [running.get("/metadata")],
    }
    for name, responses in answers.items():
        schema = {
            "$ref": f"#/components/schemas/{name}",
            "components": document["components"],
        }
        for response in responses:
            Draft202012Validator(schema).validate(response.json())
    query = document["components"]["schemas"]["Query"]["properties"]
    assert query["image"]["maxLength"] == (MAX_IMAGE_BYTES + 2) // 3 * 4


def test_it_listens_on_the_loopback_address_with_no_process_but_its_workers(running):
    family = [psutil.Process(running.process.pid)]
    family += family[0].children(recursive=True)
    assert len(family) == 3
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in family
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", running.port)}


def test_every_prediction_is_logged_whatever_came_of_it(running, release):
    def lines():
        return [
            json.loads(line)
            for path in (running.serving_dir / "requests").glob("*.jsonl")
            for line in path.read_text().splitlines()
        ]

    before = len(lines())
    running.ask(product_id=IDS[0], k=3)
    running.ask(image=picture_text(1), where={"gender": "Men"})
    running.ask(product_id="99")
    running.post(content=b"{")
    new = sorted(lines(), key=lambda line: line["time"])[before:]
    assert [(line["kind"], line["status_code"], line["results"]) for line in new] == [
        ("id", 200, [3]),
        ("image", 200, [10]),
        ("id", 404, []),
        ("", 400, []),
    ]
    assert [line["filtered"] for line in new] == [False, True, False, False]
    assert [line["release"] for line in new[:2]] == [release.id] * 2
    assert [len(answer) for answer in new[0]["answers"]] == [3]
    assert all(0 < line["milliseconds"] < 5000 for line in new)


@pytest.mark.parametrize("query", [{"product_id": IDS[0]}, {"image": picture_text(1)}])
def test_half_the_answers_take_milliseconds(running, query):
    taken = []
    for _ in range(60):
        started = time.perf_counter()
        assert running.ask(**query).status_code == 200
        taken.append(time.perf_counter() - started)
    assert statistics.median(taken) < 0.1  # 3 ms on a quiet machine


def test_the_client_reads_what_the_service_says(running, release):
    with Recommender(running.predictions_url) as recommender:
        found = recommender.similar(product_id=IDS[0], k=3, where={"gender": "Women"})
        several = recommender.answer([Question(product_id=IDS[0]), Question(product_id=IDS[1])])
        with pytest.raises(ProductUnknown, match="nobody"):
            recommender.similar(product_id="nobody")
        with pytest.raises(QueryRejected, match="k must be"):
            recommender.similar(product_id=IDS[0], k=0)
    assert found.release == release.id
    assert len(found.products) == 3
    assert all(product.attributes["gender"] == "Women" for product in found.products)
    assert [len(item.products) for item in several] == [10, 10]
