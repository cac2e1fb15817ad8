"""Releases on Seldon Core on Kubernetes: the real client against a double of the API server."""

import dataclasses
import subprocess
import sys

import pytest
from pydantic import SecretStr

from deploy import api_server as double
from deploy.api_server import (
    DEPLOYMENTS,
    FAILED,
    NAME,
    NAMESPACE,
    NEVER_READY,
    PLAIN_404,
    ROLLED,
    SELDON,
    STUCK,
    TOKEN,
    Step,
    status,
    write_kubeconfig,
)
from recsys.artifacts.live import read_live
from recsys.deploy import LocalSeldon, open_target
from recsys.deploy.cluster import Cluster, connect
from recsys.deploy.kubernetes import KubernetesSeldon
from recsys.deploy.manifest import predictor, seldon_deployment
from recsys.errors import (
    BadInput,
    ClusterRefused,
    DeployFailed,
    ReleaseUnknown,
    ServiceUnavailable,
    SettingsInvalid,
)
from recsys.settings import load_settings
from serving_release import IDS, damage, make_release

IMAGE = "registry.shop.example/recsys-seldon@sha256:" + "a" * 64
BACK = [Step("Available")]  # the former's pods never went
FORBIDDEN = status(403, 'User "night" cannot do that in the namespace "shop"', reason="Forbidden")


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def releases(state_dir):
    return [make_release(state_dir / "releases", seed).id for seed in range(2)]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with double.api_server() as running:
        yield running


@pytest.fixture
def settings(state_dir, releases, server, tmp_path):
    (state_dir / "releases" / "live").unlink(missing_ok=True)
    return load_settings(
        state_dir=state_dir,
        deploy_target="kubernetes",
        deploy_timeout_seconds=20,
        kubernetes_config=write_kubeconfig(tmp_path / "kubeconfig", server.address),
        kubernetes_context="shop",
        kubernetes_namespace=NAMESPACE,
        kubernetes_image=IMAGE,
        kubernetes_claim="recsys-state",
    )


def target_of(settings, **changes):
    settings = settings.model_copy(update=changes)
    cluster = Cluster(connect(settings), NAMESPACE, NAME)
    return KubernetesSeldon(settings, cluster, poll_seconds=0.01)


@pytest.fixture
def target(settings):
    return target_of(settings)


@pytest.fixture
def hurried(settings):
    """Whose patience ends after a few looks."""
    return target_of(settings, deploy_timeout_seconds=0.5)


@pytest.fixture
def with_one_live(target, server, releases):
    target.deploy(releases[0])
    server.requests.clear()
    return server


def live_alone(settings, release_id):
    return seldon_deployment(settings, predictor(settings, release_id, "live"))


def is_live_as_before(server, settings, release_id):
    last = server.sent("PATCH")[-1]
    return (
        last.body["spec"] == live_alone(settings, release_id)["spec"]
        and last.query["force"] == "True"
        and read_live(settings.releases_dir) == release_id
    )


def test_a_release_is_applied_server_side_under_our_name_and_goes_live(
    target, server, settings, releases
):
    deployment = target.deploy(releases[0])
    (applied,) = server.sent("PATCH")
    assert applied.path == SELDON
    assert applied.content_type == "application/apply-patch+yaml"
    assert applied.query == {
        "fieldManager": "recsys",
        "fieldValidation": "Strict",
        "force": "False",
    }
    assert applied.body == live_alone(settings, releases[0])
    assert (deployment.release, deployment.previous) == (releases[0], None)
    assert (deployment.workers, deployment.changed) == (2, True)
    assert read_live(settings.releases_dir) == releases[0]


def test_available_of_the_object_before_is_not_taken_for_this_one(target, with_one_live, releases):
    deployment = target.deploy(releases[1])
    assert (deployment.previous, deployment.changed) == (releases[0], True)
    # It asked for an answer once, when the last step was reached.
    assert len(with_one_live.sent("POST")) == 1
    assert with_one_live.place >= len(ROLLED) - 1


def test_a_release_that_is_live_already_is_not_changed(target, with_one_live, releases):
    assert not target.deploy(releases[0]).changed


def test_a_rollback_applies_the_release_before(target, with_one_live, settings, releases):
    target.deploy(releases[1])
    target.roll_back(releases[0])
    assert with_one_live.found == live_alone(settings, releases[0])


