"""Whoever changes the live release waits for whoever is at it."""

from __future__ import annotations

import threading
from pathlib import Path

from recsys.deploy import one_at_a_time


def test_a_second_change_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def change() -> None:
        with one_at_a_time(tmp_path / "releases"):
            order.append("second")

    with one_at_a_time(tmp_path / "releases"):
        second = threading.Thread(target=change)
        second.start()
        second.join(0.2)
        assert second.is_alive()
        order.append("first")
    second.join(10)
    assert order == ["first", "second"]
