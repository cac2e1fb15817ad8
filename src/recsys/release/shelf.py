"""Which releases are on this machine."""

from __future__ import annotations

import logging
import secrets
import shutil
from pathlib import Path

from recsys import names
from recsys.artifacts.release import MANIFEST, Release, read_manifest
from recsys.errors import ArtifactInvalid
from recsys.release.assemble import BUILDING

_LOG = logging.getLogger(__name__)


def list_releases(releases_dir: Path) -> list[Release]:
    """The manifests of the releases here, newest folder first; their files are not re-hashed.

    A folder whose manifest cannot be read is passed over with a warning in the log:
    `recsys.artifacts.release.verify_release` says what is wrong with it.
    """
    found: list[tuple[int, Release]] = []
    for manifest in releases_dir.glob(f"*/{MANIFEST}"):
        folder = manifest.parent
        if folder.is_symlink() or not names.is_release_id(folder.name):
            continue  # the live pointer, or a folder under construction
        try:
            release = read_manifest(folder)
        except ArtifactInvalid as error:
            _LOG.warning("passed over: %s", error)
            continue
        found.append((manifest.stat().st_mtime_ns, release))
    return [release for _, release in sorted(found, key=lambda item: (-item[0], item[1].id))]


def remove_release(folder: Path) -> None:
    """Remove a release's folder; nobody ever finds half of one under its name.

    What a crash leaves is taken for an abandoned construction, and goes as those do.
    """
    leaving = folder.with_name(f"{BUILDING}{secrets.token_hex(8)}")
    folder.rename(leaving)
    shutil.rmtree(leaving)
