"""Put the whole catalog through the champion and make its neighbours findable.

Runs when a champion was named or confirmed. What comes out wakes `redeploy_service`.

If you are paged:

- `embed_catalog` fails: the model or the stored images could not be read; the store's
  message names the commit. Nothing downstream has moved. Run it again: it goes on after
  the pictures that were embedded. `recsys embeddings` tells whose vectors there are.
- `build_index` fails with a refusal: the index finds fewer of the true neighbours than
  the suite `index` asks for. The release that serves is untouched. `RECSYS_INDEX_FACTORY`
  was set by hand? `auto` is exact for catalogs of this size; or raise
  `RECSYS_INDEX_NPROBE`.
- Out of memory: vectors take four bytes × products × dimension, twice while building.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset

from recsys import names
from recsys_airflow.defaults import TAGS, task_defaults
from recsys_airflow.operators import StageOperator

with DAG(
    dag_id=names.DAG_REBUILD,
    description="Embed what is new, build the index, gate its recall.",
    doc_md=__doc__,
    schedule=[Asset(names.ASSET_CHAMPION_MODEL)],
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(execution_timeout=timedelta(hours=3)),
    tags=TAGS,
):
    embed = StageOperator(
        task_id="embed_catalog",
        stage="embed_catalog",
        doc_md="One unit vector a product, kept under the model's digest.",
    )
    build = StageOperator(
        task_id="build_index",
        stage="build_index",
        receipts={"embed_catalog": embed.output},
        outlets=[Asset(names.ASSET_PRODUCT_INDEX)],
        doc_md="The index and its recall against exact search; the suite `index` judges.",
    )
