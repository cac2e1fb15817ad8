"""What a task tells OpenLineage: the commits it read and the one it made, as datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys import names
from recsys.artifacts.receipt import Receipt
from recsys.settings import Settings

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


def commit_lineage(settings: Settings, receipt: Receipt) -> OperatorLineage[Any, Any]:
    """The receipt's commit as output, its recorded inputs as inputs.

    A dataset is a repo and its version a commit, so that a lineage server joins the tasks of
    all nights and still knows which night's content each of them read.
    """
    # Here, not above: the provider takes seconds to import, and it is off by default.
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import DatasetFacet, dataset_version_dataset

    from recsys.provenance import open_store

    def described(ref: str) -> tuple[str, dict[str, DatasetFacet]]:
        repo, commit = names.parse_ref(ref)
        return repo, {"version": dataset_version_dataset.DatasetVersionDatasetFacet(commit)}

    inputs = [described(ref) for ref in open_store(settings).inspect(receipt.ref).inputs]
    output, facets = described(receipt.ref)
    return OperatorLineage(
        inputs=[
            InputDataset(names.LINEAGE_NAMESPACE, repo, facets=facets) for repo, facets in inputs
        ],
        outputs=[OutputDataset(names.LINEAGE_NAMESPACE, output, facets=facets)],
    )
