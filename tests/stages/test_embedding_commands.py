"""`recsys embeddings` and `recsys batch`, as a person sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from recsys.artifacts.live import write_live
from recsys.cli.main import command_line
from recsys.errors import ProductUnknown, ReleaseUnknown
from recsys.settings import Settings, load_settings
from serving_release import PRODUCTS, make_release
from stages.embedded_nights import embed, picture, reach_champion

SHOWN = {str(10_000 + number): picture(number) for number in range(12)}

Run = Callable[..., Result]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state")


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("RECSYS_STATE_DIR", str(settings.state_dir))

    def run(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(command_line([command]), [command, *arguments])

    return run


def test_fresh_embeddings_are_told_with_exit_code_0(settings: Settings, run: Run) -> None:
    night = reach_champion(settings, "2026-01-01", SHOWN)
    found = embed(night)
    done = run("embeddings")
    assert done.exit_code == 0, done.output
    for part in (found.artifact.version, found.ref, "12 of 12", "0 of 12, 12 embedded", "fresh"):
        assert part in done.stdout
    told = json.loads(run("embeddings", "--json").stdout)
    assert (told["fresh"], told["with_vector"], told["champion"]) == (True, 12, told["model"])


def test_stale_embeddings_are_told_with_exit_code_1(settings: Settings, run: Run) -> None:
    embed(reach_champion(settings, "2026-01-01", SHOWN))
    reach_champion(settings, "2026-01-02", {**SHOWN, "20000": picture(99)})
    make_live(settings)
    done = run("embeddings")
    assert done.exit_code == 1
    assert "stale: 1 products of the newest catalog have no vector of their picture" in done.stdout
    assert "20000" in done.stdout
    told = json.loads(run("embeddings", "--json").stdout)
    assert (told["fresh"], told["without"]) == (False, ["20000"])
    assert told["live_model"] == told["model"]


def test_one_product_s_vector_is_shown(settings: Settings, run: Run) -> None:
    found = embed(reach_champion(settings, "2026-01-01", SHOWN))
    done = run("embeddings", "10003")
    assert done.exit_code == 0, done.output
    for part in (found.artifact.version, found.ref, "dimension    8", "norm         1.0"):
        assert part in done.stdout
    told = json.loads(run("embeddings", "10003", "--json").stdout)
    assert len(told["vector"]) == 8
    assert isinstance(run("embeddings", "99").exception, ProductUnknown)


def make_live(settings: Settings) -> str:
    release = make_release(settings.releases_dir)
    write_live(settings.releases_dir, release.id)
    return release.id


def test_batch_writes_the_live_release_s_neighbours(
    settings: Settings, run: Run, tmp_path: Path
) -> None:
    assert isinstance(run("batch", "--out", str(tmp_path / "out")).exception, ReleaseUnknown)
    release = make_live(settings)
    done = run("batch", "--k", "4", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert f"{4 * PRODUCTS} neighbours of {PRODUCTS} products of {release}" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "00000.parquet",
        "manifest.json",
    ]
