"""What Seldon Core 1.17.1 takes as a SeldonDeployment, in our own words.

Of Seldon's own fields: a strict JSON Schema, since the custom resource's own drops what it
does not know. Of pods, metrics and budgets: the models of the official client. Of what hangs
together: the rules of Seldon's admission webhook, read from its source.
"""

from __future__ import annotations

from typing import Any

import jsonschema
from kubernetes import client

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}
ANY_OBJECT = {"type": "object"}


def closed(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


UNIT_TYPES = ["MODEL", "ROUTER", "COMBINER", "TRANSFORMER", "OUTPUT_TRANSFORMER"]
GRAPH = closed(
    "name",
    name={"type": "string"},
    type={"enum": UNIT_TYPES},
    modelUri={"type": "string"},
    parameters={"type": "array"},
    logger=closed("mode", url={"type": "string"}, mode={"enum": ["all", "request", "response"]}),
    children={"type": "array", "maxItems": 0},
)
COMPONENT = closed(
    "spec",
    metadata=ANY_OBJECT,
    spec=ANY_OBJECT,
    replicas=COUNT,
    hpaSpec=closed(
        "maxReplicas", minReplicas=COUNT, maxReplicas=COUNT, metricsv2={"type": "array"}
    ),
    pdbSpec=ANY_OBJECT,
)
PREDICTOR = closed(
    "name graph",
    name={"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
    graph=GRAPH,
    componentSpecs={"type": "array", "items": COMPONENT},
    replicas=COUNT,
    traffic={"type": "integer", "minimum": 0, "maximum": 100},
    shadow={"type": "boolean"},
    labels=TEXTS,
    annotations=TEXTS,
    svcOrchSpec=ANY_OBJECT,
    progressDeadlineSeconds=COUNT,
)
SELDON_DEPLOYMENT = closed(
    "apiVersion kind metadata spec",
    apiVersion={"const": "machinelearning.seldon.io/v1"},
    kind={"const": "SeldonDeployment"},
    metadata=closed(
        "name",
        name={"type": "string"},
        namespace={"type": "string"},
        labels=TEXTS,
        annotations=TEXTS,
    ),
    spec=closed(
        "predictors",
        predictors={"type": "array", "items": PREDICTOR},
        annotations=TEXTS,
        protocol={"enum": ["seldon", "tensorflow", "kfserving", "v2"]},
        transport={"enum": ["rest", "grpc"]},
        replicas=COUNT,
    ),
)


def refusals(body: dict[str, Any]) -> list[str]:
    """Why Seldon or Kubernetes would not take this; empty when they would."""
    checker = jsonschema.Draft202012Validator(SELDON_DEPLOYMENT)
    found = [f"{error.json_path}: {error.message}" for error in checker.iter_errors(body)]
    if found:
        return found
    predictors = body["spec"]["predictors"]
    for predictor in predictors:
        for component in predictor["componentSpecs"]:
            found += _of_component(component)
        names = [
            container["name"]
            for component in predictor["componentSpecs"]
            for container in component["spec"]["containers"]
        ]
        if predictor["graph"]["name"] not in names:
            found.append("Can't find container for Predictive Unit")
    return [*found, *_of_predictors(predictors)]


def _of_component(component: dict[str, Any]) -> list[str]:
    found = _unlike("V1PodSpec", component["spec"])
    found += _unlike("V1PodDisruptionBudgetSpec", component.get("pdbSpec", {}))
    for metric in component.get("hpaSpec", {}).get("metricsv2", []):
        found += _unlike("V2MetricSpec", metric)
    return found


def _of_predictors(predictors: list[dict[str, Any]]) -> list[str]:
    found = []
    shadows = [item for item in predictors if item.get("shadow")]
    shown = [item.get("traffic", 0) for item in predictors if not item.get("shadow")]
    if not predictors:
        found.append("Graph contains no predictors")
    if len(predictors) == 1 and shadows:
        found.append("Shadow can not exist as only predictor")
    if len(shadows) > 1:
        found.append("Multiple shadows are not allowed")
    if len({item["name"] for item in predictors}) < len(predictors):
        found.append("Duplicate predictor name")
    if len(shown) > 1 and sum(shown) != 100:
        found.append("Traffic must sum to 100 for multiple predictors")
    if len(predictors) == 1 and 0 < sum(shown) < 100:
        found.append("Traffic must sum be 100 for a single predictor when set")
    return found


def _unlike(model: str, data: dict[str, Any]) -> list[str]:
    """What of the data does not survive the official client's model."""
    api = client.ApiClient()
    try:
        parsed = api._ApiClient__deserialize(data, model)
    except (ValueError, TypeError, AttributeError) as error:
        return [f"{model}: {error}"]
    kept = api.sanitize_for_serialization(parsed)
    return [] if kept == data else [f"{model}: unknown or mistyped in {data}, only {kept} is known"]