def test_too_few_available_pods_are_not_enough(server, settings, releases):
    server.scripts = [[Step("Available", updated=1, total=1, available=1)]]
    target = target_of(settings, deploy_timeout_seconds=0.5, kubernetes_replicas=4)
    with pytest.raises(DeployFailed, match="1 of 2 new pods"):
        target.deploy(releases[0])
    server.scripts = [[Step("Available")]]
    with pytest.raises(DeployFailed, match="2 of at least 4 pods of predictor live answer"):
        target.deploy(releases[0])


AT_ONCE = {
    "Seldon says Failed: Deployment is no longer progressing and not available": FAILED,
    "recommender-live-0-recommender is stuck: ReplicaSet .* timed out progressing": STUCK,
}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        *((script, said) for said, script in AT_ONCE.items()),
        (NEVER_READY, r"not within 0.5 seconds: 1 of 2 new pods of recommender-live-0"),
        ([Step("Available", taken=False)], "Seldon has not taken up predictor live yet"),
        ([Step("Available", seen=False)], "Kubernetes has not seen the change"),
        ([Step("Creating", total=3)], "1 old pods of recommender-live-0-recommender remain"),
        ([Step("Creating", available=1)], "1 of 2 pods of recommender-live-0.* are available"),
        ([Step("Creating")], "Seldon says Creating"),
    ],
)
def test_what_does_not_become_ready_is_taken_back_and_says_why(
    settings, with_one_live, releases, script, said
):
    with_one_live.scripts = [script, BACK]
    patience = 0.5 if said not in AT_ONCE else 20
    target = target_of(settings, deploy_timeout_seconds=patience)
    with pytest.raises(DeployFailed, match=said) as failed:
        target.deploy(releases[1])
    assert f"release {releases[1]} did not go live" in str(failed.value)
    assert f"{releases[0]} is live, as before" in str(failed.value)
    assert is_live_as_before(with_one_live, settings, releases[0])


def test_a_failure_shows_the_pods_their_logs_and_the_warnings(hurried, with_one_live, releases):
    with_one_live.scripts = [NEVER_READY, BACK]
    with_one_live.pods = [
        double.pod("recommender-live-a", "ImagePullBackOff", "manifest unknown"),
        double.pod("recommender-live-b", restarts=3),
        double.pod("recommender-live-c"),
    ]
    with_one_live.log = "keeping None: ArtifactInvalid: vectors.npy has SHA-256 12…\n" + "x" * 900
    with_one_live.events = [
        double.event("recommender-live-a", "Failed", "cannot pull the image"),
        double.event("somebody-else", "BackOff", "not ours"),
    ]
    with pytest.raises(DeployFailed) as failed:
        hurried.deploy(releases[1])
    said = str(failed.value)
    assert "pod recommender-live-a: recommender ImagePullBackOff: manifest unknown" in said
    assert "pod recommender-live-b: recommender was restarted 3 times" in said
    assert "and 1 more pods that are not ready" in said
    assert "    keeping None: ArtifactInvalid: vectors.npy" in said
    assert "x" * 301 not in said
    assert "event Failed of recommender-live-a: cannot pull the image" in said
    assert "not ours" not in said


def test_a_failure_that_we_may_not_look_into_still_says_why(hurried, with_one_live, releases):
    with_one_live.scripts = [NEVER_READY, BACK]
    with_one_live.refuse("GET", f"{double.CORE}/pods", *FORBIDDEN)
    with_one_live.refuse("GET", f"{double.CORE}/events", *FORBIDDEN)
    with pytest.raises(DeployFailed, match=r"(?s)1 of 2 new pods.*pods: the cluster does not let"):
        hurried.deploy(releases[1])


def test_a_first_release_that_fails_leaves_nothing_behind(target, server, settings, releases):
    server.scripts = [FAILED]
    with pytest.raises(DeployFailed, match="no release is live, as before"):
        target.deploy(releases[0])
    assert server.found is None
    assert read_live(settings.releases_dir) is None


def test_failed_of_the_object_before_is_waited_out(target, with_one_live, releases):
    old = Step("Failed", "webhook timed out", taken=False)
    with_one_live.script, with_one_live.place = [old], 0
    with_one_live.scripts = [[old, *ROLLED[1:]]]
    assert target.deploy(releases[1]).release == releases[1]


def test_failed_of_the_refused_release_is_not_taken_for_the_one_put_back(
    target, with_one_live, releases
):
    lingering = dataclasses.replace(FAILED[-1], taken=False)
    with_one_live.scripts = [FAILED, [lingering, *ROLLED[1:]]]
    with pytest.raises(DeployFailed, match=f"{releases[0]} is live, as before"):
        target.deploy(releases[1])


