"""A release: model, index, products and lineage under one digest.

On disk a release is one folder named by its id::

    r-0123456789abcdef/
        manifest.json       what is here, each file's SHA-256, and where it came from
        embedder.tflite     the model
        index.faiss         the index
        vectors.npy         [products, dimension] float32, unit norm
        product_*.npy|json  the product table

The id is made of the manifest's SHA-256, and the manifest holds every file's SHA-256, so
parts that do not belong together cannot carry one id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from recsys import names
from recsys.artifacts.base import Artifact, require, with_zero_changes, without_zero_changes
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.products import FILES as PRODUCT_FILES
from recsys.artifacts.verdict import Verdict, require_passed, revive_verdict
from recsys.errors import ArtifactInvalid

MANIFEST = "manifest.json"
MODEL_FILE = "embedder.tflite"
INDEX_FILE = "index.faiss"
VECTORS_FILE = "vectors.npy"
RELEASE_FILES = (MODEL_FILE, INDEX_FILE, VECTORS_FILE, *PRODUCT_FILES)


@dataclass(frozen=True)
class Release(Artifact):
    """The manifest of a release; ``files`` maps each file name to its SHA-256.

    ``inputs`` are the commits it was made of, by repo; ``verdicts`` the gates that let its
    parts pass. ``changes_through`` is the number of the last change between nights that its
    catalog has folded in; 0, which is not written down, for none. It holds no time and no
    host: the same parts give the same id.
    """

    kind: ClassVar[str] = "release"

    model_digest: str
    index_digest: str
    factory: str
    breadth: int
    dimension: int
    image_width: int
    image_height: int
    products: int
    files: dict[str, str]
    inputs: dict[str, str]
    verdicts: tuple[Verdict, ...]
    changes_through: int = 0

    def __post_init__(self) -> None:
        require(
            set(self.files) == set(RELEASE_FILES), f"a release holds {', '.join(RELEASE_FILES)}"
        )
        require(self.files[MODEL_FILE] == self.model_digest, "the model file is another model's")
        require(self.files[INDEX_FILE] == self.index_digest, "the index file is another index's")
        require(self.products > 0, "a release needs at least one product")
        require(len(self.verdicts) > 0, "a release needs its gates' verdicts")
        for verdict in self.verdicts:
            require_passed(verdict)

    @cached_property
    def id(self) -> str:
        """``r-`` and 16 hex digits, made of the manifest."""
        return names.release_id(self.digest)

    @property
    def model_version(self) -> str:
        """The model's short name."""
        return names.model_version(self.model_digest)

    @property
    def index_version(self) -> str:
        """The index's short name."""
        return names.index_version(self.index_digest)

    def to_data(self) -> dict[str, Any]:
        """As the others, without a number of changes that is 0."""
        return without_zero_changes(super().to_data())

    @classmethod
    def from_data(cls, fields: Any) -> Self:
        """As the others, with the number of changes that was not written down."""
        return super().from_data(with_zero_changes(fields))

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "verdicts": tuple(revive_verdict(item) for item in fields["verdicts"])}


def read_manifest(folder: Path) -> Release:
    """Read a release folder's manifest without looking at the other files.

    Raises
    ------
    ArtifactInvalid
        The manifest is missing, not readable or not a release's.
    """
    try:
        return Release.from_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, TypeError, KeyError, ArtifactInvalid) as error:
        raise ArtifactInvalid(f"release {folder.name}: no readable {MANIFEST} ({error})") from error


def verify_release(folder: Path) -> Release:
    """Read a release folder and re-hash every file.

    Raises
    ------
    ArtifactInvalid
        The manifest is not readable, does not make the folder's name, or a file is
        missing or differs; names the file.
    """
    release = read_manifest(folder)
    if release.id != folder.name:
        raise ArtifactInvalid(f"release {folder.name}: its manifest makes the id {release.id}")
    for name, expected in release.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactInvalid(f"release {folder.name}: {name} is missing")
        found = sha256_file(path)
        if found != expected:
            raise ArtifactInvalid(
                f"release {folder.name}: {name} has SHA-256 {found[:12]}…,"
                f" expected {expected[:12]}…"
            )
    return release
