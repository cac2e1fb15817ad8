"""How fast the network learns, step by step, and when it stops.

Importing this module loads TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from recsys.training.parameters import TrainingParameters


def optimizer_of(parameters: TrainingParameters, steps: int) -> Any:
    """Adam, its rate raised from nothing to the peak and lowered to nothing by a cosine."""
    rising = int(parameters.warmup * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if rising else parameters.learning_rate,
        steps - rising,
        warmup_target=parameters.learning_rate if rising else None,
        warmup_steps=rising,
    )
    # Named, for the second in a process would be another.
    if parameters.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=parameters.weight_decay, name="adam")
    return keras.optimizers.Adam(rate, name="adam")


def callbacks_of(
    parameters: TrainingParameters,
    monitored: str,
    record: Callable[[int, Mapping[str, float]], None],
) -> list[Any]:
    """Record every epoch, stop when nothing is gained any more, put the best weights back."""
    return [
        keras.callbacks.LambdaCallback(on_epoch_end=record),
        keras.callbacks.EarlyStopping(
            monitored,
            mode="max",
            patience=parameters.patience or parameters.epochs + 1,
            restore_best_weights=True,
        ),
    ]