def test_what_could_not_be_put_back_is_told(target, with_one_live, releases):
    with_one_live.refuse("PATCH", SELDON, *status(504, "request did not complete"))
    with pytest.raises(DeployFailed, match=f"answered 504.*{releases[0]} could not be put back"):
        target.deploy(releases[1])


def test_pods_that_answer_with_another_release_are_not_believed(hurried, with_one_live, releases):
    with_one_live.answers_with = releases[0]
    with_one_live.scripts = [BACK]
    with pytest.raises(DeployFailed, match="answered with another release"):
        hurried.deploy(releases[1])


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (FORBIDDEN, r"does not let us apply.*namespace shop.*User \"night\" cannot.*cluster\.md"),
        (status(401, "Unauthorized"), "does not let us apply"),
        ((404, PLAIN_404), r"knows no seldondeployments.*install Seldon Core 1\.17\.1"),
        (double.missing("namespaces"), 'cannot apply .* namespaces "recommender" not found'),
        (status(422, "admission webhook denied the request"), "did not take it.*webhook denied"),
        (status(400, 'strict decoding error: unknown field "spec.x"'), "did not take it.*spec.x"),
    ],
)
def test_what_the_cluster_refuses_at_once_says_what_to_do(
    target, with_one_live, settings, releases, reply, said
):
    with_one_live.refuse("PATCH", SELDON, *reply)
    with pytest.raises(ClusterRefused, match=said) as refused:
        target.deploy(releases[1])
    assert TOKEN not in str(refused.value)
    assert len(with_one_live.sent("PATCH")) == 1
    assert with_one_live.found == live_alone(settings, releases[0])
    assert read_live(settings.releases_dir) == releases[0]


def test_what_a_person_changed_by_hand_is_not_overwritten(target, with_one_live, releases):
    with_one_live.owner = "kubectl-edit"
    with pytest.raises(ClusterRefused, match=r'"kubectl-edit".*\.spec\.predictors.*kubectl diff'):
        target.deploy(releases[1])
    assert [request.query["force"] for request in with_one_live.sent("PATCH")] == ["False"]


def test_a_permission_that_is_missing_half_way_puts_the_former_back(
    target, with_one_live, settings, releases
):
    with_one_live.refuse("GET", DEPLOYMENTS, *FORBIDDEN)
    with pytest.raises(ClusterRefused, match="does not let us list Deployments"):
        target.deploy(releases[1])
    assert is_live_as_before(with_one_live, settings, releases[0])


