"""A state folder, and a service that listens and has a child."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.services.control import stop_services
from recsys.services.definitions import Service
from recsys.settings import Settings, load_settings
from services.stand_ins import free_port, listening


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state", start_timeout_seconds=20)


@pytest.fixture
def service(settings: Settings, tmp_path: Path) -> Iterator[Service]:
    service = listening(settings, tmp_path, free_port())
    yield service
    stop_services(settings, [service])
