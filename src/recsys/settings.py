"""All settings, read once from the environment (``RECSYS_…``) or ``recsys.toml``.

Nothing else in the project reads the environment. Importing this module does nothing;
`Settings()` reads, checks and freezes. Values from the environment win over the file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from recsys.artifacts.catalog import ATTRIBUTES, LABEL_COLUMN, STOCK_COLUMN
from recsys.errors import SettingsInvalid

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PROJECT_ROOT = Path(__file__).resolve().parents[2]
DRAWN = "drawn"
# Where OpenLineage servers take events.
LINEAGE_ENDPOINT = "api/v1/lineage"
# Settings whose value no message may show.
_SECRET = frozenset({"pachd_token", "openlineage_url", "serving_token"})
# Of a bearer token (RFC 6750), long enough not to be guessed.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")


class Settings(BaseSettings):
    """Every knob of the platform, frozen."""

    model_config = SettingsConfigDict(
        env_prefix="RECSYS_",
        toml_file="recsys.toml",
        frozen=True,
        extra="forbid",
        # One wrong value must not print the others, the token among them.
        hide_input_in_errors=True,
    )

    # Where things are
    state_dir: Path = Field(
        Path(".recsys"), description="All state: store, releases, databases, logs, run files."
    )
    catalog: str = Field(
        "",
        description="Tonight's delivery: a folder, or 'drawn' for the sample we draw."
        " Empty: what `recsys up --catalog` was told last, else drawn.",
    )
    expectations_dir: Path = Field(
        PROJECT_ROOT / "expectations", description="The folder of the gates' suites."
    )

    # The drawn sample
    drawn_products: int = Field(
        720,
        ge=24,
        le=100_000,
        description="Products in the drawn sample; a few hundred are too few for the model gate.",
    )
    drawn_seed: int = Field(7, ge=0, description="Seed of the drawn sample.")

    # The night
    night_cron: str = Field("30 2 * * *", description="When the night starts (cron, five fields).")
    timezone: str = Field("UTC", description="Time zone of the schedule (IANA name).")
    seed: int = Field(20, ge=0, description="Seed of split, training and evaluation.")
    quarantine_budget: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of products that may be quarantined; above, the night is refused.",
    )

    type_quarantine_budget: float = Field(
        0.2, ge=0, le=1, description="The same within one article type of 20 products or more."
    )
    quarantined_products: Literal["keep", "delist"] = Field(
        "keep", description="A live product in quarantine: keep yesterday's picture, or delist it."
    )

    duplicate_hash_distance: int = Field(
        4, ge=0, le=32, description="Most bits in which near duplicates' hashes differ, of 64."
    )
    duplicate_cosine: float = Field(
        0.999, ge=0, le=1, description="Least likeness of near duplicates' thumbnails (cosine)."
    )

    # Images: what the model sees
    image_width: int = Field(60, ge=16, le=512, description="Width of the model's input, pixels.")
    image_height: int = Field(80, ge=16, le=512, description="Height of the model's input, pixels.")
    max_image_bytes: int = Field(8_000_000, ge=1_000, description="Largest image file accepted.")
    max_image_pixels: int = Field(40_000_000, ge=1_000, description="Largest image, in pixels.")

    # Training
    embedding_dim: int = Field(192, ge=8, le=2048, description="Length of the embedding.")
    likeness: str = Field(
        "articleType=0.7 gender=0.1 baseColour=0.2",
        description="Attributes that make products alike, each with its share of the similarity.",
    )
    backbone: str = Field(
        "patches",
        description="Convolutional part: patches, plain, a Keras application such as MobileNetV2,"
        " or 'file' for the Keras model at backbone_weights.",
    )
    backbone_weights: Path | None = Field(
        None, description="Weights of the backbone (.keras or .weights.h5); else it starts random."
    )
    patch: int = Field(
        4, ge=1, le=32, description="Side of the first layer's patches, pixels; small for small."
    )
    epochs: int = Field(12, ge=1, le=500, description="Passes over the training images.")
    batch_size: int = Field(64, ge=2, le=4096, description="Images in a training step.")
    learning_rate: float = Field(2e-3, ge=0, le=1, description="Peak learning rate.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps that reach that peak.")
    weight_decay: float = Field(0, ge=0, le=1, description="Decay of the weights (AdamW).")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of the hidden layer that a training step leaves out."
    )
    shift: int = Field(2, ge=0, le=64, description="Pixels by which training moves pictures.")
    class_balance: float = Field(
        0, ge=0, le=1, description="0 draws pictures as they come, 1 every type equally often."
    )
    patience: int = Field(0, ge=0, description="Epochs without a gain that end training; 0: none.")
    mixed_precision: bool = Field(True, description="Train in float16 where there is a GPU.")
    test_share: float = Field(0.1, gt=0, lt=0.5, description="Share of images held out for test.")
    validation_share: float = Field(0.1, gt=0, lt=0.5, description="Share held out for validation.")

    # Warm nights: how much is trained
    retrain: Literal["auto", "skip", "fine_tune", "full"] = Field(
        "auto",
        description="Keep the champion (skip), fine-tune it, or train in full; auto decides by"
        " data change, drift and age.",
    )
    skip_below_change: float = Field(
        0.002, ge=0, le=1, description="Share of changed products below which nothing is trained."
    )
    fine_tune_below_change: float = Field(
        0.1, ge=0, le=1, description="Share of changed products from which training is in full."
    )
    full_after_days: int = Field(
        30, ge=1, description="Days after which training is in full again."
    )
    full_after_fine_tunings: int = Field(
        10, ge=0, description="Fine-tunings in a row, after which training is in full."
    )
    full_above_shift: float = Field(
        0.2,
        ge=0,
        description="Drift of the pictures' brightness, contrast or sharpness above which training"
        " is in full; standard deviations, since the champion learned.",
    )
    full_above_label_change: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Change of an article type's share of the catalog above which it is in full.",
    )
    fine_tune_epochs: int = Field(2, ge=1, le=500, description="Epochs of a fine-tuning.")
    fine_tune_learning_rate: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Peak learning rate of a fine-tuning, as a share of the full one.",
    )

    # What a model may cost
    encode_budget_ms: float = Field(
        250, gt=0, description="Longest median time of embedding one picture, milliseconds."
    )

    # Index
    index_factory: str = Field(
        "auto", description="FAISS factory string, or 'auto' to choose by size and recall."
    )
    index_breadth: int = Field(
        64,
        ge=1,
        le=65_536,
        description="How widely a named index searches: lists visited, or candidates kept (HNSW).",
    )
    index_max_bytes: int = Field(
        4_000_000_000, ge=1, description="Largest index that keeps vectors whole under 'auto'."
    )
    recall_target: float = Field(
        0.997,
        ge=0,
        le=1,
        description="Share of true neighbours that an index must find to be chosen; above what the"
        " gate asks (0.99), which asks other queries.",
    )
    recall_queries: int = Field(1_000, ge=1, description="Frozen queries for the recall gate.")

    # Serving
    serving_workers: int = Field(2, ge=1, le=64, description="Processes that answer.")
    max_waiting: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Requests that may wait for a serving worker; more are told 503 and when to"
        " come again.",
    )
    serving_token: SecretStr = Field(
        SecretStr(""),
        description="Whoever asks for predictions or metadata must send this bearer token;"
        " empty: nobody need. Health is open to all.",
    )
    serving_token_file: Path | None = Field(
        None, description="The file that holds that token instead."
    )
    default_k: int = Field(10, ge=1, description="Recommendations when a query does not say.")
    max_k: int = Field(100, ge=1, le=10_000, description="Most recommendations in an answer.")
    max_queries: int = Field(32, ge=1, description="Most queries in one request.")
    max_listed_products: int = Field(
        1_000, ge=1, le=100_000, description="Most ids in a query's only, and in its exclude."
    )
    max_boost: float = Field(
        1, ge=0, le=2, description="Most that a boost may add to a score, or take from it."
    )
    candidates_per_result: int = Field(
        10,
        ge=1,
        le=1_000,
        description="How many of the closest products boosts and diversity choose among, for each"
        " that is asked for.",
    )

    max_changes: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Most products that may be new, other or delisted until a night folds them in.",
    )

    # A sample of real requests, which the next candidate release is asked
    sample_every: int = Field(20, ge=1, description="One in so many requests is kept.")
    sample_requests: int = Field(
        256, ge=0, le=9_999, description="Most requests in the sample; 0 keeps none."
    )
    sample_bytes: int = Field(
        64_000_000,
        ge=1,
        description="Most bytes of the sample; a request above its share is left out.",
    )
    sample_days: int = Field(
        2, ge=1, description="Days after which a request goes from the sample: it may be a picture."
    )

    # What a query gets when it does not say
    collapse: bool = Field(
        True, description="Of products that show the same picture, show the best only."
    )
    min_score: float = Field(
        -1, ge=-1, le=1, description="Show nothing below this cosine; -1 shows all."
    )
    diversity: float = Field(
        0, ge=0, le=0.95, description="Weight of being unlike the results before; 0: closeness."
    )
    boost: Annotated[dict[str, dict[str, float]], NoDecode] = Field(
        {},
        description="Added to the score of products with a value, as JSON:"
        ' {"season": {"Summer": 0.05}, "in_stock": {"false": -0.2}}.',
    )
    deploy_timeout_seconds: float = Field(
        120, gt=0, description="How long every worker may take to answer with a new release."
    )

    # A release on trial
    shadow: bool = Field(
        True,
        description="Try a release beside the live one before it goes live; it needs the serving"
        " environment on the machine that runs the stage.",
    )
    shadow_questions: int = Field(
        60,
        ge=2,
        le=1_000,
        description="Recent queries that a release is tried on, beside half as many products of"
        " the catalog.",
    )
    shadow_slowdown: float = Field(
        2.5,
        ge=1,
        description="How many times the live release's time a new one may take; 5 ms if it is"
        " less.",
    )

    watch_seconds: float = Field(
        1_800, gt=0, le=18_000, description="How long a release is watched after it went live."
    )
    watch_every_seconds: float = Field(
        15, gt=0, description="How often the watch reads the request log."
    )
    watch_baseline_seconds: float = Field(
        86_400, gt=0, description="How long before that requests count as the time before."
    )
    watch_false_alarm: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="Chance that a release is taken back though it is no worse.",
    )

    # Where releases are served
    deploy_target: Literal["local", "kubernetes"] = Field(
        "local", description="The microservice on this machine, or Seldon Core on Kubernetes."
    )
    kubernetes_config: Path | None = Field(
        None,
        description="Kubernetes: the kubeconfig file; else the service account of the pod that we"
        " run in, else the file that kubectl takes.",
    )
    kubernetes_context: str = Field(
        "", description="Kubernetes: the kubeconfig's context; empty: its current one."
    )
    kubernetes_connection: str = Field(
        "", description="Airflow connection that says instead how the cluster is reached."
    )
    kubernetes_namespace: str = Field("default", description="Kubernetes: where it is deployed.")
    kubernetes_name: str = Field("recommender", description="Name of the SeldonDeployment.")
    kubernetes_image: str = Field(
        "", description="The image of seldon/Dockerfile by digest: name@sha256:<64 hex digits>."
    )
    kubernetes_claim: str = Field(
        "", description="The persistent volume claim that holds this platform's state_dir."
    )
    kubernetes_claim_path: str = Field(
        "", description="The state_dir's path in that claim; empty: all of it."
    )
    kubernetes_token_secret: str = Field(
        "",
        description="The Secret whose key `token` holds the serving token, for the pods; the"
        " platform itself gets it by serving_token or serving_token_file.",
    )
    kubernetes_replicas: int = Field(2, ge=1, le=1_000, description="Pods that always serve.")
    kubernetes_max_replicas: int = Field(
        4, ge=1, le=1_000, description="Most pods under load; as many as always: no autoscaling."
    )
    kubernetes_cpu: str = Field("1", description="Processors that a pod asks for, such as 500m.")
    kubernetes_memory: str = Field("1Gi", description="Memory of a pod, asked for and its limit.")

    # Local services, all on 127.0.0.1
    airflow_port: int = Field(8080, ge=1, le=65_535, description="Airflow's web UI and API.")
    mlflow_port: int = Field(5000, ge=1, le=65_535, description="MLflow's UI.")
    seldon_port: int = Field(9000, ge=1, le=65_535, description="The Seldon microservice (REST).")
    serving_front: Literal["none", "haproxy"] = Field(
        "none",
        description="Whether HAProxy (to be installed) stands before the Seldon microservice, so"
        " that `recsys swap` can bring other code into service without a pause.",
    )
    seldon_blue_port: int = Field(
        9001, ge=1, le=65_535, description="One of the two microservices behind HAProxy."
    )
    seldon_green_port: int = Field(9002, ge=1, le=65_535, description="The other of these.")
    airflow_parallelism: int = Field(2, ge=1, le=256, description="Airflow tasks at a time.")
    start_timeout_seconds: float = Field(300, gt=0, description="Longest start of a service.")

    # Provenance
    provenance: Literal["embedded", "pachyderm"] = Field(
        "embedded", description="Which data store: our own under state_dir, or a Pachyderm server."
    )
    pachd_address: str = Field(
        "", description="Pachyderm: grpc://host:port, or grpcs://host:port with TLS."
    )
    pachd_token: SecretStr = Field(SecretStr(""), description="Pachyderm: the auth token, if any.")
    pachd_root_certs: Path | None = Field(
        None, description="Pachyderm: PEM file of certificates to trust, or the system's."
    )
    pachd_project: str = Field("default", description="Pachyderm: the project of our repos.")
    pachd_connection: str = Field(
        "", description="Airflow connection that holds Pachyderm's address and token instead."
    )
    keep_nights: int = Field(
        90, ge=1, description="Nights whose content `recsys store gc` keeps; lineage always stays."
    )
    keep_releases: int = Field(
        10,
        ge=2,
        description="Newest releases that stay on the shelf, and in the store through"
        " `recsys store gc`, beside the live one, the one before it and pinned ones.",
    )

    # Lineage for others
    openlineage_url: str = Field(
        "",
        description="Where Airflow sends OpenLineage events: http(s)://host:port of a server such"
        " as Marquez, or file:///path of a file to append to; empty: nowhere.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then ``recsys.toml``."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @field_validator(
        *("pachd_root_certs", "backbone_weights", "kubernetes_config", "serving_token_file"),
        mode="before",
    )
    @classmethod
    def _none_if_empty(cls, path: object) -> object:
        # Compose files pass what is not set as an empty text.
        return None if path == "" else path

    @field_validator(
        *("state_dir", "expectations_dir", "pachd_root_certs", "backbone_weights"),
        *("kubernetes_config", "serving_token_file"),
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("serving_token")
    @classmethod
    def _usable_token(cls, token: SecretStr) -> SecretStr:
        if token.get_secret_value() and not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError(
                "a token is 16 to 512 letters, digits and ._~+/-; `openssl rand -hex 32` makes one"
            )
        return token

    @field_validator("kubernetes_token_secret")
    @classmethod
    def _secret_name(cls, name: str) -> str:
        if name and not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", name):
            raise ValueError("it is the name of a Secret: lower-case letters, digits, - and .")
        return name

    @field_validator("openlineage_url")
    @classmethod
    def _lineage_target(cls, url: str) -> str:
        if url and not _is_server(url) and not re.fullmatch(r"file:///[^?#]*[^?#/]", url):
            raise ValueError(
                "allowed are http(s)://host:port, with a path if need be but no user, password"
                " or query, and file:///path/of/a/file"
            )
        if url.rstrip("/").endswith(LINEAGE_ENDPOINT):
            raise ValueError(f"give the server alone, without /{LINEAGE_ENDPOINT}")
        return url

    @field_validator("likeness")
    @classmethod
    def _known_attributes(cls, text: str) -> str:
        shares = _shares(text)
        unknown = sorted(set(shares) - set(ATTRIBUTES))
        if unknown or not shares.get(LABEL_COLUMN, 0) > 0 or min(shares.values()) < 0:
            raise ValueError(
                f"{LABEL_COLUMN} needs a share above 0, and others of {', '.join(ATTRIBUTES)} may"
                f" have one, written as {LABEL_COLUMN}=0.7 gender=0.3"
            )
        return text

    @field_validator("kubernetes_image")
    @classmethod
    def _by_digest(cls, image: str) -> str:
        if image and not re.fullmatch(r"[a-z0-9][^@\s]*@sha256:[0-9a-f]{64}", image):
            raise ValueError(
                "a tag can be moved, so an image is named by its digest, as"
                " shop.example/recsys-seldon@sha256:<64 hex digits>; pushing it prints the digest"
            )
        return image

    @field_validator("kubernetes_namespace", "kubernetes_name")
    @classmethod
    def _short_label(cls, name: str) -> str:
        # Seldon makes further names of it, and hashes those above 63 characters.
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", name):
            raise ValueError("it is up to 40 lower-case letters, digits and dashes")
        return name

    @field_validator("kubernetes_claim_path")
    @classmethod
    def _relative(cls, path: str) -> str:
        if path and not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", path):
            raise ValueError("it is a path within the claim, such as recsys/state")
        return path

    @field_validator("kubernetes_cpu", "kubernetes_memory")
    @classmethod
    def _quantity(cls, text: str) -> str:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?(m|[KMGT]i?|k)?", text):
            raise ValueError("it is a Kubernetes quantity, such as 500m or 2Gi")
        return text

    @field_validator("boost", mode="before")
    @classmethod
    def _boost_from_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value or "{}")
        except ValueError as error:
            raise ValueError('it is not JSON such as {"season": {"Summer": 0.05}}') from error

    @field_validator("boost")
    @classmethod
    def _boosts_of_attributes(
        cls, boost: dict[str, dict[str, float]]
    ) -> dict[str, dict[str, float]]:
        if unknown := sorted(set(boost) - {*ATTRIBUTES, STOCK_COLUMN}):
            raise ValueError(
                f"no attribute {', '.join(unknown)}; allowed: {', '.join(ATTRIBUTES)},"
                f" {STOCK_COLUMN}"
            )
        return boost

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name!r} is not an IANA time zone, such as Europe/Berlin")
        return name

    @field_validator("night_cron")
    @classmethod
    def _five_fields(cls, cron: str) -> str:
        if not re.fullmatch(r"\S+( \S+){4}", cron):
            raise ValueError(f"{cron!r} has not five fields, such as '30 2 * * *'")
        return cron

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.default_k > self.max_k:
            raise ValueError(f"default_k {self.default_k} is above max_k {self.max_k}")
        weights = [weight for values in self.boost.values() for weight in values.values()]
        if not all(abs(weight) <= self.max_boost for weight in weights):
            raise ValueError(f"a weight of boost is beyond max_boost {self.max_boost}")
        if self.test_share + self.validation_share >= 0.8:
            raise ValueError("test_share and validation_share leave too little to train on")
        if self.skip_below_change > self.fine_tune_below_change:
            raise ValueError(
                f"skip_below_change {self.skip_below_change} is above fine_tune_below_change"
                f" {self.fine_tune_below_change}"
            )
        if self.provenance == "pachyderm" and not (self.pachd_address or self.pachd_connection):
            raise ValueError(
                "provenance is pachyderm, but neither pachd_address nor pachd_connection is set"
            )
        if self.deploy_target == "kubernetes" and not (
            self.kubernetes_image and self.kubernetes_claim
        ):
            raise ValueError(
                "deploy_target is kubernetes, but kubernetes_image or kubernetes_claim is not set"
            )
        has_token = bool(self.serving_token.get_secret_value() or self.serving_token_file)
        if self.serving_token.get_secret_value() and self.serving_token_file:
            raise ValueError("both serving_token and serving_token_file are set; one says it")
        if self.deploy_target == "kubernetes" and has_token != bool(self.kubernetes_token_secret):
            raise ValueError(
                "the pods and whoever probes them need the same token: set kubernetes_token_secret"
                " together with serving_token or serving_token_file"
            )
        if self.kubernetes_replicas > self.kubernetes_max_replicas:
            raise ValueError(
                f"kubernetes_replicas {self.kubernetes_replicas} is above"
                f" kubernetes_max_replicas {self.kubernetes_max_replicas}"
            )
        ports = [self.airflow_port, self.mlflow_port, self.seldon_port]
        if self.serving_front == "haproxy":
            ports += [self.seldon_blue_port, self.seldon_green_port]
        if len(set(ports)) != len(ports):
            raise ValueError(f"two services share a port: {sorted(ports)}")
        return self

    def read_serving_token(self) -> str:
        """The token that the service asks for, from wherever it is; empty for none.

        Raises
        ------
        SettingsInvalid
            Its file cannot be read, or holds no token.
        """
        if self.serving_token_file is None:
            return self.serving_token.get_secret_value()
        try:
            token = self.serving_token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsInvalid(
                f"RECSYS_SERVING_TOKEN_FILE cannot be read: {type(error).__name__} of"
                f" {self.serving_token_file}"
            ) from error
        if not _TOKEN.fullmatch(token):
            raise SettingsInvalid(
                f"{self.serving_token_file} (RECSYS_SERVING_TOKEN_FILE) holds no token of 16 to"
                " 512 letters, digits and ._~+/-"
            )
        return token

    # Places under state_dir; nothing is created by asking.
    @property
    def zone(self) -> ZoneInfo:
        """The schedule's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def likeness_shares(self) -> dict[str, float]:
        """By attribute, its share of the similarity."""
        return _shares(self.likeness)

    @property
    def store_dir(self) -> Path:
        """The embedded data store."""
        return self.state_dir / "store"

    @property
    def releases_dir(self) -> Path:
        """Release bundles, the live pointer and the deployment history."""
        return self.state_dir / "releases"

    @property
    def serving_dir(self) -> Path:
        """What serving workers write: their status and the request log."""
        return self.state_dir / "serving"

    @property
    def changes_dir(self) -> Path:
        """Changes between nights, and the inbox for more."""
        return self.state_dir / "changes"

    @property
    def mlflow_dir(self) -> Path:
        """MLflow's database and artefacts."""
        return self.state_dir / "mlflow"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking and registry URI."""
        return f"sqlite:///{self.mlflow_dir / 'mlflow.db'}"

    @property
    def airflow_dir(self) -> Path:
        """AIRFLOW_HOME."""
        return self.state_dir / "airflow"

    @property
    def data_docs_dir(self) -> Path:
        """Every gate's Data Docs, one folder a night."""
        return self.state_dir / "data_docs"

    @property
    def logs_dir(self) -> Path:
        """The local services' logs."""
        return self.state_dir / "logs"

    @property
    def run_dir(self) -> Path:
        """Process files of the local services."""
        return self.state_dir / "run"

    @property
    def tuning_dir(self) -> Path:
        """What searches for better parameters remember, and their plots."""
        return self.state_dir / "tuning"

    @property
    def sheets_dir(self) -> Path:
        """Contact sheets that commands drew by themselves."""
        return self.state_dir / "sheets"

    @property
    def scratch_dir(self) -> Path:
        """Temporary work; safe to delete when nothing runs."""
        return self.state_dir / "scratch"

    @property
    def predictions_url(self) -> str:
        """Where the Seldon microservice answers."""
        return f"http://127.0.0.1:{self.seldon_port}/api/v1.0/predictions"