def test_a_time_limit_in_the_middle_puts_the_former_back(
    target, with_one_live, settings, releases, monkeypatch
):
    def limit(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("recsys.deploy.waiting.time.sleep", limit)
    with pytest.raises(KeyboardInterrupt):
        target.deploy(releases[1])
    assert is_live_as_before(with_one_live, settings, releases[0])


def test_an_api_server_that_restarts_meanwhile_is_waited_for(target, with_one_live, releases):
    with_one_live.outages_after_apply = 3
    assert target.deploy(releases[1]).release == releases[1]


def test_without_an_api_server_nothing_is_deployed(settings, releases, server):
    server.outages = 1
    with pytest.raises(DeployFailed, match=r"answered 503.*what serves was not touched"):
        target_of(settings).deploy(releases[0])
    elsewhere = target_of(settings, kubernetes_context="elsewhere")
    with pytest.raises(DeployFailed, match=r"127\.0\.0\.1:1 does not answer.*not touched"):
        elsewhere.deploy(releases[0])
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        elsewhere.probe([IDS[0]], releases[0])


def test_a_damaged_release_is_refused_before_the_cluster_is_changed(target, server, settings):
    broken = make_release(settings.releases_dir, seed=7).id
    damage(settings.releases_dir / broken)
    with pytest.raises(DeployFailed, match=r"vectors\.npy"):
        target.deploy(broken)
    assert server.sent("PATCH") == []


@pytest.mark.parametrize("release_id", ["r-" + "0" * 16, "live", ".."])
def test_an_unknown_release_is_not_deployed(target, server, release_id):
    with pytest.raises(ReleaseUnknown):
        target.deploy(release_id)
    assert server.sent("PATCH") == []


@pytest.mark.parametrize(("role", "traffic"), [("canary", 10), ("shadow", 0)])
def test_a_candidate_is_served_beside_the_live_one(
    target, with_one_live, settings, releases, role, traffic
):
    before = with_one_live.found["spec"]["predictors"][0]
    deployment = target.try_beside(releases[1], role, traffic)
    live, candidate = with_one_live.found["spec"]["predictors"]
    assert live == {**before, "traffic": 100 - traffic}
    assert candidate == predictor(settings, releases[1], role, traffic)
    assert deployment.release == releases[1]
    assert read_live(settings.releases_dir) == releases[0]
    assert target.probe([IDS[0]], releases[1], role)[0]["release_matches"]
    assert target.probe([IDS[0]], releases[0])[0]["release_matches"]
    target.end_trial()
    assert with_one_live.found["spec"]["predictors"] == [before]


def test_a_candidate_that_does_not_come_up_goes_and_the_live_one_never_moved(
    hurried, with_one_live, settings, releases
):
    with_one_live.scripts = [NEVER_READY, BACK]
    with pytest.raises(DeployFailed, match=r"predictor canary yet|new pods"):
        hurried.try_beside(releases[1], "canary", 5)
    assert is_live_as_before(with_one_live, settings, releases[0])


def test_promoting_a_canary_is_its_deployment(target, with_one_live, settings, releases):
    target.try_beside(releases[1], "canary", 25)
    target.deploy(releases[1])
    assert with_one_live.found == live_alone(settings, releases[1])


@pytest.mark.parametrize(("role", "traffic"), [("canary", 0), ("canary", 100), ("shadow", 5)])
def test_a_share_that_cannot_be_is_refused(target, releases, role, traffic):
    with pytest.raises(BadInput, match="a canary gets 1 to 99, a shadow none"):
        target.try_beside(releases[1], role, traffic)


def test_nothing_is_tried_beside_nothing(target, releases):
    with pytest.raises(BadInput, match="no release is live on the cluster"):
        target.try_beside(releases[1], "canary", 10)


def test_a_refused_first_release_can_be_withdrawn(target, with_one_live, settings):
    target.withdraw()
    target.withdraw()
    assert with_one_live.found is None
    assert read_live(settings.releases_dir) is None


def test_a_probe_tells_how_each_product_is_answered(target, with_one_live, releases):
    good, unknown = target.probe([IDS[0], "99"], releases[0])
    assert (good["status_code"], good["results"], good["top_score"]) == (200, 1, 0.75)
    assert (unknown["status_code"], unknown["release_matches"]) == (404, False)


def test_a_probe_sends_the_token_past_the_proxy(with_one_live, settings, releases):
    told = {"serving_token": SecretStr("0123456789abcdef"), "kubernetes_token_secret": "shop"}
    target_of(settings, **told).probe([IDS[0]], releases[0])
    assert {request.token for request in with_one_live.sent("POST")} == {"0123456789abcdef"}


def test_a_probe_that_the_role_does_not_allow_says_so(target, with_one_live, releases):
    path = f"{double.CORE}/services/recommender-live:http/proxy/api/v1.0/predictions"
    with_one_live.refuse("POST", path, *FORBIDDEN)
    with pytest.raises(ClusterRefused, match="ask service recommender-live through the API"):
        target.probe([IDS[0]], releases[0])


def test_the_setting_chooses_the_target(settings):
    assert isinstance(open_target(settings), KubernetesSeldon)
    assert isinstance(open_target(load_settings()), LocalSeldon)


def test_a_kubeconfig_that_is_not_there_is_named(settings, tmp_path):
    lost = settings.model_copy(update={"kubernetes_config": tmp_path / "lost"})
    with pytest.raises(SettingsInvalid, match=r"no way to a Kubernetes cluster.*KUBERNETES_CONFIG"):
        open_target(lost)
    unnamed = settings.model_copy(update={"kubernetes_context": "none-such"})
    with pytest.raises(SettingsInvalid, match="none-such"):
        open_target(unnamed)


def test_the_local_target_works_without_the_client():
    program = (
        "import sys; sys.modules['kubernetes'] = None\n"
        "from recsys.deploy import open_target\n"
        "from recsys.errors import SettingsInvalid\n"
        "from recsys.settings import load_settings\n"
        "print(type(open_target(load_settings())).__name__)\n"
        f"there = load_settings(deploy_target='kubernetes', kubernetes_image='{IMAGE}',"
        " kubernetes_claim='c')\n"
        "try: open_target(there)\n"
        "except SettingsInvalid as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "LocalSeldon" in done.stdout
    assert "kubernetes is not installed: install locks/cluster.txt" in done.stdout
