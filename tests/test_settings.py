"""Settings: read once, checked, frozen."""

import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from recsys.errors import SettingsInvalid
from recsys.settings import load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_environment_wins_over_the_file_and_arguments_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recsys.toml").write_text("epochs = 3\nseed = 4\nbatch_size = 8\n")
    monkeypatch.setenv("RECSYS_EPOCHS", "5")
    monkeypatch.setenv("RECSYS_SEED", "6")
    settings = load_settings(seed=7)
    assert (settings.epochs, settings.seed, settings.batch_size) == (5, 7, 8)


def test_a_wrong_value_names_its_variable_and_what_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RECSYS_AIRFLOW_PORT", "eighty")
    with pytest.raises(SettingsInvalid, match=r"RECSYS_AIRFLOW_PORT.*integer.*'eighty'"):
        load_settings()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"default_k": 50, "max_k": 10}, "default_k 50 is above max_k 10"),
        ({"airflow_port": 5000, "mlflow_port": 5000}, "share a port"),
        ({"timezone": "Europe/Atlantis"}, "not an IANA time zone"),
        ({"night_cron": "every night"}, "five fields"),
        ({"test_share": 0.4, "validation_share": 0.45}, "too little to train on"),
        ({"provenance": "pachyderm"}, "neither pachd_address nor pachd_connection"),
        ({"deploy_target": "kubernetes"}, "kubernetes_image or kubernetes_claim is not set"),
        ({"kubernetes_image": "shop/recsys-seldon:0.1.0"}, "RECSYS_KUBERNETES_IMAGE: .*digest"),
        ({"kubernetes_image": "shop/recsys-seldon"}, "a tag can be moved"),
        ({"kubernetes_image": "shop/recsys-seldon@sha256:abc"}, "64 hex digits"),
        ({"kubernetes_name": "Recommender"}, "lower-case letters"),
        ({"kubernetes_name": "r" * 41}, "up to 40"),
        ({"kubernetes_claim_path": "/state"}, "a path within the claim"),
        ({"kubernetes_claim_path": "a/../../b"}, "a path within the claim"),
        ({"kubernetes_memory": "1 GB"}, "a Kubernetes quantity"),
        ({"kubernetes_replicas": 5}, "above kubernetes_max_replicas 4"),
        ({"no_such_setting": 1}, "Extra inputs"),
        ({"boost": "season"}, "RECSYS_BOOST: .*it is not JSON"),
        ({"boost": {"price": {"1": 0.1}}}, "no attribute price; allowed: gender, .*in_stock"),
        ({"boost": {"season": {"Summer": 1.5}}}, "beyond max_boost 1"),
        ({"openlineage_url": "marquez:5000"}, "allowed are http"),
        ({"openlineage_url": "http://:5000"}, "allowed are http"),
        ({"openlineage_url": "http://marquez:port"}, "allowed are http"),
        ({"openlineage_url": "http://marquez:5000/?key=1"}, "allowed are http"),
        ({"openlineage_url": "http://marquez:5000/api/v1/lineage"}, "without /api/v1/lineage"),
        ({"openlineage_url": "file://events.jsonl"}, "allowed are http"),
        ({"openlineage_url": "file:///var/log/"}, "allowed are http"),
    ],
)
def test_values_that_cannot_be_are_refused(overrides: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        load_settings(**overrides)


def test_a_boost_comes_as_json_from_the_environment_and_as_a_table_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recsys.toml").write_text('[boost.baseColour]\n"Navy Blue" = 0.1\n')
    assert load_settings().boost == {"baseColour": {"Navy Blue": 0.1}}
    monkeypatch.setenv("RECSYS_BOOST", '{"season": {"Summer": -0.2}}')
    assert load_settings().boost == {"season": {"Summer": -0.2}}


def test_settings_are_frozen_and_reading_them_creates_nothing(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path / "state")
    assert settings.store_dir == tmp_path / "state" / "store"
    assert not (tmp_path / "state").exists()
    with pytest.raises(ValidationError):
        settings.epochs = 9


@pytest.mark.parametrize(
    "url",
    ["", "http://marquez:5000", "https://lineage.shop.example/marquez", "file:///tmp/e.jsonl"],
)
def test_lineage_may_go_to_a_server_a_file_or_nowhere(url: str) -> None:
    assert load_settings(openlineage_url=url).openlineage_url == url


def test_an_empty_path_of_certificates_means_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_PACHD_ROOT_CERTS", "")
    assert load_settings().pachd_root_certs is None


def test_certificates_are_found_from_every_working_folder(tmp_path: Path) -> None:
    assert load_settings(pachd_root_certs="ca.pem").pachd_root_certs == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    "overrides",
    [
        {"provenance": "pachyderm"},
        {"provenance": "pachyderm", "epochs": 0},
        {"pachd_tokn": "hush-4711"},
        {"pachd_token": ["hush-4711"]},
        {"openlineage_url": "http://shop:hush-4711@marquez:5000"},
    ],
)
def test_no_refusal_shows_a_secret(
    overrides: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_PACHD_TOKEN", "hush-4711")
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(**overrides)
    assert "hush-4711" not in str(refused.value)
    assert "hush-4711" not in "".join(traceback.format_exception(refused.value))


def test_the_likeness_names_attributes_with_their_shares() -> None:
    settings = load_settings(likeness="articleType=0.6 season=0.4")
    assert settings.likeness_shares == {"articleType": 0.6, "season": 0.4}


@pytest.mark.parametrize(
    "text",
    ["", "gender=1", "articleType=0", "articleType=1 price=1", "articleType", "articleType=nan"],
)
def test_a_likeness_that_cannot_be_learned_is_refused(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="articleType needs a share above 0"):
        load_settings(likeness=text)


@pytest.mark.parametrize("token", ["short", "with a space in between", "é" * 20, "line\nbreak" * 3])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(SettingsInvalid, match="openssl rand") as caught:
        load_settings(serving_token=token)
    assert token not in str(caught.value)


def test_the_token_may_stand_in_a_file(tmp_path: Path) -> None:
    place = tmp_path / "token"
    settings = load_settings(serving_token_file=place)
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        settings.read_serving_token()
    place.write_text("not a token\n")
    with pytest.raises(SettingsInvalid, match="holds no token") as caught:
        settings.read_serving_token()
    assert "not a token" not in str(caught.value)
    place.write_text("0123456789abcdef\n")
    assert settings.read_serving_token() == "0123456789abcdef"
    assert load_settings(serving_token_file="").read_serving_token() == ""
    with pytest.raises(SettingsInvalid, match="one says it"):
        load_settings(serving_token="h" * 16, serving_token_file=place)
