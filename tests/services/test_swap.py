"""Two microservices behind a real HAProxy: one takes over from the other, or does not."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest

from recsys.artifacts.live import living_workers, read_live, write_live
from recsys.deploy import local_seldon
from recsys.errors import PortTaken, ServiceUnavailable, SettingsInvalid
from recsys.services import definitions, front, start_serving, status, stop_all, swap
from recsys.services.control import start_services
from recsys.services.definitions import coloured
from recsys.settings import Settings, load_settings
from services.stand_ins import marked
from serving_release import IDS, damage, free_port, make_release


def settings_at(state_dir: Path, **others: object) -> Settings:
    ports = {f"{name}_port": free_port() for name in ("seldon", "seldon_blue", "seldon_green")}
    given = {"serving_front": "haproxy", "serving_workers": 2, "start_timeout_seconds": 30}
    return load_settings(state_dir=state_dir, **{**given, **ports, **others})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    if not Path(front.haproxy()).is_file():
        pytest.skip("HAProxy is not on this machine")
    found = settings_at(tmp_path_factory.mktemp("swap"))
    release = make_release(found.releases_dir)
    write_live(found.releases_dir, release.id)
    try:
        start_serving(found)
        yield found
    finally:
        stop_all(found)
        assert marked(found) == []


class Load:
    """Clients that ask without a pause; some keep their connection."""

    def __init__(self, settings: Settings, clients: int = 4) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = settings.predictions_url
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, keep_alive: bool) -> None:
        headers = {} if keep_alive else {"Connection": "close"}
        with httpx.Client(timeout=30, trust_env=False, headers=headers) as client:
            while not self._stop.is_set():
                self.outcomes[one_answer(client, self._url)] += 1


def one_answer(client: httpx.Client, url: str) -> str:
    try:
        return str(client.post(url, json={"jsonData": {"product_id": IDS[3]}}).status_code)
    except httpx.HTTPError as error:
        return repr(error)


def states(settings: Settings) -> dict[str, bool]:
    return {state.name: state.healthy for state in status(settings)}


def serves(settings: Settings) -> front.Colour:
    colour = front.serving_colour(settings)
    assert states(settings) == {
        **dict.fromkeys(states(settings), False),
        f"seldon-{colour}": True,
        "haproxy": True,
        "keeper": True,
    }
    return colour


def workers(settings: Settings) -> set[int]:
    return {worker.pid for worker in living_workers(settings.serving_dir)}


def test_a_swap_under_load_fails_no_request_and_starts_everything_anew(settings: Settings) -> None:
    before, old = serves(settings), workers(settings)
    with Load(settings) as load:
        done = swap(settings)
    assert done.before == before
    assert serves(settings) == done.colour == front.other(before)
    assert len(workers(settings)) == 2
    assert not workers(settings) & old
    assert set(load.outcomes) == {"200"}
    assert load.outcomes.total() > 20


def test_code_that_does_not_start_leaves_the_old_one_serving(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serving = serves(settings)
    broken = tmp_path / "serve.py"
    broken.write_text("raise SystemExit('a name was misspelled')")
    monkeypatch.setattr(definitions, "SERVE", broken)
    says = rf"(?s){serving} goes on serving: .* ended while starting.*misspelled"
    with Load(settings, clients=2) as load, pytest.raises(ServiceUnavailable, match=says):
        swap(settings)
    assert serves(settings) == serving
    assert set(load.outcomes) == {"200"}


def test_one_that_cannot_open_the_live_release_leaves_the_old_one_serving(
    settings: Settings,
) -> None:
    serving, live = serves(settings), read_live(settings.releases_dir)
    assert live is not None
    hasty = settings.model_copy(update={"start_timeout_seconds": 3})
    damage(settings.releases_dir / live)
    with Load(settings, clients=2) as load, pytest.raises(ServiceUnavailable, match="is not ready"):
        swap(hasty)
    damage(settings.releases_dir / live)  # and back
    assert serves(settings) == serving
    assert set(load.outcomes) == {"200"}


def test_one_whose_port_is_taken_leaves_the_old_one_serving(settings: Settings) -> None:
    serving = serves(settings)
    port = front.port_of(settings, front.other(serving))
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken, match=str(port)):
        swap(settings)
    assert serves(settings) == serving


def test_a_release_goes_live_behind_the_front_as_without(settings: Settings) -> None:
    new = make_release(settings.releases_dir, seed=1)
    with Load(settings, clients=2) as load:
        deployment = local_seldon(settings).deploy(new.id)
    assert deployment.changed
    assert deployment.workers == 2
    assert set(load.outcomes) == {"200"}


def test_a_worker_killed_in_the_middle_costs_no_request(settings: Settings) -> None:
    with Load(settings) as load:
        for _ in range(2):
            time.sleep(0.3)
            os.kill(min(workers(settings)), signal.SIGKILL)
        time.sleep(0.5)
    assert set(load.outcomes) == {"200"}


def test_a_killed_front_comes_back_with_the_colour_that_serves(settings: Settings) -> None:
    colour = serves(settings)
    (before,) = [state.pid for state in status(settings) if state.name == "haproxy"]
    assert before is not None
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while not (states(settings)["haproxy"] and states(settings)[f"seldon-{colour}"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with httpx.Client(trust_env=False) as client:
        assert one_answer(client, settings.predictions_url) == "200"
    assert serves(settings) == colour


def test_a_swap_that_was_cut_short_is_settled_by_the_next_start(settings: Settings) -> None:
    colour = serves(settings)
    other = front.other(colour)
    start_services(settings, [coloured(settings, other)])
    front.let_serve(settings, other)
    assert len(workers(settings)) == 4
    with Load(settings, clients=2) as load:
        start_serving(settings)
    assert serves(settings) == colour
    assert len(workers(settings)) == 2
    assert set(load.outcomes) == {"200"}


def test_down_under_load_answers_what_was_asked(settings: Settings) -> None:
    assert outcomes_of_down(settings) == {"200"}


def test_down_under_load_without_a_front_does_so_too(tmp_path: Path) -> None:
    settings = settings_at(tmp_path, serving_front="none")
    write_live(settings.releases_dir, make_release(settings.releases_dir).id)
    start_serving(settings)
    assert outcomes_of_down(settings) == {"200"}


def outcomes_of_down(settings: Settings) -> set[str]:
    """What clients got while all was stopped, but for being told that nobody listens."""
    with Load(settings) as load:
        time.sleep(0.5)
        stop_all(settings)
        assert marked(settings) == []
    return {name for name in load.outcomes if not name.startswith("ConnectError")}


def test_without_haproxy_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    with pytest.raises(SettingsInvalid, match="apt-get install haproxy"):
        start_serving(settings_at(tmp_path))


def test_without_a_front_there_is_nothing_to_swap_behind(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="RECSYS_SERVING_FRONT=haproxy"):
        swap(settings_at(tmp_path, serving_front="none"))
