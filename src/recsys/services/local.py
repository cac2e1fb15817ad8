"""All local services together: what `recsys up`, `down` and `status` are about."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.services import front
from recsys.services.control import (
    OnProgress,
    ServiceStatus,
    ignore,
    is_running,
    service_status,
    start_services,
    stop_services,
)
from recsys.services.definitions import (
    Service,
    coloured,
    front_service,
    known_services,
    local_services,
    serving_services,
)
from recsys.services.swap import settle
from recsys.settings import Settings


def start_all(settings: Settings, on_progress: OnProgress = ignore) -> list[ServiceStatus]:
    """Start every local service that is not running and wait until all are healthy.

    What other settings left running is stopped first.

    Raises
    ------
    PortTaken
        Before anything is started.
    SettingsInvalid
        HAProxy is asked for, and is not on this machine.
    ServiceUnavailable
        A service ended or was not healthy in time; ends with the last lines of its log.
    """
    return _start(settings, local_services(settings), on_progress)


def start_serving(settings: Settings, on_progress: OnProgress = ignore) -> list[ServiceStatus]:
    """As `start_all`, for what answers and for its keeper alone."""
    return _start(settings, serving_services(settings), on_progress)


def stop_all(settings: Settings, on_progress: OnProgress = ignore) -> list[str]:
    """End what we started, children included; returns the names of those that ran."""
    return stop_services(settings, known_services(settings), on_progress)


def status(settings: Settings) -> list[ServiceStatus]:
    """What each service does now, and what runs beside them."""
    local = local_services(settings)
    names = {service.name for service in local}
    beside = [
        service
        for service in known_services(settings)
        if service.name not in names and is_running(settings, service)
    ]
    return [service_status(settings, service) for service in (*local, *beside)]


def _start(
    settings: Settings, services: Sequence[Service], on_progress: OnProgress
) -> list[ServiceStatus]:
    fronted = settings.serving_front == "haproxy"
    if fronted:
        front.require(settings)
    stop_services(settings, _left_over(settings), on_progress)
    states = start_services(settings, services, on_progress)
    if fronted:
        settle(settings, on_progress)
    return states


def _left_over(settings: Settings) -> list[Service]:
    """Services that other settings ask for."""
    wanted = {service.name for service in local_services(settings)}
    if settings.serving_front == "haproxy" and is_running(settings, front_service(settings)):
        # The other colour, if it runs: requests may be at it, so `settle` ends it.
        wanted |= {coloured(settings, colour).name for colour in front.COLOURS}
    return [service for service in known_services(settings) if service.name not in wanted]
