"""Starting and stopping, with a release and without, under our launcher and the stock one."""

import json
import signal

import psutil

from recsys.artifacts.live import living_workers, write_live
from serving_release import (
    IDS,
    SERVE,
    SERVING_PYTHON,
    free_port,
    make_release,
    picture_text,
    service,
    traceback_in,
)


def test_before_the_first_night_it_is_up_but_not_ready_and_then_it_answers(tmp_path):
    with service(tmp_path, serving_workers=1) as running:
        assert running.get("/health/ping").status_code == 200
        assert running.get("/health/status").status_code == 503
        assert running.get("/metadata").json()["versions"] == []
        asked = running.ask(product_id=IDS[0])
        assert asked.status_code == 503
        assert "no release is live" in asked.json()["status"]["info"]
        release = make_release(running.releases_dir)
        write_live(running.releases_dir, release.id)
        while not living_workers(running.serving_dir)[0].release:
            assert running.process.poll() is None
        assert running.get("/health/status").status_code == 200
        assert running.get("/metadata").json()["versions"] == [release.id]
        assert running.ask(product_id=IDS[0]).status_code == 200

        (worker,) = living_workers(running.serving_dir)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=15) == 0
        assert not psutil.pid_exists(worker.pid)
        assert list((running.serving_dir / "workers").iterdir()) == []
        assert not traceback_in(running.log)


def test_the_stock_wrapper_runs_the_component_too(tmp_path):
    make = make_release(tmp_path / "releases")
    write_live(tmp_path / "releases", make.id)
    command = [
        str(SERVING_PYTHON.with_name("seldon-core-microservice")),
        "Recommender",
        "--service-type",
        "MODEL",
        "--grpc-workers",
        "0",
        "--metrics-port",
        str(free_port()),
    ]
    with service(tmp_path, command=command, serving_workers=1) as running:
        answer = running.ask(product_id=IDS[0], k=2).json()
        assert answer["meta"]["tags"]["release"] == make.id
        assert len(answer["jsonData"]["results"]) == 2
        assert running.ask(image=picture_text(1)).status_code == 200
        assert running.ask(product_id="99").status_code == 404
        assert running.ask(image="!").status_code == 400
        assert running.post(content=b"{").status_code == 400
        assert running.post(content=b"[" * 50_000).status_code == 400
        assert running.get("/nowhere").status_code == 404
        assert running.get("/api/v1.0/predictions").status_code == 405
        assert running.get("/health/status").json()["strData"] == make.id
        assert running.get("/metadata").json()["versions"] == [make.id]
        # Written with: curl -s …/openapi.json | python -m json.tool --sort-keys
        by_default = json.loads((SERVE.parent / "openapi.json").read_bytes())
        assert running.get("/openapi.json").json() == by_default
        assert not traceback_in(running.log)
