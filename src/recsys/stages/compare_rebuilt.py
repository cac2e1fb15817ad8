"""A release as recorded beside the same release made again: what differs, and by how much."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys import comparison, index, names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.digests import sha256_bytes
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.products import FILES as PRODUCT_FILES
from recsys.artifacts.release import VECTORS_FILE, Release
from recsys.stages import frames
from recsys.stages.build_index import INDEX
from recsys.stages.feature_store import SHARDS, shard_paths, write_vectors
from recsys.stages.night import Night
from recsys.stages.release_commits import RecordedCommit

# What is compared, in the order of the night: its name, the stage that makes it, and which
# files of the commit it is (all, or those named).
_PRODUCT_TABLE: Final = tuple(f"/{name}" for name in PRODUCT_FILES)
_ARTEFACTS: Final[tuple[tuple[str, str, tuple[str, ...] | None], ...]] = (
    ("measures", "measure_catalog", None),
    ("products", "validate_catalog", None),
    ("split", "split_catalog", None),
    ("plan", "plan_training", None),
    ("model", "train_model", None),
    ("figures", "evaluate_model", None),
    ("probes", "probe_model", None),
    ("labels", "check_labels", None),
    ("approval", "approve_model", None),
    ("vectors", "embed_catalog", None),
    ("index", "build_index", None),
    ("product table", "assemble_release", _PRODUCT_TABLE),
    ("release", "assemble_release", (ARTIFACT_FILE,)),
)
# Who did the work and how long it took; and what follows from files that are compared.
_NOT_COMPARED = re.compile(
    r"run_id|registry_version|figures\.(training_cpu_seconds|encode_ms)"
    r"|fresh_pictures|taken_over|(model|index|vectors)_digest|files\..*|(\w+\.)*docs"
)
_DOCS_JSON = re.compile(r"(?P<suite>.+)-[0-9a-f]{12}\.json")
_K: Final = 10
_QUERIES: Final = 1_000
_SHOWN: Final = 3
_EXACT: Final = "Flat"


@dataclass(frozen=True)
class Difference:
    """``what`` is a file of the commit, or a field of the artefact; ``said`` in words.

    ``figures`` are the sizes of the difference by name (``largest``, ``top_10_agreement`` …).
    """

    what: str
    said: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Row:
    """One artefact: its commit as recorded and as made again (None: it was not)."""

    artefact: str
    recorded: str
    rebuilt: str | None
    files: int
    differences: tuple[Difference, ...]

    @property
    def identical(self) -> bool:
        """Whether it was made again, to the bit."""
        return self.rebuilt is not None and not self.differences


class Rebuilt:
    """Compares the commits of a release with those of its replay.

    Commit ids are random, so each of the replay is read as the recorded one that it stands
    for; pages of Data Docs, named by content that holds such ids, likewise.

    Parameters
    ----------
    real, scratch
        Nights whose stores hold the recorded and the rebuilt commits.
    commits
        The rebuilt commits, by stage.
    folder
        For copies of large files; it goes away with the caller's.
    """

    def __init__(
        self,
        real: Night,
        scratch: Night,
        recorded: Mapping[str, RecordedCommit],
        commits: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._real, self._scratch = real, scratch
        self._recorded, self._commits = recorded, commits
        self._folder = folder
        self._names = {commits[stage]: recorded[stage].ref for stage in commits}
        self._names |= dict(_docs_then(scratch.settings.data_docs_dir, self._names))

    def rows(self) -> Iterator[Row]:
        """Each artefact, in the order of the night."""
        for artefact, stage, files in _ARTEFACTS:
            recorded, rebuilt = self._recorded[stage].ref, self._commits.get(stage)
            if rebuilt is None:
                yield Row(artefact, recorded, None, 0, ())
                continue
            before = self._digests(self._real, recorded, files)
            after = self._digests(self._scratch, rebuilt, files)
            found: list[Difference] = []
            for path in sorted(before.keys() | after.keys()):
                if path == ARTIFACT_FILE:
                    found += self._artefact(recorded, rebuilt)
                elif before.get(path) != after.get(path):
                    one_sided = path not in before or path not in after
                    found.append(
                        Difference(path, "only recorded" if path in before else "only rebuilt", {})
                        if one_sided
                        else self._file(path, recorded, rebuilt)
                    )
            yield Row(artefact, recorded, rebuilt, len(before), tuple(found))

    def release_id(self) -> str | None:
        """The id that the rebuilt release has when commits are named as recorded."""
        rebuilt = self._commits.get("assemble_release")
        return None if rebuilt is None else Release.from_data(self._as_recorded(rebuilt)).id

    def _as_recorded(self, rebuilt: str) -> Any:
        text = self._scratch.read(rebuilt, ARTIFACT_FILE).decode()
        return json.loads(_renamed(text, self._names))

    def _artefact(self, recorded: str, rebuilt: str) -> list[Difference]:
        fields = comparison.compare_fields(
            json.loads(self._real.read(recorded, ARTIFACT_FILE)), self._as_recorded(rebuilt)
        )
        return [
            Difference(
                field.name, str(field), {} if field.delta is None else {"delta": field.delta}
            )
            for field in fields
            if not _NOT_COMPARED.fullmatch(field.name)
        ]

    def _file(self, path: str, recorded: str, rebuilt: str) -> Difference:
        if path == SHARDS:
            return self._vectors(recorded, rebuilt)
        if path.endswith(".parquet"):
            return self._table(path, recorded, rebuilt)
        if path == INDEX:
            return self._index(recorded, rebuilt)
        if path.endswith(".json"):
            return self._data(path, recorded, rebuilt)
        if path.endswith(".npy"):
            return self._array(path, recorded, rebuilt)
        return Difference(path, "other bytes", {})

    def _array(self, path: str, recorded: str, rebuilt: str) -> Difference:
        old, new = (
            np.load(io.BytesIO(night.read(ref, path)), allow_pickle=False)
            for night, ref in ((self._real, recorded), (self._scratch, rebuilt))
        )
        if old.shape != new.shape:
            return Difference(path, f"shape {list(old.shape)} → {list(new.shape)}", {})
        rows = int((old != new).reshape(len(old), -1).any(axis=1).sum())
        return Difference(path, f"{rows} of {len(old)} rows differ", {"rows": rows})

    def _table(self, path: str, recorded: str, rebuilt: str) -> Difference:
        found = comparison.compare_tables(
            frames.read_frame(self._real, recorded, path),
            frames.read_frame(self._scratch, rebuilt, path),
        )
        if found is None:
            return Difference(path, "the same rows in other bytes", {"rows": 0})
        rows = len(found.changed_rows) + len(found.removed) + len(found.added)
        return Difference(path, str(found), {"rows": rows})

    def _data(self, path: str, recorded: str, rebuilt: str) -> Difference:
        found = comparison.compare_fields(
            json.loads(self._real.read(recorded, path)),
            json.loads(self._scratch.read(rebuilt, path)),
        )
        some = "; ".join(str(field) for field in found[:_SHOWN])
        return Difference(path, f"{len(found)} values differ: {some}", {"values": len(found)})

    def _vectors(self, recorded: str, rebuilt: str) -> Difference:
        sides = [
            self._side(night, ref)
            for night, ref in ((self._real, recorded), (self._scratch, rebuilt))
        ]
        if sides[0].ids != sides[1].ids:
            size = comparison.compare_fields(sorted(sides[0].ids), sorted(sides[1].ids))
            return self._agreement(SHARDS, sides, f"of other products ({len(size)} differ)", {})
        found = comparison.compare_vectors(sides[0].vectors, sides[1].vectors)
        figures = {} if found is None else vars(found)
        return self._agreement(SHARDS, sides, str(found), figures)

    def _index(self, recorded: str, rebuilt: str) -> Difference:
        sides = []
        for night, ref in ((self._real, recorded), (self._scratch, rebuilt)):
            built = night.open(ref, SearchIndex).artifact
            opened = index.open_index(
                self._copy(night, ref, INDEX),
                rows=built.rows,
                dimension=built.dimension,
                breadth=built.breadth,
            )
            sides.append(self._side(night, built.embeddings, opened))
        return self._agreement(INDEX, sides, "other bytes", {})

    def _agreement(
        self, path: str, sides: Sequence[_Side], said: str, figures: Mapping[str, float]
    ) -> Difference:
        """Ask both sides for the neighbours of the same products."""
        known = set(sides[1].ids)
        common = [product for product in sides[0].ids if product in known]
        chosen = np.random.default_rng(self._real.settings.seed).permutation(len(common))
        asked = [common[position] for position in sorted(chosen[:_QUERIES])]
        share = comparison.agreement(*(side.neighbours(asked) for side in sides))
        return Difference(
            path,
            f"{said}; top-{_K} agreement {share:.4f} over {len(asked)} queries",
            {**figures, "top_10_agreement": share, "queries": len(asked)},
        )

    def _side(self, night: Night, embeddings: str, built: Any = None) -> _Side:
        """Without an index the neighbours are the exact ones."""
        out = self._folder / embeddings / VECTORS_FILE
        out.parent.mkdir(parents=True, exist_ok=True)
        ids = write_vectors(night, night.open(embeddings, EmbeddingSet), out)
        vectors = np.load(out, mmap_mode="r", allow_pickle=False)
        exact = built if built is not None else index.build(vectors, _EXACT, 1, 0)
        return _Side(ids, vectors, exact)

    def _digests(self, night: Night, ref: str, files: Iterable[str] | None) -> dict[str, str]:
        """SHA-256 by path; all shards of vectors are one thing, and name commits as recorded."""
        wanted = None if files is None else set(files)
        found = {
            file.path: file.sha256
            for file in night.store.files(ref)
            if not file.path.startswith(SHARDS) and (wanted is None or file.path in wanted)
        }
        if wanted is None and (shards := shard_paths(night, ref)):
            parts = [_renamed_bytes(night.read(ref, path), self._names) for path in shards]
            found[SHARDS] = sha256_bytes(
                b"".join(bytes.fromhex(sha256_bytes(part)) for part in parts)
            )
        return found

    def _copy(self, night: Night, ref: str, path: str) -> Path:
        target = self._folder / ref
        if not (target / path[1:]).is_file():
            night.store.materialise(ref, target, path)
        return target / path[1:]


@dataclass(frozen=True)
class _Side:
    """Products, their vectors [n, dimension], and the index over them that is asked."""

    ids: list[str]
    vectors: npt.NDArray[np.float32]
    index: Any

    def neighbours(self, products: Sequence[str]) -> list[list[str]]:
        """The nearest other products of each product."""
        row_of = {product: row for row, product in enumerate(self.ids)}
        rows = [row_of[product] for product in products]
        found = index.search(self.index, self.vectors, self.vectors[rows], _K, exclude=rows)
        return [[self.ids[row] for row, _ in neighbours] for neighbours in found]


def _docs_then(docs_dir: Path, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What each page of the replay's Data Docs is called when commits are named as recorded."""
    for page in docs_dir.glob("*/*.json"):
        match = _DOCS_JSON.fullmatch(page.name)
        if match is not None:
            night, content = page.parent.name, _renamed(page.read_text(), names)
            then = f"{night}/{match['suite']}-{sha256_bytes(content.encode())[:12]}.html"
            yield f"{night}/{page.stem}.html", then


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for made, recorded in names.items():
        text = text.replace(made, recorded)
    return text


def _renamed_bytes(content: bytes, known_as: Mapping[str, str]) -> bytes:
    """A shard's metadata stands in it as plain text, and a repo's commits are equally long."""
    for made, recorded in known_as.items():
        if names.is_ref(made):
            content = content.replace(made.encode(), recorded.encode())
    return content
