"""Read back the classifier that `train` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from recsys.errors import ArtifactInvalid
from recsys.training.runtime import prepare_tensorflow

CLASSIFIER_FILE: Final = "classifier.keras"
LABELS_FILE: Final = "labels.json"


def read_classifier(folder: Path) -> tuple[dict[str, tuple[str, ...]], Any]:
    """The classes of every head, the article type first, and the Keras model.

    The model's first outputs are the heads' logits; the embedding may follow.

    Raises
    ------
    ArtifactInvalid
        They cannot be read, or do not fit each other.
    """
    prepare_tensorflow()
    import keras

    try:
        stored = json.loads((folder / LABELS_FILE).read_bytes())
        classes = {str(head["name"]): tuple(map(str, head["classes"])) for head in stored}
        classifier = keras.saving.load_model(
            folder / CLASSIFIER_FILE, compile=False, safe_mode=True
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactInvalid(f"classifier in {folder}: not readable ({error})") from error
    found = [int(output.shape[-1]) for output in classifier.outputs][: len(classes)]
    if found != [len(names) for names in classes.values()]:
        raise ArtifactInvalid(
            f"classifier in {folder}: its outputs have {found} classes, but its labels"
            f" {[len(names) for names in classes.values()]}"
        )
    return classes, classifier
