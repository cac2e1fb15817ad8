"""Taking vectors over gives the bytes that embedding everything gives."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedding.test_encoder import MODEL, drawn_pixels
from recsys.embedding import NOTHING_KNOWN, Encoder, KnownVectors, embed_all, embed_new
from recsys.errors import ArtifactInvalid

ROWS = 90
PIXELS = drawn_pixels(ROWS)
PICTURES = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in PIXELS]


class Asked:
    """The pixels, and which rows were asked for."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, rows: list[int]) -> np.ndarray:
        self.rows += rows
        return PIXELS[rows]


def embedded(folder: Path, known: KnownVectors = NOTHING_KNOWN, **options: object) -> bytes:
    out = folder / "vectors.npy"
    given_options = {"pixels_of": Asked(), "workers": 2, "part_rows": 16, **options}
    embed_new(MODEL, PICTURES, known, parts=folder / "parts", out=out, **given_options)
    return out.read_bytes()


@pytest.fixture(scope="module")
def all_at_once(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("all") / "vectors.npy"
    embed_all(MODEL, PIXELS, workers=1, out=out)
    return out.read_bytes()


@given(earlier=st.lists(st.integers(0, ROWS - 1), unique=True), part_rows=st.integers(20, 100))
@settings(max_examples=12, deadline=None)
def test_whatever_was_known_the_bytes_are_those_of_embedding_everything(
    all_at_once: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    earlier: list[int],
    part_rows: int,
) -> None:
    vectors = Encoder(MODEL).embed(PIXELS[earlier])
    known = KnownVectors.of([PICTURES[row] for row in earlier], vectors)
    asked = Asked()
    folder = tmp_path_factory.mktemp("some")
    assert embedded(folder, known, pixels_of=asked, part_rows=part_rows) == all_at_once
    assert sorted(asked.rows) == sorted(set(range(ROWS)) - set(earlier))


def test_progress_tells_of_what_is_embedded(tmp_path: Path) -> None:
    steps: list[int] = []
    known = KnownVectors.of(PICTURES[:50], Encoder(MODEL).embed(PIXELS[:50]))
    embedded(tmp_path, known, on_progress=steps.append)
    assert sum(steps) == 40


def test_an_interrupted_run_leaves_no_file_and_goes_on_after_its_finished_parts(
    tmp_path: Path, all_at_once: bytes
) -> None:
    asked = Asked()

    def stop_at_row(rows: list[int]) -> np.ndarray:
        if rows[0] >= 48:
            raise KeyboardInterrupt
        return PIXELS[rows]

    with pytest.raises(KeyboardInterrupt):
        embedded(tmp_path, pixels_of=stop_at_row)
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]
    assert embedded(tmp_path, pixels_of=asked) == all_at_once
    assert asked.rows == list(range(48, ROWS))


_KILLED = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from embedding.test_incremental import PIXELS, embedded

def die_at_row(rows):
    if rows[0] >= 32:
        os.kill(os.getpid(), signal.SIGKILL)
    return PIXELS[rows]

embedded(Path(sys.argv[1]), pixels_of=die_at_row)
"""


def test_a_killed_run_goes_on_after_its_finished_parts(tmp_path: Path, all_at_once: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path)], env=os.environ, check=False
    )
    assert done.returncode == -signal.SIGKILL
    asked = Asked()
    assert embedded(tmp_path, pixels_of=asked) == all_at_once
    assert asked.rows == list(range(32, ROWS))


def test_known_vectors_of_another_dimension_are_refused(tmp_path: Path) -> None:
    known = KnownVectors.of(PICTURES[:1], np.ones((1, 3), np.float32))
    with pytest.raises(ArtifactInvalid, match="dimension 3, the model's 8"):
        embedded(tmp_path, known)