def load_settings(**overrides: object) -> Settings:
    """Read the settings; arguments win over the environment and ``recsys.toml``.

    Raises
    ------
    SettingsInvalid
        A value is out of its range, or two contradict; names each and its variable.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"RECSYS_{'_'.join(map(str, item['loc'])).upper() or '…'}: {item['msg']}{_found(item)}"
            for item in error.errors()
        ]
        raise SettingsInvalid("Settings cannot be used:\n  " + "\n  ".join(lines)) from error


def _shares(text: str) -> dict[str, float]:
    """``name=share`` pairs; what is not one has a share that is refused."""
    pairs = [pair.partition("=") for pair in text.split()]
    return {
        name: float(share) if re.fullmatch(r"[0-9]*\.?[0-9]+", share) else -1.0
        for name, _, share in pairs
    }


def _found(problem: ErrorDetails) -> str:
    """The value that was wrong; not that of a secret, of all settings at once, or misnamed."""
    shown = Settings.model_fields.keys() - _SECRET
    if problem["loc"][:1] and problem["loc"][0] in shown:
        return f" (found {str(problem['input'])[:80]!r})"
    return ""


def _is_server(url: str) -> bool:
    """Whether this is http(s)://host[:port][/path] and nothing else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and port != 0
        and "@" not in parts.netloc
        and not (parts.query or parts.fragment)
    )
