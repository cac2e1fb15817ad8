"""Another code or environment into service: a second microservice beside the first, and over.

A release needs none of this, since it changes in process. Requests go to the new one only once
it has answered with the live release; the old one ends when it has answered all that it took.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from recsys.errors import ServiceUnavailable, SettingsInvalid
from recsys.services import front
from recsys.services.control import (
    OnProgress,
    Progress,
    ignore,
    is_running,
    launch_one,
    only_one,
    stop,
    with_log,
)
from recsys.services.definitions import Service, coloured
from recsys.settings import Settings

_POLL_SECONDS = 0.1
_DRAIN_SECONDS = 30.0


@dataclass(frozen=True)
class Swap:
    """What serves now, what served before, and how long each part took."""

    colour: front.Colour
    before: front.Colour
    start_seconds: float
    drain_seconds: float


def swap(settings: Settings, on_progress: OnProgress = ignore) -> Swap:
    """Start the other colour with the code and settings of now, and let it take over.

    Raises
    ------
    SettingsInvalid
        There is no front to swap behind.
    ServiceUnavailable
        Nothing serves yet, or the new one did not come up; the old one goes on serving.
    PortTaken
        Another process has the new one's port; the old one goes on serving.
    """
    if settings.serving_front == "none":
        raise SettingsInvalid(
            "a swap needs HAProxy before the service: set RECSYS_SERVING_FRONT=haproxy and run"
            " `recsys up`; without it `recsys down` and `up` bring the new code, with a pause"
        )
    with only_one(settings):
        before = front.serving_colour(settings)
        new = front.other(before)
        if not is_running(settings, coloured(settings, before)):
            raise ServiceUnavailable(
                f"no {before} microservice runs to take over from: `recsys up`"
            )
        begun = time.monotonic()
        _clear(settings, new, on_progress)
        _start(settings, coloured(settings, new), before, on_progress)
        started = time.monotonic()
        front.note_serving(settings, new)
        _settle(settings, on_progress)
        return Swap(new, before, started - begun, time.monotonic() - started)


def settle(settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Let the colour that is to serve do so, alone; also after a swap that was cut short."""
    with only_one(settings):
        _settle(settings, on_progress)


def _settle(settings: Settings, on_progress: OnProgress) -> None:
    serving = front.serving_colour(settings)
    old = front.other(serving)
    front.let_serve(settings, serving)
    deadline = time.monotonic() + _DRAIN_SECONDS
    while not front.is_up(settings, serving):
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"HAProxy does not find {serving} well; see its log")
        time.sleep(_POLL_SECONDS)
    _clear(settings, old, on_progress)


def _clear(settings: Settings, colour: front.Colour, on_progress: OnProgress) -> None:
    """Drain a colour and end it; one that does not end its requests in time is ended too."""
    front.drain(settings, colour)
    deadline = time.monotonic() + _DRAIN_SECONDS
    while front.requests_at(settings, colour) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    front.leave_alone(settings, colour)
    stop(settings, [coloured(settings, colour)], on_progress)


def _start(
    settings: Settings, service: Service, before: front.Colour, on_progress: OnProgress
) -> None:
    """Start it and wait until it is ready; end it when it does not get so."""
    begun = time.monotonic()
    on_progress(Progress(service.name, "starting", 0))
    try:
        record = launch_one(settings, service)
        while not (service.is_started(record.created) and service.healthy(record.created)):
            if record.process() is None:
                raise ServiceUnavailable(with_log(f"{service.name} ended while starting", service))
            if time.monotonic() - begun > settings.start_timeout_seconds:
                late = f"{service.name} is not ready after {settings.start_timeout_seconds:g} s"
                raise ServiceUnavailable(with_log(late, service))
            time.sleep(_POLL_SECONDS)
    except BaseException as error:
        stop(settings, [service], on_progress)
        if isinstance(error, ServiceUnavailable):
            raise ServiceUnavailable(f"{before} goes on serving: {error}") from error
        raise
    on_progress(Progress(service.name, "healthy", time.monotonic() - begun))
