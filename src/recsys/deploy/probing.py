"""What every target asks of a release: its files before, its answers after."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from recsys import names
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import verify_release
from recsys.changes import Spool
from recsys.deploy.port import ProbeRow
from recsys.errors import ArtifactInvalid, DeployFailed, ReleaseUnknown
from recsys.settings import Settings


def verified(releases_dir: Path, release_id: str, spool: Spool | None = None) -> str:
    """Check the release's files; the id of its first product.

    Of one that those who serve it lay changes over (``spool``): the first not delisted.

    Raises
    ------
    ReleaseUnknown
        It is not on this machine.
    DeployFailed
        It is damaged.
    """
    folder = releases_dir / release_id
    if not names.is_release_id(release_id) or not folder.is_dir():
        raise ReleaseUnknown(
            f"no release {release_id[:80]!r} in {releases_dir}; see `recsys releases`"
        )
    try:
        verify_release(folder)
    except ArtifactInvalid as error:
        raise DeployFailed(f"{error}; the live release was not touched") from error
    shown = [] if spool is None else spool.products_shown(folder)
    return shown[0] if shown else bytes(ProductTable.load(folder).ids[0]).decode()


def question(product_id: str) -> dict[str, Any]:
    """A prediction request that no report counts as a shopper's."""
    puid = names.PROBE_PUID + secrets.token_hex(8)
    return {"jsonData": {"product_id": product_id}, "meta": {"puid": puid}}


def token_headers(settings: Settings) -> dict[str, str]:
    """What a request says where the service asks for its token.

    Not in ``Authorization``, which the API server's proxy takes for itself.
    """
    token = settings.read_serving_token()
    return {names.TOKEN_HEADER: token} if token else {}


def probe_row(product_id: str, release: str, status_code: int, body: object) -> ProbeRow:
    """What an answer says; ``body`` is its parsed JSON, or anything else."""
    answer = body if isinstance(body, dict) else {}
    data = answer.get("jsonData", {})
    results = data.get("results", [])
    tags = answer.get("meta", {}).get("tags", {})
    return {
        "product_id": product_id,
        "status_code": status_code,
        "release_matches": data.get("release") == tags.get("release") == release,
        "results": len(results),
        "top_score": max((result["score"] for result in results), default=None),
        "self_returned": any(result["product_id"] == product_id for result in results),
    }
