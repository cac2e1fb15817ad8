"""Learn from the catalog that passed, and let a better model become champion.

Runs when a catalog was validated, or when drift was alarmed. What comes out, a new
champion or the old one confirmed, wakes `rebuild_index`.

If you are paged:

- `train_model` fails: it is the only task that needs hours and gigabytes; look at memory
  first. The log ends with the epoch it reached, and MLflow has the curves.
- `plan_training` decides whether the champion is kept, fine-tuned or a model trained in full;
  its log says why. `RECSYS_RETRAIN` overrules it.
- `evaluate_model` or `probe_model` fails: the figures could not be made; no model was judged.
- `approve_model` fails: the gate refused the model. The message names the floor it fell
  below, or by how much it lost to the champion, on all queries or on a slice of them. The
  champion still serves. `recsys evaluate` shows both side by side. A catalog that changed
  much is the usual cause: compare the last two runs in MLflow.
- `check_labels` fails: more labels look wrong than a model should learn from
  (`recsys labels` shows which of the last accepted night); the champion stays.
- An unchanged catalog costs seconds here: every task finds its earlier commit.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset

from recsys import names
from recsys_airflow.defaults import TAGS, task_defaults
from recsys_airflow.operators import StageOperator

with DAG(
    dag_id=names.DAG_RETRAIN,
    description="Split, train, evaluate, gate against the champion, register.",
    doc_md=__doc__,
    schedule=Asset(names.ASSET_VALIDATED_CATALOG) | Asset(names.ASSET_DRIFT_ALARM),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(execution_timeout=timedelta(hours=6)),
    tags=TAGS,
):
    split = StageOperator(
        task_id="split_catalog",
        stage="split_catalog",
        doc_md="Train, validation and test, so that no image stands in two of them.",
    )
    plan = StageOperator(
        task_id="plan_training",
        stage="plan_training",
        receipts={"split_catalog": split.output},
        doc_md="Skip, fine-tune or train in full: by data change, drift and age.",
    )
    train = StageOperator(
        task_id="train_model",
        stage="train_model",
        receipts={"plan_training": plan.output},
        doc_md="The network, its preprocessing inside; an MLflow run.",
    )
    evaluate = StageOperator(
        task_id="evaluate_model",
        stage="evaluate_model",
        receipts={"train_model": train.output},
        doc_md="Retrieval figures on the test products.",
    )
    probe = StageOperator(
        task_id="probe_model",
        stage="probe_model",
        receipts={"train_model": train.output},
        doc_md="Altered pictures, an attack, parity of the export with Keras, size and speed.",
    )
    labels = StageOperator(
        task_id="check_labels",
        stage="check_labels",
        receipts={"evaluate_model": evaluate.output},
        doc_md="Labels that are probably wrong, ranked; the suite `labels` judges their share.",
    )
    approve = StageOperator(
        task_id="approve_model",
        stage="approve_model",
        receipts={
            "evaluate_model": evaluate.output,
            "probe_model": probe.output,
            "check_labels": labels.output,
        },
        outlets=[Asset(names.ASSET_CHAMPION_MODEL)],
        doc_md="Suites `model_probes`, `model`, `model_slices`; MLflow knows the champion.",
    )
