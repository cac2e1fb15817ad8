"""Pixels are decoded for those who ask, and no more than they ask for stays on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys import images, names
from recsys.artifacts.catalog import ValidatedCatalog
from recsys.settings import Settings, load_settings
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import pixels_of, pixels_of_rows, products_of
from serving_release import HEIGHT, WIDTH
from stages.embedded_nights import picture, reach_champion

PICTURES = {str(10_000 + number): picture(number) for number in range(10)}
SIZE = (WIDTH, HEIGHT)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state")


@pytest.fixture
def night(settings: Settings) -> Night:
    return reach_champion(settings, "2026-01-01", PICTURES)


def catalog_of(night: Night) -> Opened[ValidatedCatalog]:
    return night.result_of("validate_catalog", ValidatedCatalog)


def rows_of(night: Night, rows: list[int], wanted: int | None = None) -> np.ndarray:
    validated = catalog_of(night)
    return pixels_of_rows(
        night, validated, products_of(night, validated), rows, SIZE, wanted=wanted
    )


def all_of(night: Night) -> np.ndarray:
    validated = catalog_of(night)
    return pixels_of(night, validated, products_of(night, validated), SIZE)


def maps(night: Night) -> list[str]:
    return [path.name for path in night.settings.scratch_dir.iterdir()]


def test_some_products_pixels_are_those_of_the_whole_map(night: Night) -> None:
    alone = rows_of(night, [1, 4, 7])
    assert alone.shape == (3, HEIGHT, WIDTH, 3)
    assert np.array_equal(alone, all_of(night)[[1, 4, 7]])
    assert np.array_equal(alone, rows_of(night, [1, 4, 7]))


def test_only_the_rows_asked_for_are_decoded_and_leave_nothing_on_disk(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    load_all = images.load_all

    def counted(items: object, count: int, *rest: object, **options: object) -> object:
        decoded.append(count)
        return load_all(items, count, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "load_all", counted)
    pixels = rows_of(night, [2, 3])
    assert decoded == [2]
    assert maps(night) == []
    assert pixels.any()


@pytest.mark.parametrize(("rows", "wanted"), [(range(6), None), ([3], 6)])
def test_when_most_are_wanted_the_map_of_all_is_made_and_read_from_then_on(
    night: Night, rows: list[int], wanted: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = rows_of(night, list(rows), wanted)
    assert len(maps(night)) == 1
    monkeypatch.setattr(images, "load_all", None)  # nothing is decoded again
    assert np.array_equal(pixels, all_of(night)[list(rows)])
    assert len(rows_of(night, [0])) == 1


def test_another_nights_map_goes_when_its_room_is_needed(settings: Settings, night: Night) -> None:
    all_of(night)
    (old,) = maps(night)
    later = reach_champion(settings, "2026-01-02", {**PICTURES, "10500": picture(500)})
    rows_of(later, [10])
    assert maps(later) == []
    all_of(later)
    assert len(maps(later)) == 1
    assert old not in maps(later)
    assert names.parse_ref(catalog_of(later).ref)[1] in maps(later)[0]
