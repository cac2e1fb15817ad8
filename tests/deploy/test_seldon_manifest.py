"""The SeldonDeployment of a release: by Seldon's rules, hardened, one release a pod."""

import copy
import os
import re
import subprocess
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from deploy.seldon_rules import refusals
from recsys.artifacts.live import read_live
from recsys.cli.main import command_line
from recsys.deploy.manifest import ANSWERING, PODS_ANNOTATION, predictor, seldon_deployment
from recsys.errors import ReleaseUnknown, SettingsInvalid
from recsys.settings import PROJECT_ROOT, load_settings

LIVE, NEXT = "r-0123456789abcdef", "r-fedcba9876543210"
IMAGE = "registry.shop.example/recsys-seldon@sha256:" + "a" * 64
EXAMPLE = PROJECT_ROOT / "seldon" / "SeldonDeployment.yaml"
CRD = os.environ.get("SELDON_CRD", "")  # seldon-core 1.17.1's, as a YAML file


def cluster(**changes):
    return load_settings(kubernetes_image=IMAGE, kubernetes_claim="recsys-state", **changes)


def alone(**changes):
    settings = cluster(**changes)
    return seldon_deployment(settings, predictor(settings, LIVE, "live"))


def beside(role, traffic):
    settings = cluster()
    live = predictor(settings, LIVE, "live")
    return seldon_deployment(settings, live, predictor(settings, NEXT, role, traffic))


def component(manifest, place=0):
    return manifest["spec"]["predictors"][place]["componentSpecs"][0]


def pod(manifest, place=0):
    return component(manifest, place)["spec"]


def environment(manifest):
    return {item["name"]: item.get("value") for item in pod(manifest)["containers"][0]["env"]}


