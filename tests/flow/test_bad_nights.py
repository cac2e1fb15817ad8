"""Bad nights: each is refused by its gate, and the shopper notices nothing."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from flow.nights import NIGHT, Platform, run_night
from recsys.errors import GateRefused
from recsys.registry.port import DECISION_REFUSED
from recsys.release import history
from recsys.settings import Settings
from recsys.stages.night import Night

_EVERY = 2


@pytest.fixture
def delivery(platform: Platform, tmp_path: Path) -> Path:
    """A copy of the first night's delivery, to be spoilt."""
    drawn = next((platform.settings.state_dir / "drawn").rglob("styles.csv")).parent
    return Path(shutil.copytree(drawn, tmp_path / "delivery"))


def refused_by(settings: Settings) -> str:
    with pytest.raises(GateRefused) as refusal:
        run_night(settings)
    assert "Data Docs" in str(refusal.value)
    return str(refusal.value.verdict["suite"])


def test_a_broken_csv_is_refused(undisturbed: Platform, delivery: Path) -> None:
    (delivery / "styles.csv").write_bytes(b"\x89PNG\r\n\x1a\n this is, not \xff\xfe a csv\n" * 50)
    assert refused_by(undisturbed.with_settings(catalog=str(delivery))) == "delivery"


def test_half_the_images_corrupt_is_refused(undisturbed: Platform, delivery: Path) -> None:
    for image in sorted((delivery / "images").iterdir())[::_EVERY]:
        image.write_bytes(image.read_bytes()[:200])
    assert refused_by(undisturbed.with_settings(catalog=str(delivery))) == "delivery"


def test_labels_that_pictures_and_titles_contradict_are_refused(
    undisturbed: Platform, delivery: Path
) -> None:
    path = delivery / "styles.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    wrong = table.index[table["articleType"] != ""][::3]
    table.loc[wrong, "articleType"] = table.loc[wrong, "articleType"].to_numpy()[::-1]
    table.to_csv(path, index=False)
    settings = undisturbed.with_settings(catalog=str(delivery), epochs=1)
    assert refused_by(settings) == "labels"


def test_a_model_below_its_floor_is_refused_and_the_champion_stays(undisturbed: Platform) -> None:
    settings = undisturbed.with_settings(learning_rate=0, epochs=1)
    registry = Night(settings, NIGHT).registry
    champion = registry.champion()
    assert refused_by(settings) == "model"
    assert registry.champion() == champion
    challenger = registry.challenger()
    assert challenger is not None
    assert challenger.decision == DECISION_REFUSED
    for column in ("accuracy", "ndcg_at_10_change_high"):
        assert f"expect_column_values_to_be_between on {column}" in challenger.reasons


def test_an_index_below_its_recall_is_refused(undisturbed: Platform) -> None:
    settings = undisturbed.with_settings(index_factory="IVF6,Flat", index_breadth=1)
    assert refused_by(settings) == "index"


def test_a_release_that_fails_its_probe_queries_is_taken_back(
    undisturbed: Platform, tmp_path: Path
) -> None:
    suites = Path(shutil.copytree(undisturbed.settings.expectations_dir, tmp_path / "expectations"))
    suite = json.loads((suites / "deployment.json").read_bytes())
    for expectation in suite["expectations"]:
        if expectation["kwargs"].get("column") == "results" and "between" in expectation["type"]:
            expectation["kwargs"] |= {"min_value": 1000, "max_value": 2000}
    (suites / "deployment.json").write_text(json.dumps(suite))
    settings = undisturbed.with_settings(expectations_dir=suites, index_factory="SQfp16")
    assert refused_by(settings) == "deployment"
    event = history(undisturbed.settings.releases_dir)[-1]
    assert (event.event, event.previous) == ("refused", undisturbed.live)


def test_a_refused_night_can_be_mended_and_run_again(undisturbed: Platform, delivery: Path) -> None:
    (delivery / "styles.csv").write_bytes(b"nothing\n")
    settings = undisturbed.with_settings(catalog=str(delivery))
    refused_by(settings)
    receipts = run_night(undisturbed.settings)
    assert not any(receipt.fresh for receipt in receipts.values())
