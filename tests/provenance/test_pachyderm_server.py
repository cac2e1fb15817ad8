"""Getting at a Pachyderm server: address, token, certificates, project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pachd.double import Pachd
from recsys.errors import SettingsInvalid, StoreUnavailable
from recsys.provenance import DataStore, open_store
from recsys.settings import load_settings

TOKEN = "a-token-that-nobody-guesses"


def opened(folder: Path, address: str, **settings: object) -> DataStore:
    return open_store(
        load_settings(state_dir=folder, provenance="pachyderm", pachd_address=address, **settings)
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        f" -addext subjectAltName=DNS:localhost -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.mark.parametrize(
    "address",
    [
        "localhost:30650",
        "http://localhost:30650",
        "grpc://localhost",
        "grpc://localhost:0",
        "grpc://localhost:70000",
        "grpc://user@localhost:30650",
        "grpc://localhost:30650/path",
    ],
)
def test_other_addresses_are_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(SettingsInvalid, match="RECSYS_PACHD_ADDRESS is"):
        opened(tmp_path, address)


@pytest.mark.parametrize("project", ["", "a b", "a/b", "x" * 52])
def test_other_projects_are_refused(tmp_path: Path, project: str) -> None:
    with pytest.raises(SettingsInvalid, match="RECSYS_PACHD_PROJECT is"):
        opened(tmp_path, "grpc://127.0.0.1:1", pachd_project=project)


def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="does not answer"):
        opened(tmp_path, "grpc://127.0.0.1:1")


def test_a_server_that_goes_away_is_unavailable(tmp_path: Path) -> None:
    with Pachd() as pachd:
        store = opened(tmp_path, pachd.address)
        store.ensure_repo("catalog")
    for ask in (lambda: store.head("catalog"), lambda: list(store.commits("catalog"))):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            ask()


def test_the_token_lets_in_and_is_never_told(tmp_path: Path) -> None:
    with Pachd(token=TOKEN) as pachd:
        opened(tmp_path, pachd.address, pachd_token=TOKEN).ensure_repo("catalog")
        for wrong in ("", f"{TOKEN}-of-somebody-else"):
            with pytest.raises(StoreUnavailable, match="RECSYS_PACHD_TOKEN") as refusal:
                opened(tmp_path, pachd.address, pachd_token=wrong)
            assert TOKEN not in str(refusal.value)


def test_a_certificate_that_is_trusted_makes_the_way_private(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    with Pachd(token=TOKEN, tls=pair) as pachd:
        assert pachd.address.startswith("grpcs://")
        store = opened(tmp_path, pachd.address, pachd_token=TOKEN, pachd_root_certs=pair[1])
        store.ensure_repo("catalog")
        assert store.head("catalog") is None


def test_a_certificate_that_is_not_trusted_is_refused(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    with Pachd(tls=pair) as pachd, pytest.raises(StoreUnavailable):
        opened(tmp_path, pachd.address)


def test_certificates_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="RECSYS_PACHD_ROOT_CERTS"):
        opened(tmp_path, "grpcs://localhost:1", pachd_root_certs=tmp_path / "none.pem")


def test_projects_are_made_and_do_not_see_each_other(tmp_path: Path) -> None:
    with Pachd() as pachd:
        one = opened(tmp_path, pachd.address, pachd_project="shop-one")
        other = opened(tmp_path, pachd.address, pachd_project="shop-two")
        for store in (one, other):
            store.ensure_repo("catalog")
        with one.commit("catalog") as writer, other.commit("catalog"):
            writer.put("/a", b"1")
        assert [info.ref for info in one.commits("catalog")] == [writer.ref]
        assert writer.ref not in [info.ref for info in other.commits("catalog")]
        assert opened(tmp_path, pachd.address, pachd_project="shop-one").head("catalog")
