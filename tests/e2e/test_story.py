"""The story of an installation on real nodes. The tests run in their order, on one release."""

import json
from collections import Counter

import pytest

from tests.e2e.clusters import Cluster
from tests.e2e.inside import Inside, pairing_tokens, redeeming, sending_heartbeats
from tests.e2e.releases import Release
from tests.harness.processes import poll

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NAMESPACE = "default"
COMPONENTS = ("controller", "exchange")
# A number as OpenShift assigns it.
OTHER_USER = 1000710000


def master_tokens_of(cluster: Cluster, names: set[str]) -> Counter[str]:
    listed = json.loads(cluster.kubectl("get", "mastertokens", f"--namespace={NAMESPACE}", "--output=json"))["items"]
    counted = Counter(item["spec"]["pairingTokenRef"]["name"] for item in listed if "pairingTokenRef" in item["spec"])
    return Counter({name: count for name, count in counted.items() if name in names})


def assert_each_was_redeemed_once(cluster: Cluster, names: set[str], printed: str) -> None:
    result = json.loads(printed)
    assert result["failures"] == []
    assert result["masters"] == len(names)
    assert master_tokens_of(cluster, names) == Counter(dict.fromkeys(names, 1))


def test_an_installation_that_waited_is_ready(release: Release) -> None:
    for component in COMPONENTS:
        pods = release.pods(component)
        assert len(pods) == 2
        for pod in pods:
            assert all(status["ready"] and not status["restartCount"] for status in pod["status"]["containerStatuses"])


def test_helm_test_passes(release: Release) -> None:
    assert "Succeeded" in release.test()


def test_a_pod_pairs_over_the_service_with_the_ca_of_the_secret(cluster: Cluster, release: Release) -> None:
    ((name, data),) = pairing_tokens(cluster, NAMESPACE, 1).items()
    command = ["/opt/tallystick/bin/tallystick", "pair", "--token-file=/input/token", f"--issuer={release.issuer}"]
    places = ["--ca-file=/input/ca.crt", "--out=/tmp/master-token"]

    inside = Inside.start(release, NAMESPACE, [*command, *places], {"token": data["token"], "ca.crt": data["ca.crt"]})

    assert f"Paired with {release.issuer}" in inside.output()
    assert master_tokens_of(cluster, {name}) == {name: 1}


def test_another_replica_leads_after_the_pod_of_the_leader_was_deleted(cluster: Cluster, release: Release) -> None:
    before = release.leader()
    assert before in {pod["metadata"]["name"] for pod in release.pods("controller")}

    cluster.kubectl("delete", "pod", before, f"--namespace={release.namespace}", "--wait=false")

    poll(lambda: release.leader() not in {"", before}, seconds=120)
    assert len(pairing_tokens(cluster, NAMESPACE, 1)) == 1


def test_no_redemption_is_lost_or_doubled_while_an_exchange_pod_is_deleted(
    cluster: Cluster, release: Release, redemptions: int
) -> None:
    release.wait_until_available()
    tokens = pairing_tokens(cluster, NAMESPACE, redemptions)
    victim = release.pods("exchange")[0]["metadata"]["name"]

    inside = redeeming(release, NAMESPACE, tokens)
    poll(lambda: sum(master_tokens_of(cluster, set(tokens)).values()) > redemptions // 10, seconds=180)
    cluster.kubectl("delete", "pod", victim, f"--namespace={release.namespace}", "--wait=false")
    met = sum(master_tokens_of(cluster, set(tokens)).values())

    assert_each_was_redeemed_once(cluster, set(tokens), inside.output(600))
    assert met < redemptions, "the pod was deleted after the last redemption: raise --redemptions"


def test_the_certificate_is_renewed_and_the_chart_upgraded_under_load(
    cluster: Cluster, release: Release, redemptions: int
) -> None:
    tokens = pairing_tokens(cluster, NAMESPACE, redemptions)
    before = release.secret("exchange-tls")
    inside = redeeming(release, NAMESPACE, tokens, pause=0.5)

    cluster.kubectl("delete", "secret", f"{release.name}-exchange-tls", f"--namespace={release.namespace}")
    poll(lambda: release.has_secret("exchange-tls"), seconds=120)
    release.upgrade({"exchange": {"podAnnotations": {"e2e": "upgraded"}}})

    renewed = release.secret("exchange-tls")
    assert renewed["tls.crt"] != before["tls.crt"]
    assert renewed["ca.crt"] == before["ca.crt"]
    assert {pod["metadata"]["annotations"].get("e2e") for pod in release.pods("exchange")} == {"upgraded"}
    assert_each_was_redeemed_once(cluster, set(tokens), inside.output(600))


def test_all_pods_work_under_another_user(cluster: Cluster, release: Release) -> None:
    patch = {"spec": {"template": {"spec": {"securityContext": {"runAsUser": OTHER_USER}}}}}

    for component in COMPONENTS:
        where = (f"{release.name}-{component}", f"--namespace={release.namespace}")
        cluster.kubectl("patch", "deployment", *where, "--type=strategic", f"--patch={json.dumps(patch)}")
    release.wait_until_available()

    for component in COMPONENTS:
        users = {pod["spec"]["securityContext"]["runAsUser"] for pod in release.pods(component)}
        assert users == {OTHER_USER}
    tokens = pairing_tokens(cluster, NAMESPACE, 3)
    assert_each_was_redeemed_once(cluster, set(tokens), redeeming(release, NAMESPACE, tokens).output())


@pytest.mark.timeout(3600)
def test_rollouts_heap_up_no_records_of_instances(cluster: Cluster, release: Release, rollouts: int) -> None:
    heartbeats = sending_heartbeats(release, NAMESPACE)

    for _ in range(rollouts):
        seen = heartbeats.logs().count("200")
        cluster.kubectl("rollout", "restart", f"deployment/{release.name}-exchange", f"--namespace={release.namespace}")
        release.wait_until_available()
        # Both new pods have had the time to see some.
        poll(lambda seen=seen: heartbeats.logs().count("200") > seen + 10, seconds=120)
    heartbeats.delete()

    assert len(release.instance_maps()) >= 1
    poll(lambda: len(release.instance_maps()) <= 2 * len(release.pods("exchange")), seconds=180)


def test_an_uninstallation_keeps_tokens_and_keys_and_a_new_one_goes_on_with_them(
    cluster: Cluster, release: Release
) -> None:
    ((name, data),) = pairing_tokens(cluster, NAMESPACE, 1).items()

    release.uninstall()
    assert release.pods("controller") == []
    release.install()

    assert_each_was_redeemed_once(cluster, {name}, redeeming(release, NAMESPACE, {name: data}).output())
