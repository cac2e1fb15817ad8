"""The registered versions: listed, found by any of their names, compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recsys import names
from recsys.cli.main import command_line
from recsys.errors import BadInput
from recsys.settings import load_settings
from recsys.stages.compare_models import compare_models, find_model, list_models
from recsys.stages.night import Night
from serving_release import ref
from stages.test_model_pictures import exported


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Three versions: a former champion, the champion and a refused challenger."""
    folder = tmp_path_factory.mktemp("models")
    night = Night(load_settings(state_dir=folder / "state"), "2026-01-01")
    embedder = exported(folder)
    for number, rate in enumerate((0.001, 0.002, 0.002), start=1):
        # Bytes after a flatbuffer are not read: each version has a digest of its own.
        (folder / "embedder.tflite").write_bytes(embedder + bytes([number]) * 16)
        version = registered(night, folder, rate, 0.5 + number / 10, ref("catalog", str(number)))
        if number < 3:
            night.registry.promote(version, [f"better than all before {number}"])
        else:
            night.registry.refuse(version, ["[a] slice fell"])
    return night


def registered(night: Night, folder: Path, rate: float, ndcg: float, catalog: str) -> str:
    with night.registry.run(
        name="night",
        parameters={"learning_rate": rate, "epochs": 2},
        tags={},
        dataset=("validated_catalog", ref("validated")),
    ) as run:
        run.log_epoch(1, {"loss": 1.0})
    tags = {"catalog": catalog, "git_commit": "c0ffee", "library.numpy": "2.4"}
    return night.registry.register(run.id, folder, {"ndcg_at_10": ndcg}, tags, "A **story**.")


def test_versions_are_listed_newest_first(night: Night) -> None:
    listed = list_models(night)
    assert [item.model.version for item in listed] == ["3", "2", "1"]
    assert [item.run.figures["ndcg_at_10"] for item in listed] == [0.8, 0.7, 0.6]


def test_a_version_is_found_by_number_alias_and_short_name(night: Night) -> None:
    for named in ("2", "champion", names.model_version(find_model(night, "2").model.model_digest)):
        assert find_model(night, named).model.version == "2"
    assert find_model(night, "challenger").name == find_model(night, "3").name


def test_a_version_that_is_not_there_is_refused_with_what_there_is(night: Night) -> None:
    with pytest.raises(BadInput, match=r"no model version '4'; there are 3 \(challenger\), 2 \(ch"):
        find_model(night, "4")


def test_without_a_version_a_night_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run a night first"):
        find_model(Night(load_settings(state_dir=tmp_path), "2026-01-01"), "champion")


def test_what_differs_between_two_versions_is_named_with_its_change(night: Night) -> None:
    found = compare_models(night, "1", "champion")
    named = {topic: [field.name for field in fields] for topic, fields in found.fields.items()}
    assert named["parameters"] == ["learning_rate"]
    assert named["figures"] == ["ndcg_at_10"]
    assert named["data"] == ["catalog"]
    assert named["code"] == named["libraries"] == []
    assert found.fields["figures"][0].delta == pytest.approx(0.1)
    assert found.fields["parameters"][0].delta == pytest.approx(0.001)


@pytest.fixture
def said(night: Night, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        monkeypatch.setenv("RECSYS_STATE_DIR", str(night.settings.state_dir))
        done = CliRunner().invoke(command_line(["models"]), ["models", *arguments])
        assert done.exception is None, done.exception
        return done.stdout

    return run


def test_the_command_lists_decisions_and_reasons(said: Callable[..., str]) -> None:
    text = said()
    assert "3 refused: [a] slice fell" in text
    assert "champion" in text
    assert "0.8000" in text
    assert [item["decision"] for item in json.loads(said("--json"))] == [
        "refused",
        "promoted",
        "promoted",
    ]


def test_the_command_shows_one_version_whole(said: Callable[..., str]) -> None:
    text = said("champion")
    for part in ("version 2 (champion)", "A **story**.", "It replaced version 1.", "c0ffee"):
        assert part in text
    assert json.loads(said("2", "--json"))["figures"]["loss"] == 1.0


def test_the_command_compares_two_versions(said: Callable[..., str]) -> None:
    text = said("champion", "challenger")
    assert "+0.1" in text
    assert "alike: parameters, code, libraries" in text
    changes = json.loads(said("2", "3", "--json"))
    assert changes["figures"]["ndcg_at_10"]["delta"] == pytest.approx(0.1)
    assert changes["decision"]["reasons"]["new"] == "[a] slice fell"
