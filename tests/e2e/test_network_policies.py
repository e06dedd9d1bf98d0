"""The NetworkPolicies of the chart hold: a port is reached from where the values permit it, and from nowhere else.

They need a network plugin that enforces NetworkPolicies. kind has one. The node of our own has the plugins of CNI,
which do not, so `--cluster node` does not collect this file.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.addresses import HTTPS, PORTS, api_server, place, places
from tests.e2e.clusters import Cluster
from tests.e2e.inside import pairing_tokens, reached, reached_from, redeeming
from tests.e2e.releases import Release
from tests.e2e.test_story import NAMESPACE, assert_each_was_redeemed_once
from tests.harness.processes import poll

pytestmark = [pytest.mark.e2e, pytest.mark.enforced_policies, pytest.mark.timeout(900)]

MONITORING, ELSEWHERE = "e2e-monitoring", "e2e-elsewhere"
METRICS_FROM = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": MONITORING}}}]


@pytest.fixture(scope="module", autouse=True)
def namespaces(cluster: Cluster) -> Iterator[None]:
    """Two namespaces for the Pods that connect."""
    for name in (MONITORING, ELSEWHERE):
        cluster.kubectl("create", "namespace", name)
    yield
    cluster.kubectl("delete", "namespace", MONITORING, ELSEWHERE, "--wait=false")


def test_without_policies_each_port_is_reached(release: Release) -> None:
    """The control: the tests below see the policies, and not a port that nobody serves."""
    release.upgrade({"networkPolicies": {"enabled": False}})

    poll(lambda: reached(release, ELSEWHERE, places(release)) == places(release), seconds=120)


def test_by_default_only_the_port_of_clients_is_reached(release: Release) -> None:
    release.upgrade()

    clients = places(release, HTTPS)
    poll(lambda: reached(release, ELSEWHERE, places(release)) == clients, seconds=120)
    assert reached(release, MONITORING, places(release)) == clients


def test_metrics_are_reached_from_the_peers_of_the_values_alone(release: Release) -> None:
    release.upgrade({"networkPolicies": {"metricsFrom": METRICS_FROM}})

    poll(lambda: reached(release, MONITORING, places(release)) == places(release), seconds=120)
    assert reached(release, ELSEWHERE, places(release)) == places(release, HTTPS)


def test_the_kubelet_reaches_the_probes(release: Release) -> None:
    release.wait_until_available()

    statuses = [pod["status"]["containerStatuses"][0] for component in PORTS for pod in release.pods(component)]
    assert [(status["ready"], status["restartCount"]) for status in statuses] == [(True, 0)] * len(statuses)


def test_with_its_addresses_pods_connect_to_the_api_server_alone(cluster: Cluster, release: Release) -> None:
    server = api_server(cluster)
    exchange = place(release.pods("exchange")[0]["status"]["podIP"], HTTPS)
    everywhere = {*server.places, exchange}
    poll(lambda: reached_from(release, "controller", everywhere) == everywhere, seconds=120)

    release.upgrade({"networkPolicies": {"apiServerCIDRs": server.cidrs, "apiServerPorts": server.ports}})

    poll(lambda: reached_from(release, "controller", everywhere) == set(server.places), seconds=120)
    tokens = pairing_tokens(cluster, NAMESPACE, 3)
    assert_each_was_redeemed_once(cluster, set(tokens), redeeming(release, NAMESPACE, tokens).output())
