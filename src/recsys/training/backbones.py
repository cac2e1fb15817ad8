"""The convolutional part of the network: pictures in, a grid of features out.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import keras

from recsys.errors import BadInput
from recsys.training.parameters import TrainingParameters

# Keras application → (factor, offset) of the pixels 0 to 255 that it was trained on. Those that
# want other channels or means are left out.
_APPLICATIONS: Final[dict[str, tuple[float, float]]] = {
    "ConvNeXtTiny": (1.0, 0.0),
    "EfficientNetB0": (1.0, 0.0),
    "EfficientNetV2B0": (1.0, 0.0),
    "MobileNet": (1 / 127.5, -1.0),
    "MobileNetV2": (1 / 127.5, -1.0),
    "MobileNetV3Small": (1.0, 0.0),
    "MobileNetV3Large": (1.0, 0.0),
    "ResNet50V2": (1 / 127.5, -1.0),
}
_OURS_SCALE: Final = (1 / 127.5, -1.0)
_FILE: Final = "file"


def scale_of(backbone: str) -> tuple[float, float]:
    """(factor, offset) that turn pixels 0 to 255 into what a backbone takes."""
    return _APPLICATIONS.get(backbone, _OURS_SCALE)


def apply_backbone(parameters: TrainingParameters, scaled: Any) -> Any:
    """Put a backbone on scaled pictures [n, height, width, 3]; gives [n, rows, columns, c].

    ``backbone`` is one of ours, a Keras application, or ``file``: then ``backbone_weights``
    names a ``.keras`` model that takes pictures of this size, scaled to -1 to 1, and gives a
    grid. For an application they may name its ``.weights.h5`` without the top.

    Raises
    ------
    BadInput
        An unknown name, or weights that cannot be read or do not fit.
    """
    backbone, weights = parameters.backbone, parameters.backbone_weights
    if backbone == "patches":
        return _patches(scaled, parameters.patch)
    if backbone == "plain":
        return _plain(scaled)
    if backbone in _APPLICATIONS:
        return _application(backbone, weights, tuple(scaled.shape[1:]))(scaled)
    if backbone == _FILE:
        return _from_file(Path(weights), tuple(scaled.shape[1:]))(scaled)
    allowed = ", ".join(["patches", "plain", *_APPLICATIONS, _FILE])
    raise BadInput(f"backbone {backbone!r} is not known; there are {allowed}")


def _convolve(x: Any, name: str, filters: int, size: int, stride: int = 1) -> Any:
    """Convolution, batch normalisation, ReLU."""
    return keras.layers.ReLU(name=f"{name}_relu")(_linear(x, name, filters, size, stride))


def _linear(x: Any, name: str, filters: int, size: int, stride: int = 1) -> Any:
    layers = keras.layers
    x = layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    # 0.9 and not Keras' 0.99: a small catalog has few steps to learn the averages in.
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


def _residual(x: Any, name: str, filters: int) -> Any:
    """Two convolutions around a shortcut (He et al., 2015)."""
    layers = keras.layers
    y = _convolve(x, f"{name}_in", filters, 3)
    y = _linear(y, f"{name}_out", filters, 3)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def _patches(x: Any, side: int) -> Any:
    """Patches of ``side`` × ``side`` pixels, then three steps on ever coarser grids.

    The first layers see the most pixels and cost the most, so the picture shrinks at once: by
    4 each way, 60×80 pixels take 10 M multiply-adds in all.
    """
    x = _convolve(x, "stem", 32, side, stride=side)
    x = _convolve(x, "halve1", 64, 3, stride=2)
    x = _residual(x, "block", 64)
    return _convolve(x, "halve2", 128, 3, stride=2)


def _plain(x: Any) -> Any:
    """Five 3×3 convolutions."""
    widths = ((32, 2), (48, 2), (96, 2), (96, 1), (192, 2))
    for number, (filters, stride) in enumerate(widths, start=1):
        x = _convolve(x, f"conv{number}", filters, 3, stride)
    return x


def _application(name: str, weights: str, shape: tuple[int, ...]) -> Any:
    build = getattr(keras.applications, name)
    try:
        return build(include_top=False, weights=weights or None, input_shape=shape)
    except (OSError, ValueError) as error:
        raise BadInput(f"backbone {name} on pictures {shape}, weights {weights!r}: {error}") from (
            error
        )


def _from_file(path: Path, shape: tuple[int, ...]) -> Any:
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError) as error:
        raise BadInput(f"backbone file {path}: not readable ({error})") from error
    fits = len(model.inputs) == 1 and all(
        own in (None, given) for own, given in zip(model.input_shape[1:], shape, strict=True)
    )
    if not fits or len(model.output_shape) != 4:
        raise BadInput(
            f"backbone file {path}: it maps {model.input_shape} to {model.output_shape}, needed is"
            f" [n, {', '.join(map(str, shape))}] to [n, rows, columns, channels]"
        )
    return model
