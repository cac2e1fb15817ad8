"""How good a model is can be asked at any time, of what a night stored or anew."""

import json
from typing import Any

import pytest

from flow.nights import NIGHT, Platform
from recsys.artifacts.model import ApprovedModel, ModelReport, TrainedModel
from recsys.stages.find_evaluation import find_evaluation
from recsys.stages.frozen_queries import FrozenQueries
from recsys.stages.model_figures import measure
from recsys.stages.night import Night, Opened


@pytest.fixture
def night(platform: Platform) -> Night:
    return Night(platform.settings, NIGHT)


@pytest.fixture
def champion(night: Night) -> Opened[ApprovedModel]:
    found = night.newest("approve_model", ApprovedModel)
    assert found is not None
    return found


def test_the_champions_stored_figures_are_told(
    night: Night, champion: Opened[ApprovedModel], recsys: Any
) -> None:
    done = recsys("evaluate", "champion", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model_commit"] == champion.artifact.model
    stored = night.open(found["evaluation"], ModelReport).artifact
    assert found["figures"] == stored.figures
    assert set(found) >= {"per_class", "confusion", "slices", "exposure", "neighbours"}
    assert {row["rank"] for row in found["neighbours"]} == set(range(1, 11))


def test_a_person_reads_every_relevance_and_what_is_shown_of_the_catalog(recsys: Any) -> None:
    done = recsys("evaluate", "champion")
    assert done.returncode == 0, done.stderr
    for said in ("articleType, gender, baseColour", "named rightly", "of the catalog is in some"):
        assert said in done.stdout


def test_a_model_has_several_names(night: Night, champion: Opened[ApprovedModel]) -> None:
    approved = champion.artifact
    by_champion = find_evaluation(night, "champion")
    for name in (approved.model, approved.version, approved.registry_version, by_champion.stored):
        assert find_evaluation(night, name).report == by_champion.report, name


def test_measured_again_on_the_same_queries_the_figures_are_the_same(night: Night) -> None:
    stored = find_evaluation(night, "")
    model = night.open(stored.report.model, TrainedModel)
    again = measure(night, FrozenQueries.of(night, model), model, None)
    # The stored report may also compare with a champion.
    same = {name: value for name, value in stored.report.figures.items() if "_change" not in name}
    assert again.report.figures == same
    for path in ("/per_class.parquet", "/neighbours.parquet", "/exposure.parquet"):
        assert again.tables[path].equals(stored.tables[path])


def test_measuring_again_commits_nothing(night: Night) -> None:
    commits = len(night.commits("evaluations"))
    assert find_evaluation(night, "champion", again=True).stored == ""
    assert len(night.commits("evaluations")) == commits


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("m-000000000000", "no model m-000000000000"),
        ("999", "no version 999"),
        ("catalog@" + "0" * 32, "a commit of catalog"),
    ],
)
def test_what_is_no_model_is_said(recsys: Any, subject: str, said: str) -> None:
    done = recsys("evaluate", subject)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
