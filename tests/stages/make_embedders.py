"""Embedders that a training could have made, and some that it should not: ``.tflite`` files.

Run by hand, since it needs TensorFlow::

    .venv/bin/python tests/stages/make_embedders.py

writes ``data/*.tflite`` for pictures of 6×8; `benchmarks/worse_candidates.py` makes its own.
"""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"


def embedder(
    height: int, width: int, *, noise: float = 0.0, shift: float = 0.0, slow: int = 0
) -> bytes:
    """A LiteRT model: [n, height, width, 3] uint8 → [n, 8] float32 of unit norm.

    Pooled colours through a fixed random projection. ``noise`` moves its weights, as training
    anew does; ``shift`` is added to every component before it is normalised; ``slow`` is the
    side of an image that convolutions are made of for nothing.
    """
    import tensorflow as tf

    cells = 27
    kernel = tf.random.stateless_normal([cells, 8], seed=[7, 20])
    kernel += noise * tf.random.stateless_normal([cells, 8], seed=[1, 2])
    layers = [
        0.1 * tf.random.stateless_normal([3, 3, channels, 16], seed=[channels, place])
        for place, channels in enumerate((3, 16, 16))
    ]

    def embed(images):
        scaled = tf.cast(images, tf.float32) / 255.0 - 0.5
        pooled = tf.nn.avg_pool2d(
            scaled, [height // 2, width // 3], [height // 4, width // 3], padding="VALID"
        )
        vectors = tf.reshape(pooled, [-1, cells]) @ kernel + shift
        if slow:
            seen = tf.image.resize(scaled, [slow, slow])
            for layer in layers:
                seen = tf.nn.relu(tf.nn.conv2d(seen, layer, 1, "SAME"))
            vectors += 1e-6 * tf.reduce_mean(seen, axis=[1, 2])[:, :8]
        return tf.math.l2_normalize(vectors, axis=1)

    module = tf.Module()
    module.embed = tf.function(
        embed, input_signature=[tf.TensorSpec([None, height, width, 3], tf.uint8)]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.embed.get_concrete_function()], module
    )
    made: bytes = converter.convert()
    return made


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    for name, options in {
        "good": {},
        "retrained": {"noise": 0.1},
        "shifted": {"shift": 3.0},
        "slow": {"slow": 240},
    }.items():
        (DATA / f"{name}.tflite").write_bytes(embedder(8, 6, **options))
