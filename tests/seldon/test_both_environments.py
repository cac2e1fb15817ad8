"""The platform's environment and the serving environment see the same picture."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving_release import SERVING_PYTHON

EMBEDDER = Path(__file__).parents[1] / "embedding" / "data" / "embedder.tflite"
SCRIPT = """
import hashlib, json, pathlib, sys
from recsys import images
from recsys.embedding.encoder import Encoder
encoder = Encoder(pathlib.Path(sys.argv[1]))
pixels = images.load(
    pathlib.Path(sys.argv[2]).read_bytes(), *encoder.image_size, images.ImageLimits(10**7, 10**7)
)
digest = hashlib.sha256(pixels.tobytes()).hexdigest()
print(json.dumps([digest, encoder.embed(pixels[None])[0].tolist()]))
"""


def seen_by(python: str, picture: Path) -> tuple[str, np.ndarray]:
    done = subprocess.run(
        [python, "-c", SCRIPT, str(EMBEDDER), str(picture)],
        capture_output=True,
        text=True,
        check=True,
    )
    digest, vector = json.loads(done.stdout)
    return digest, np.array(vector)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_gives_the_same_pixels_and_vector_in_both(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (150, 110, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    (tmp_path / "picture").write_bytes(buffer.getvalue())
    here, there = (
        seen_by(python, tmp_path / "picture") for python in (sys.executable, str(SERVING_PYTHON))
    )
    assert here[0] == there[0]
    assert np.abs(here[1] - there[1]).max() <= 1e-6
