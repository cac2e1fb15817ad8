"""The model as trained, as measured, and as approved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

from recsys import names
from recsys.artifacts.base import Artifact, require
from recsys.artifacts.verdict import Verdict, require_passed, revive_verdict

_SCHEMA_1 = ("label_verdict", "verdict")


Mode = Literal["skip", "fine_tune", "full"]


@dataclass(frozen=True)
class TrainingPlan(Artifact):
    """How tonight's model comes about, and why.

    ``champion`` is the models commit that is kept or fine-tuned, or the reigning one that is
    trained beside; empty when none reigns. ``learned`` is the commit whose training last
    changed its weights, ``last_full`` that of its last training in full, ``fine_tunings``
    how many followed since (up to the champion, tonight's not counted); they are the champion
    itself unless it was kept or fine-tuned. ``figures`` compare tonight's catalog with the
    one that ``learned`` saw.
    """

    kind: ClassVar[str] = "training_plan"

    validated: str
    split: str
    mode: Mode
    reasons: tuple[str, ...]
    champion: str
    learned: str
    last_full: str
    fine_tunings: int
    figures: dict[str, float]

    def __post_init__(self) -> None:
        require(names.parse_ref(self.validated)[0] == names.VALIDATED, "not a validated commit")
        require(names.parse_ref(self.split)[0] == names.SPLITS, "not a split commit")
        require(self.mode in get_args(Mode), f"no mode {self.mode!r}")
        require(len(self.reasons) > 0, "a plan says why")
        line = (self.champion, self.learned, self.last_full)
        require(all(line) or not any(line), "a champion has a line of trainings")
        require(self.mode == "full" or all(line), "without a champion training is in full")
        for ref in filter(None, line):
            require(names.parse_ref(ref)[0] == names.MODELS, "not a model commit")

    @property
    def said(self) -> str:
        """The mode and the reasons, in one line for people."""
        return f"{self.mode.replace('_', '-')}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class TrainedModel(Artifact):
    """One trained network.

    The commit holds ``/embedder.tflite`` (uint8 [n, height, width, 3] in, float32
    [n, dimension] out, unit norm; preprocessing inside), ``/classifier.keras``,
    ``/labels.json`` and ``/history.json``. ``model_digest`` is the SHA-256 of
    ``embedder.tflite``; ``run_id`` the MLflow run; ``figures`` what training measured,
    ``parity_max_difference`` (exported model against the trained network) among them.
    """

    kind: ClassVar[str] = "trained_model"

    validated: str
    split: str
    model_digest: str
    dimension: int
    image_width: int
    image_height: int
    run_id: str
    figures: dict[str, float]

    def __post_init__(self) -> None:
        require(names.parse_ref(self.validated)[0] == names.VALIDATED, "not a validated commit")
        require(names.parse_ref(self.split)[0] == names.SPLITS, "not a split commit")
        require(len(self.model_digest) == 64, "model_digest is not a SHA-256")
        require(self.dimension > 0, "an embedding has at least one dimension")

    @property
    def version(self) -> str:
        """The model's short name."""
        return names.model_version(self.model_digest)


@dataclass(frozen=True)
class ModelReport(Artifact):
    """Figures of one model on the frozen test queries.

    ``figures`` are by name, the changes against the champion with their intervals among
    them; ``champion_figures`` are the reigning champion's on the same queries, empty when
    there is none. The commit also holds ``/per_class.parquet``, ``/confusion.parquet``,
    ``/slices.parquet`` (the weakest first), ``/exposure.parquet`` and
    ``/neighbours.parquet`` (of some queries).
    """

    kind: ClassVar[str] = "model_report"

    model: str
    queries: int
    figures: dict[str, float]
    champion: str
    champion_figures: dict[str, float]

    def __post_init__(self) -> None:
        require(names.parse_ref(self.model)[0] == names.MODELS, "not a model commit")
        require(self.queries > 0, "a report without queries says nothing")


@dataclass(frozen=True)
class ProbeReport(Artifact):
    """How a model bears altered pictures, other files, and its own export.

    ``queries`` held-out products were probed. ``figures`` are by name, ``encode_ms`` (one
    picture through the exported file, milliseconds) among them, which is a measurement of
    the machine too. The commit also holds ``/probes.parquet`` and ``/behaviour.parquet``.
    """

    kind: ClassVar[str] = "probe_report"

    model: str
    queries: int
    figures: dict[str, float]

    def __post_init__(self) -> None:
        require(names.parse_ref(self.model)[0] == names.MODELS, "not a model commit")
        require(self.queries > 0, "a report without queries says nothing")


@dataclass(frozen=True)
class ApprovedModel(Artifact):
    """A model that passed its gates and bears the champion alias.

    ``verdicts`` are those of every suite that had to let it pass, one a suite.
    """

    kind: ClassVar[str] = "approved_model"
    schema_version: ClassVar[int] = 2

    model: str
    model_digest: str
    dimension: int
    image_width: int
    image_height: int
    registry_version: str
    verdicts: tuple[Verdict, ...]

    def __post_init__(self) -> None:
        require(names.parse_ref(self.model)[0] == names.MODELS, "not a model commit")
        require(len(self.verdicts) > 0, "an approved model needs its gates' verdicts")
        for verdict in self.verdicts:
            require_passed(verdict)

    @property
    def version(self) -> str:
        """The model's short name."""
        return names.model_version(self.model_digest)

    @classmethod
    def from_data(cls, fields: Any) -> Self:
        """As the others; in schema 1 the two verdicts had a field each."""
        first = isinstance(fields, dict) and fields.get("schema_version") == 1
        if first and set(_SCHEMA_1) <= fields.keys():
            rest = {name: value for name, value in fields.items() if name not in _SCHEMA_1}
            verdicts = [fields[name] for name in _SCHEMA_1]
            fields = {**rest, "schema_version": cls.schema_version, "verdicts": verdicts}
        return super().from_data(fields)

    @classmethod
    def _revive(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "verdicts": tuple(revive_verdict(item) for item in fields["verdicts"])}
