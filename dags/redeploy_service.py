"""Make one release of model, index and products, put it into service, or take it back.

Runs when an index passed. It is the end of the night: `live_release` tells whoever wants
to know that shoppers get the new one.

If you are paged:

- `assemble_release` fails: a part does not match its digest. Nothing was deployed.
- `shadow_release` fails with a refusal: beside the live release it erred, lacked products, was
  slow, or gave answers that no honest model gives; the message says which. Nothing was deployed.
- `deploy_release` fails with a refusal: the service answered the probe queries wrongly or
  too slowly, and the release before this one is live again. `recsys releases` tells which;
  the history beside the releases tells why.
- `deploy_release` fails otherwise: the service did not answer at all. `make status`, then
  the log of the Seldon microservice. The old release stays the live one on disk, so a
  restarted service answers from it. On Kubernetes the message holds the pods' state, their
  logs and the warnings; see docs/cluster.md.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset

from recsys import names
from recsys.settings import load_settings
from recsys_airflow.defaults import TAGS, task_defaults
from recsys_airflow.kubernetes import deploy_operator
from recsys_airflow.operators import StageOperator

settings = load_settings()

with DAG(
    dag_id=names.DAG_REDEPLOY,
    description="Assemble a release, try it, deploy it, probe it, keep it or roll back.",
    doc_md=__doc__,
    schedule=[Asset(names.ASSET_PRODUCT_INDEX)],
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(execution_timeout=timedelta(hours=1)),
    tags=TAGS,
):
    assemble = StageOperator(
        task_id="assemble_release",
        stage="assemble_release",
        doc_md="One folder, named by the digest of all that is in it.",
    )
    shadow = StageOperator(
        task_id="shadow_release",
        stage="shadow_release",
        receipts={"assemble_release": assemble.output},
        doc_md="Asked beside the live release, by no shopper; the suite `shadow` judges.",
    )
    deploy = deploy_operator(settings)(
        task_id="deploy_release",
        stage="deploy_release",
        receipts={"shadow_release": shadow.output},
        outlets=[Asset(names.ASSET_LIVE_RELEASE)],
        doc_md="Swap, wait until every worker agrees, probe; the suite `deployment` judges.",
    )
