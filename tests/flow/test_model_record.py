"""MLflow explains the model of a real night, and the command tells it."""

import json
from typing import Any

from mlflow import MlflowClient

from flow.nights import NIGHT, Platform
from recsys import names
from recsys.artifacts.digests import sha256_file
from recsys.settings import PROJECT_ROOT
from recsys.stages.night import Night


def test_the_champions_run_and_version_tell_what_it_is(platform: Platform) -> None:
    registry = Night(platform.settings, NIGHT).registry
    champion = registry.champion()
    assert champion is not None
    model = names.model_version(champion.model_digest)
    assert model in platform.answer_tags().values()
    assert champion.description.startswith(f"Model {model} of the night")
    assert "## Decision" in champion.description
    assert champion.tags["lock_digest"] == sha256_file(PROJECT_ROOT / "locks" / "platform.txt")
    run = registry.read_run(champion.run_id)
    assert run.status == "FINISHED"
    assert run.parameters["epochs"] == str(platform.settings.epochs)
    assert run.figures["precision_at_10"] > 0.5


def test_plots_and_neighbours_stand_with_the_run(platform: Platform) -> None:
    champion = Night(platform.settings, NIGHT).registry.champion()
    assert champion is not None
    client = MlflowClient(platform.settings.mlflow_uri)
    found = {
        item.path
        for folder in ("plots", "neighbours")
        for item in client.list_artifacts(champion.run_id, folder)
    }
    plots = {f"plots/{name}.png" for name in ("training", "confused_pairs", "confusion")}
    assert plots | {"neighbours/queries_01_to_08.png"} <= found


def test_the_command_lists_the_champion(recsys: Any) -> None:
    done = recsys("models", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert [item["aliases"] for item in listed][-1:] == [["champion"]]


def test_an_unknown_version_is_bad_input(recsys: Any) -> None:
    done = recsys("models", "tomorrow")
    assert done.returncode == 2
    assert "no model version 'tomorrow'; there are " in done.stderr
    assert "1 (champion)" in done.stderr
