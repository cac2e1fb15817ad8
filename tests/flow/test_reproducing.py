"""A release is made again from its records; what differs is named, with its size."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flow.nights import NIGHT, Platform
from recsys.artifacts.files import write_atomically
from recsys.errors import ReleaseUnknown
from recsys.release import history
from recsys.settings import PROJECT_ROOT, Settings
from recsys.stages.night import Night
from recsys.stages.recorded_code import Code
from recsys.stages.reproduce_release import Reproduction, replay_in, reproduce_release

_ARTEFACTS = (
    "measures",
    "products",
    "split",
    "plan",
    "model",
    "figures",
    "probes",
    "labels",
    "approval",
    "vectors",
    "index",
    "product table",
    "release",
)


@pytest.fixture
def first(platform: Platform) -> str:
    """The release of the first night, whatever came after it."""
    return history(platform.settings.releases_dir)[0].release


def real_files(settings: Settings) -> dict[Path, tuple[int, int]]:
    """Size and time of every file of store, registry, releases and Data Docs."""
    places = (
        settings.store_dir,
        settings.mlflow_dir,
        settings.releases_dir,
        settings.data_docs_dir,
    )
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for place in places
        for path in place.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


@pytest.fixture
def untouched(platform: Platform) -> Iterator[None]:
    """Nothing real is other than before, and nothing is left in the scratch folder."""
    settings = platform.settings
    before, live = real_files(settings), platform.live
    yield
    assert real_files(settings) == before
    assert platform.live == live
    assert not list(settings.scratch_dir.glob("reproduce-*"))


def refusing_suites(folder: Path) -> Path:
    """The suites, but for one that asks of a delivery what none has."""
    suites = Path(shutil.copytree(PROJECT_ROOT / "expectations", folder))
    suite = json.loads((suites / "delivery.json").read_bytes())
    kwargs = {"column": "products", "min_value": 1_000_000}
    suite["expectations"][0] |= {"type": "expect_column_values_to_be_between", "kwargs": kwargs}
    write_atomically(suites / "delivery.json", json.dumps(suite).encode())
    return suites


def again(settings: Settings, release: str, **changes: object) -> Reproduction:
    return reproduce_release(Night(settings, NIGHT), release, changes=changes)


def row(found: Reproduction, artefact: str) -> Any:
    return next(row for row in found.rows if row.artefact == artefact)


@pytest.mark.usefixtures("untouched")
def test_the_first_nights_release_is_made_again_to_the_bit(recsys: Any, first: str) -> None:
    done = recsys("reproduce", first, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["rebuilt"], found["identical"]) == (first, True)
    assert {item["artefact"]: item["identical"] for item in found["artefacts"]} == dict.fromkeys(
        _ARTEFACTS, True
    )
    assert found["code"]["as_recorded"]
    assert found["circumstances"] == []


@pytest.mark.usefixtures("untouched")
def test_another_seed_is_named_with_the_size_of_what_it_changes(
    platform: Platform, first: str
) -> None:
    found = again(platform.settings, first, seed=21)
    assert not found.identical
    assert found.release_id != first
    assert "setting seed 20 → 21 (+1)" in found.circumstances
    assert row(found, "measures").identical
    assert not row(found, "split").identical
    (vectors,) = row(found, "vectors").differences
    assert vectors.what == "/vectors/"
    assert 0 < vectors.figures["largest"] <= 2
    assert 0 <= vectors.figures["top_10_agreement"] < 1
    (index,) = [item for item in row(found, "index").differences if item.what == "/index.faiss"]
    assert 0 <= index.figures["top_10_agreement"] < 1


@pytest.mark.usefixtures("untouched")
def test_a_changed_suite_is_named_and_ends_what_it_refuses(
    platform: Platform, first: str, tmp_path: Path
) -> None:
    suites = refusing_suites(tmp_path / "expectations")
    found = again(platform.with_settings(expectations_dir=suites), first)
    assert not found.identical
    assert [row.artefact for row in found.rows if row.identical] == ["measures"]
    assert found.release_id is None
    assert "the gate delivery refused" in found.refused
    assert [said for said in found.circumstances if said.startswith("suite")] == [
        f"suite delivery is another one now ({suites / 'delivery.json'})"
    ]


@pytest.mark.usefixtures("untouched")
def test_the_recorded_code_is_run_in_a_process_of_its_own_with_its_own_suites(
    platform: Platform, first: str, tmp_path: Path
) -> None:
    shutil.copytree(PROJECT_ROOT / "src", tmp_path / "tree" / "src")
    refusing_suites(tmp_path / "tree" / "expectations")
    (tmp_path / "scratch").mkdir()
    replay = replay_in(
        tmp_path / "tree",
        platform.settings,
        first,
        tmp_path / "scratch",
        {"embedding_dim": 16},
    )
    assert list(replay.commits) == ["measure_catalog"]
    assert "the gate delivery refused" in replay.refused


@pytest.mark.usefixtures("untouched")
def test_recorded_code_that_cannot_run_here_is_told_and_todays_runs(
    platform: Platform, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "tree" / "src" / "recsys"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('too old for this machine')\n")
    then = Code(tmp_path / "tree", True, "that of another commit was run")
    monkeypatch.setattr(
        "recsys.stages.reproduce_release.choose_code", lambda recorded, root, folder: then
    )
    suites = refusing_suites(tmp_path / "expectations")
    found = again(platform.with_settings(expectations_dir=suites), first)
    assert not found.code.as_recorded
    assert "too old for this machine" in found.code.said
    assert row(found, "measures").identical


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["r-0123456789abcdef"], "is in no commit of releases"),
        (["--with", "sed=21"], "expected a setting as name=value"),
        (["--with", "seed=many"], "RECSYS_SEED"),
    ],
)
def test_what_cannot_be_made_again_is_said(recsys: Any, arguments: list[str], said: str) -> None:
    done = recsys("reproduce", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_release_of_another_shop_is_unknown(platform: Platform, tmp_path: Path) -> None:
    with pytest.raises(ReleaseUnknown):
        again(platform.with_settings(state_dir=tmp_path), str(platform.live))