SHAPES = {
    "alone": alone(),
    "of fixed size": alone(kubernetes_replicas=3, kubernetes_max_replicas=3),
    "a canary": beside("canary", 10),
    "a shadow": beside("shadow", 0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_seldon_and_kubernetes_take_it(shape):
    assert refusals(SHAPES[shape]) == []


@pytest.mark.skipif(not CRD, reason="Seldon's file of two megabytes: name yours in SELDON_CRD")
@pytest.mark.parametrize("shape", SHAPES)
def test_the_custom_resources_own_schema_takes_it(shape):
    jsonschema.validate(SHAPES[shape], custom_resource())


@cache
def custom_resource():
    versions = yaml.load(Path(CRD).read_text(), yaml.CSafeLoader)["spec"]["versions"]
    schema = next(item for item in versions if item["name"] == "v1")["schema"]["openAPIV3Schema"]
    return closed(schema)


def closed(schema):
    """The schema with every object that lists its fields taking no others."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found["additionalProperties"] = False
    return found


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (("spec", "predictors", 0, "trafic"), "trafic"),
        (("spec", "predictors", 0, "componentSpecs", 0, "spec", "volume"), "V1PodSpec"),
        (("spec", "predictors", 0, "componentSpecs", 0, "pdbSpec", "max"), "V1PodDisruption"),
        (("spec", "predictors", 0, "componentSpecs", 0, "hpaSpec", "metrics"), "metrics"),
    ],
)
def test_a_misnamed_field_is_not_taken(where, said):
    manifest = copy.deepcopy(SHAPES["alone"])
    place = manifest
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = 1
    assert said in refusals(manifest)[0]


def test_the_rules_know_what_the_webhook_refuses():
    settings = cluster()
    shadow = predictor(settings, NEXT, "shadow", 0)
    only_a_shadow = {**SHAPES["alone"], "spec": {"predictors": [shadow]}}
    assert refusals(only_a_shadow) == ["Shadow can not exist as only predictor"]
    uneven = copy.deepcopy(SHAPES["a canary"])
    uneven["spec"]["predictors"][0]["traffic"] = 80
    assert refusals(uneven) == ["Traffic must sum to 100 for multiple predictors"]


def test_a_canary_takes_its_share_from_the_live_one_and_a_shadow_takes_none():
    shares = [item["traffic"] for item in SHAPES["a canary"]["spec"]["predictors"]]
    assert shares == [90, 10]
    live, shadow = SHAPES["a shadow"]["spec"]["predictors"]
    assert (live["traffic"], "shadow" in live, shadow["shadow"]) == (100, False, True)


def test_a_candidate_beside_it_leaves_the_live_pods_as_they_are():
    for shape in ("a canary", "a shadow"):
        live = SHAPES[shape]["spec"]["predictors"][0]
        assert {**live, "traffic": 100} == SHAPES["alone"]["spec"]["predictors"][0]


def test_only_the_live_one_has_a_budget_since_of_two_kubernetes_would_evict_nothing():
    manifest = SHAPES["a canary"]
    assert component(manifest, 0)["pdbSpec"] == {"maxUnavailable": 1}
    assert "pdbSpec" not in component(manifest, 1)


def test_pods_change_with_their_release_image_or_settings_and_not_with_their_number():
    def pods(manifest):
        return manifest["spec"]["predictors"][0]["annotations"][PODS_ANNOTATION]

    settings = cluster()
    other = seldon_deployment(settings, predictor(settings, NEXT, "live"))
    same = alone(kubernetes_replicas=3)
    changed = [pods(other), pods(alone(max_k=50)), pods(alone(kubernetes_memory="2Gi"))]
    assert pods(same) == pods(SHAPES["alone"])
    assert len({pods(same), *changed}) == 4


def test_a_pod_sees_one_release_read_only_and_cannot_write_elsewhere():
    found = pod(alone(kubernetes_claim_path="shop/state"))
    (container,), (first,) = found["containers"], found["initContainers"]
    mounts = {item["mountPath"]: item for item in container["volumeMounts"]}
    release = mounts[f"/state/releases/{LIVE}"]
    assert (release["subPath"], release["readOnly"]) == (f"shop/state/releases/{LIVE}", True)
    log = mounts["/state/serving/requests"]
    assert log["subPathExpr"] == "shop/state/serving/requests/$(POD_NAME)"
    assert f"ln -sfn {LIVE} /state/releases/live" in first["command"][-1]
    assert [item["mountPath"] for item in first["volumeMounts"]] == ["/state"]


def test_the_pointer_that_a_pod_makes_is_one_that_workers_follow(tmp_path):
    (first,) = pod(SHAPES["alone"])["initContainers"]
    command = [part.replace("/state", str(tmp_path)) for part in first["command"]]
    for _ in range(2):  # a pod's containers may be started again
        subprocess.run(command, check=True)
    assert read_live(tmp_path / "releases") == LIVE
    assert (tmp_path / "serving" / "requests").is_dir()


def test_every_container_is_pinned_bounded_and_without_rights():
    found = pod(SHAPES["alone"])
    assert found["securityContext"]["runAsNonRoot"]
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert found["automountServiceAccountToken"] is False
    for container in (*found["containers"], *found["initContainers"]):
        assert container["image"] == IMAGE
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"] == "1Gi"


def test_a_pod_is_ready_when_its_release_answers_and_alive_before():
    (container,) = pod(SHAPES["alone"])["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/status"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/ping"
    assert container["startupProbe"]["httpGet"]["path"] == "/health/ping"


def test_a_pod_answers_by_the_settings_of_this_machine(monkeypatch):
    settings = cluster(max_k=50, collapse=False, boost={"season": {"Summer": 0.1}})
    found = environment(seldon_deployment(settings, predictor(settings, LIVE, "live")))
    for name, value in found.items():
        if name.startswith("RECSYS_"):
            monkeypatch.setenv(name, value)
    there = load_settings()
    assert str(there.state_dir) == "/state"
    for name in ANSWERING:
        assert getattr(there, name) == getattr(settings, name), name


def test_every_setting_that_the_component_reads_is_passed_on():
    component_text = (PROJECT_ROOT / "seldon" / "Recommender.py").read_text()
    read = set(re.findall(r"settings\.(\w+)", component_text))
    # A pod's folders are its own, and it sees no spool of changes.
    of_this_machine = {"releases_dir", "serving_dir", "changes_dir", "max_changes"}
    by_reference = {"read_serving_token"}
    assert read - of_this_machine - by_reference - {"load_settings"} == set(ANSWERING)


def test_a_pod_finds_the_token_in_a_secret_and_the_manifest_does_not_hold_it():
    token = "shop-4711-do-not-tell-anyone"
    settings = cluster(
        deploy_target="kubernetes", serving_token=token, kubernetes_token_secret="shop"
    )
    found = predictor(settings, LIVE, "live")
    assert token not in str(found)
    (container,) = found["componentSpecs"][0]["spec"]["containers"]
    (variable,) = [item for item in container["env"] if item["name"] == "RECSYS_SERVING_TOKEN"]
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "shop", "key": "token"}}


@pytest.mark.parametrize("one", [{"serving_token": "0" * 16}, {"kubernetes_token_secret": "shop"}])
def test_pods_that_ask_for_a_token_nobody_sends_are_refused(one):
    with pytest.raises(SettingsInvalid, match="the same token"):
        cluster(deploy_target="kubernetes", **one)


def test_a_name_that_is_no_release_is_not_rendered():
    with pytest.raises(ReleaseUnknown, match="not a release id"):
        predictor(cluster(), "live; rm -rf /", "live")


def test_without_image_or_claim_it_says_what_is_missing():
    with pytest.raises(SettingsInvalid, match=r"RECSYS_KUBERNETES_IMAGE .*docs/cluster"):
        predictor(load_settings(), LIVE, "live")


def test_the_command_prints_the_example_in_seldon(monkeypatch):
    monkeypatch.setenv("RECSYS_KUBERNETES_IMAGE", IMAGE)
    monkeypatch.setenv("RECSYS_KUBERNETES_CLAIM", "recsys-state")
    done = CliRunner().invoke(command_line(["manifest"]), ["manifest", LIVE])
    assert done.exit_code == 0, done.output
    example = EXAMPLE.read_text()
    assert done.output == "".join(
        line for line in example.splitlines(keepends=True) if not line.startswith("#")
    )
    assert yaml.safe_load(example) == SHAPES["alone"]
