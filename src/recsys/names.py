"""The one place that composes and parses names: repos, DAGs, assets, aliases, references."""

from __future__ import annotations

import re
from typing import Final

# Provenance repos, in the order of the flow. An arrow is a commit that names its inputs.
CATALOG: Final = "catalog"
CHANGES: Final = "changes"
OVERRIDES: Final = "overrides"
PURGES: Final = "purges"
MEASURED: Final = "measured"
VALIDATED: Final = "validated"
SPLITS: Final = "splits"
PLANS: Final = "plans"
MODELS: Final = "models"
EVALUATIONS: Final = "evaluations"
PROBE_REPORTS: Final = "probe_reports"
LABEL_REPORTS: Final = "label_reports"
CHAMPIONS: Final = "champions"
EMBEDDINGS: Final = "embeddings"
INDEXES: Final = "indexes"
RELEASES: Final = "releases"
SHADOWS: Final = "shadows"
DEPLOYMENTS: Final = "deployments"
WATCHES: Final = "watches"
SERVICE_REPORTS: Final = "service_reports"

# DAG ids and the assets that join them.
DAG_VALIDATE: Final = "validate_catalog"
DAG_RETRAIN: Final = "retrain_model"
DAG_REBUILD: Final = "rebuild_index"
DAG_REDEPLOY: Final = "redeploy_service"
DAG_WATCH_RELEASE: Final = "watch_release"
DAG_WATCH: Final = "watch_service"
NIGHT_DAGS: Final = (DAG_VALIDATE, DAG_RETRAIN, DAG_REBUILD, DAG_REDEPLOY)

ASSET_VALIDATED_CATALOG: Final = "validated_catalog"
ASSET_CHAMPION_MODEL: Final = "champion_model"
ASSET_PRODUCT_INDEX: Final = "product_index"
ASSET_LIVE_RELEASE: Final = "live_release"
ASSET_DRIFT_ALARM: Final = "drift_alarm"

# Model registry.
REGISTERED_MODEL: Final = "product-embedder"
EXPERIMENT: Final = "product-embedder"
ALIAS_CHAMPION: Final = "champion"
ALIAS_CHALLENGER: Final = "challenger"

# OpenLineage: of jobs and of datasets; a dataset is a repo, its version a commit.
LINEAGE_NAMESPACE: Final = "recsys"

# Requests that deployment makes carry this in front of their puid; they are no shopper's.
PROBE_PUID: Final = "probe-"

# Where the service's token may stand, too: some proxies take ``Authorization`` for themselves.
TOKEN_HEADER: Final = "X-Recsys-Token"  # noqa: S105 - the name, not a token

# Suites under expectations/, one file each.
SUITE_DELIVERY: Final = "delivery"
SUITE_PRODUCTS: Final = "products"
SUITE_PRODUCT_ROWS: Final = "product_rows"
SUITE_DRIFT: Final = "drift"
SUITE_MODEL: Final = "model"
SUITE_MODEL_SLICES: Final = "model_slices"
SUITE_MODEL_PROBES: Final = "model_probes"
SUITE_LABELS: Final = "labels"
SUITE_INDEX: Final = "index"
SUITE_SHADOW: Final = "shadow"
SUITE_DEPLOYMENT: Final = "deployment"
SUITE_ROLLBACK: Final = "rollback"
SUITE_SERVICE: Final = "service"

_REF = re.compile(r"(?P<repo>[A-Za-z0-9_-]{1,63})@(?P<commit>[0-9a-f]{32})")
_RELEASE = re.compile(r"r-[0-9a-f]{16}")
_MODEL = re.compile(r"m-[0-9a-f]{12}")


def commit_ref(repo: str, commit_id: str) -> str:
    """Compose ``repo@commit``."""
    ref = f"{repo}@{commit_id}"
    parse_ref(ref)
    return ref


def parse_ref(ref: str) -> tuple[str, str]:
    """Split ``repo@commit`` into (repo, 32 hex digits).

    Raises
    ------
    ValueError
        The text is not a commit reference.
    """
    match = _REF.fullmatch(ref)
    if match is None:
        raise ValueError(f"{ref!r} is not a commit reference; expected repo@<32 hex digits>")
    return match["repo"], match["commit"]


def is_ref(text: str) -> bool:
    """Whether the text is a commit reference."""
    return _REF.fullmatch(text) is not None


def release_id(manifest_sha256: str) -> str:
    """The id of the release whose manifest has this SHA-256 (hex)."""
    return f"r-{manifest_sha256[:16]}"


def is_release_id(text: str) -> bool:
    """Whether the text has the form of a release id, and so is safe as a folder name."""
    return _RELEASE.fullmatch(text) is not None


def is_model_version(text: str) -> bool:
    """Whether the text has the form of a model's short name."""
    return _MODEL.fullmatch(text) is not None


def model_version(model_sha256: str) -> str:
    """The short name of the model whose exported file has this SHA-256 (hex)."""
    return f"m-{model_sha256[:12]}"


def index_version(index_sha256: str) -> str:
    """The short name of the index whose file has this SHA-256 (hex)."""
    return f"i-{index_sha256[:12]}"
